package offers

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/registry"
)

// reconcile tells a framework the state of its tasks: of those it names, or of all.
// Mesos: src/master/master.cpp, Master::reconcile.
func (m *Master) reconcile(f *framework, tasks []*scheduler.Call_Reconcile_Task) {
	if len(tasks) == 0 {
		for _, t := range sorted(f.tasks) {
			m.tell(f, m.latest(t))
		}
		return
	}
	for _, t := range tasks {
		id := t.GetTaskId().GetValue()
		if known := f.tasks[id]; known != nil {
			m.tell(f, m.latest(known))
			continue
		}
		agent := t.GetAgentId().GetValue()
		if lost := f.unreachable[id]; lost != nil && agent == "" {
			agent = lost.agent
		}
		if s := m.fate(id, agent); s != nil {
			m.tell(f, s)
		}
	}
}

// latest returns the last state of a task that its framework was told, with what
// is known of its health, checks and container.
func (m *Master) latest(t *task) *mesos.TaskStatus {
	s := m.status(t.id, t.agent, t.executorID, t.seen(), mesos.TaskStatus_REASON_RECONCILIATION,
		"Reconciliation: Latest task state")
	describe(s, t)
	return s
}

// describe adds to a status what the last one from the agent said of the task.
func describe(s *mesos.TaskStatus, t *task) {
	if n := len(t.msg.GetStatuses()); n > 0 {
		last := t.msg.GetStatuses()[n-1]
		s.Healthy, s.CheckStatus, s.ContainerStatus = last.Healthy, last.CheckStatus, last.ContainerStatus
	}
}

// fate returns what can be said of a task that is not known, by the agent it is
// said to be on; nil while that agent, or any when none is named, may still come
// back with it.
func (m *Master) fate(task, agent string) *mesos.TaskStatus {
	say := func(s mesos.TaskState, text string) *mesos.TaskStatus {
		return m.status(task, agent, "", s, mesos.TaskStatus_REASON_RECONCILIATION, "Reconciliation: "+text)
	}
	if agent == "" {
		if len(m.recovered) > 0 {
			return nil
		}
		return say(mesos.TaskState_TASK_UNKNOWN, "Task is unknown")
	}
	switch m.whereabouts(agent) {
	case agentAwaited:
		return nil
	case agentRegistered:
		return say(mesos.TaskState_TASK_GONE, "Task is unknown to the agent")
	case agentUnreachable:
		s := say(mesos.TaskState_TASK_UNREACHABLE, "Task is unreachable")
		s.UnreachableTime = m.unreachableSince(agent)
		return s
	case agentGone:
		return say(mesos.TaskState_TASK_GONE_BY_OPERATOR, "Task is gone")
	}
	return say(mesos.TaskState_TASK_UNKNOWN, "Task is unknown")
}

// whereabouts of an agent.
const (
	agentUnknown     = iota
	agentAwaited     // known from the registry, not back yet
	agentRegistered  // linked or away for a moment
	agentUnreachable // fell silent
	agentGone        // shut out
)

func (m *Master) whereabouts(id string) int {
	if m.agents[id] != nil {
		return agentRegistered
	}
	if m.recovered[id] != nil {
		return agentAwaited
	}
	switch m.facts.Agent(id).GetStatus() {
	case registry.Agent_UNREACHABLE:
		return agentUnreachable
	case registry.Agent_GONE:
		return agentGone
	}
	return agentUnknown
}

func (m *Master) unreachableSince(agent string) *mesos.TimeInfo {
	return &mesos.TimeInfo{Nanoseconds: proto.Int64(m.facts.Agent(agent).GetSince())}
}

// reconciled takes in which of the tasks it was asked for an agent does not know.
func (m *Master) reconciled(a *agent, msg *protocol.Reconciled) {
	for _, u := range msg.GetUnknown() {
		t := a.tasks.get(taskKey{u.GetFrameworkId().GetValue(), u.GetTaskId().GetValue()})
		if t == nil {
			continue
		}
		m.unknownToAgent(t)
	}
}

// unknownToAgent ends a task that its agent says it does not have: it never got
// there, or it is no more.
func (m *Master) unknownToAgent(t *task) {
	state := mesos.TaskState_TASK_GONE
	if t.msg.GetState() == mesos.TaskState_TASK_STAGING {
		state = mesos.TaskState_TASK_DROPPED
	}
	s := m.status(t.id, t.agent, t.executorID, state, mesos.TaskStatus_REASON_RECONCILIATION,
		"Reconciliation: Task is unknown to the agent")
	m.end(t, s)
}

// end ends a task with a status of the master's own, which nobody acknowledges.
func (m *Master) end(t *task, s *mesos.TaskStatus) {
	f := m.frameworks[t.framework]
	if f != nil {
		if st := f.aware(s.GetState()); st != s.GetState() {
			s.State = st.Enum()
		}
	}
	m.setState(t, s)
	if f != nil && !t.duplicate {
		m.tell(f, s)
	}
	m.removeTask(t)
}

package offers

import (
	"muster/offers/mesos"
	"muster/offers/protocol"
)

// pendingTask was accepted by an earlier leader, and its framework has heard
// nothing of it since.
type pendingTask struct{ task, agent, executor string }

// pending takes in tasks that an earlier leader said it would launch. Each gets a
// status: from its agent, or, when the agent does not know it, from here.
func (m *Master) pending(msg *protocol.Pending) {
	f := m.frameworks[msg.GetFrameworkId().GetValue()]
	if f == nil {
		return // its gateway announces the framework first; there is nobody to tell
	}
	for _, p := range msg.GetTasks() {
		t := &pendingTask{p.GetTaskId().GetValue(), p.GetAgentId().GetValue(), p.GetExecutorId().GetValue()}
		if t.task == "" || f.done.has(t.task) {
			continue // a gateway without the framework's stream does not see how a task ends
		}
		if f.unanswered[t.agent] == nil {
			f.unanswered[t.agent] = map[string]*pendingTask{}
		}
		f.unanswered[t.agent][t.task] = t
		m.unheard[f.id] = f
	}
	m.answerPending(f)
}

// answerPending answers what can be said of a framework's unheard-of tasks by now.
func (m *Master) answerPending(f *framework) {
	for _, agent := range sortedKeys(f.unanswered) {
		m.answerPendingOn(f, agent)
	}
}

// agentSettled goes on with the unheard-of tasks of an agent of which more is known now.
func (m *Master) agentSettled(agent string) {
	for _, f := range sorted(m.unheard) {
		switch {
		case len(f.unanswered) == 0 || m.frameworks[f.id] != f:
			delete(m.unheard, f.id)
		case len(f.unanswered[agent]) > 0:
			m.answerPendingOn(f, agent)
		}
	}
}

func (m *Master) answerPendingOn(f *framework, agent string) {
	if !f.begun() || m.busy(agent) {
		return
	}
	a := m.agents[agent]
	where := m.whereabouts(agent)
	if where == agentAwaited || a != nil && a.link == nil {
		return // what it says when it is back decides
	}
	for _, p := range sorted(f.unanswered[agent]) {
		if f.tasks[p.task] != nil || f.unreachable[p.task] != nil || f.done.has(p.task) {
			continue // its agent knows it: its updates come, or have come
		}
		s := m.status(p.task, p.agent, p.executor, mesos.TaskState_TASK_DROPPED, mesos.TaskStatus_REASON_RECONCILIATION,
			"The task was lost when the leading master failed over")
		switch where {
		case agentUnreachable:
			s.State = mesos.TaskState_TASK_UNREACHABLE.Enum()
			s.UnreachableTime = m.unreachableSince(agent)
		case agentGone:
			s.State = mesos.TaskState_TASK_GONE_BY_OPERATOR.Enum()
		}
		m.tell(f, s)
	}
	delete(f.unanswered, agent)
}

// answered notes that a framework has heard of a task.
func (m *Master) answered(f *framework, task string) {
	if f.session == nil {
		return
	}
	for agent, tasks := range f.unanswered {
		delete(tasks, task)
		if len(tasks) == 0 {
			delete(f.unanswered, agent)
		}
	}
}

// endedBefore notes the tasks of which an agent says that they ended, and that
// their frameworks know it.
func (m *Master) endedBefore(reg *protocol.Register) {
	for _, t := range reg.GetEnded() {
		if f := m.frameworks[t.GetFrameworkId().GetValue()]; f != nil && f.tasks[t.GetTaskId().GetValue()] == nil {
			f.done.add(t.GetTaskId().GetValue())
		}
	}
}

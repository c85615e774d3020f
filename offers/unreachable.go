package offers

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/registry"
	"muster/offers/view"
)

// markUnreachable has the registry note that an agent fell silent; then it is.
func (m *Master) markUnreachable(a *agent, why string) {
	a.leaving = true
	since := m.now
	m.proposeSurely(markUnreachable(a.id, since), func() {
		if m.agents[a.id] == a {
			m.agentUnreachable(a, since, why)
		}
		m.resumeWaiting(a.id)
	})
}

func markUnreachable(id string, since time.Time) *registry.Op {
	return &registry.Op{Op: &registry.Op_MarkAgentUnreachable{MarkAgentUnreachable: &registry.MarkAgentUnreachable{
		AgentId: agentID(id), Time: proto.Int64(since.UnixNano()),
	}}}
}

// agentUnreachable tells the frameworks of an agent's tasks, takes its offers back
// and forgets it until it returns. Its tasks are remembered.
// Mesos: src/master/master.cpp, Master::__removeSlave.
func (m *Master) agentUnreachable(a *agent, since time.Time, why string) {
	m.detach(a, "agent was marked unreachable: "+why)
	for _, t := range a.tasks {
		f := m.frameworks[t.framework]
		m.release(a, t)
		if f == nil || t.duplicate {
			continue
		}
		delete(f.tasks, t.id)
		s := m.status(t.id, a.id, t.executorID, f.aware(mesos.TaskState_TASK_UNREACHABLE),
			mesos.TaskStatus_REASON_AGENT_REMOVED, "Agent "+a.info.GetHostname()+" is unreachable: "+why)
		s.UnreachableTime = timeInfo(since)
		told := t.msg.StatusUpdateState != nil && t.msg.GetStatusUpdateState().Terminal()
		msg := copyTask(t.msg)
		if !msg.GetState().Terminal() {
			msg.State = s.State
			msg.Statuses = append(msg.Statuses[:len(msg.Statuses):len(msg.Statuses)], s)
		}
		t.msg = msg
		m.publish(view.TaskEvent(msg, s, true))
		m.rememberLost(f, t)
		if !told {
			m.tell(f, s)
		}
	}
	a.tasks = nil
	m.loseOperations(a, mesos.OperationState_OPERATION_UNREACHABLE, "Agent was marked unreachable")
	m.dropAgent(a, true)
	m.agentLost(a.id)
	m.agentSettled(a.id)
}

// detach takes an agent's link away for good.
func (m *Master) detach(a *agent, reason string) {
	if l := a.link; l != nil {
		a.link, l.agent = nil, nil
		m.disconnect(l.id, reason)
	}
}

// agentLost tells every framework that an agent is lost.
func (m *Master) agentLost(id string) {
	failure := &scheduler.Event{
		Type: scheduler.Event_FAILURE.Enum(), Failure: &scheduler.Event_Failure{AgentId: agentID(id)},
	}
	for _, f := range sorted(m.frameworks) {
		m.event(f, failure)
	}
}

// rememberLost keeps a task of an unreachable agent, and forgets the oldest of too many.
func (m *Master) rememberLost(f *framework, t *task) {
	if was := f.unreachable[t.id]; was == nil {
		f.lost = append(f.lost, t.id)
	} else {
		m.lost.remove(was.agent, was)
	}
	f.unreachable[t.id] = t
	m.lost.add(t.agent, t)
	for len(f.lost) > max(0, m.cfg.MaxUnreachableTasks) {
		m.publish(view.TaskRemovedEvent(f.id, f.lost[0], true))
		m.forgetLost(f, f.lost[0])
	}
}

// forgetLost forgets that a task's agent is unreachable.
func (m *Master) forgetLost(f *framework, id string) {
	m.lost.remove(f.unreachable[id].agent, f.unreachable[id])
	delete(f.unreachable, id)
	if i := slices.Index(f.lost, id); i >= 0 {
		f.lost = slices.Delete(f.lost, i, i+1)
	}
}

// welcomeBack tells the frameworks of the tasks that a returning agent still has,
// and of those that it has not any more.
func (m *Master) welcomeBack(a *agent, found []*task) {
	for _, t := range found {
		f := m.frameworks[t.framework]
		if f == nil || t.duplicate {
			continue
		}
		s := m.status(t.id, a.id, t.executorID, t.msg.GetState(), mesos.TaskStatus_REASON_AGENT_REREGISTERED,
			"Unreachable agent reregistered")
		describe(s, t)
		m.tell(f, s)
	}
	bereft := map[string]*framework{}
	for t := range m.lost[a.id] {
		bereft[t.framework] = m.frameworks[t.framework]
	}
	for _, f := range sorted(bereft) {
		for _, id := range slices.Clone(f.lost) {
			t := f.unreachable[id]
			if t.agent != a.id {
				continue
			}
			m.forgetLost(f, id)
			s := m.status(id, a.id, t.executorID, mesos.TaskState_TASK_GONE, mesos.TaskStatus_REASON_RECONCILIATION,
				"Unreachable agent reregistered without the task")
			gone := copyTask(t.msg)
			if !gone.GetState().Terminal() {
				gone.State = s.State
			}
			m.publish(view.TaskEvent(gone, s, true))
			m.publish(view.TaskRemovedEvent(f.id, id, true))
			if f.caps.partitionAware { // to the others it was lost before
				m.tell(f, s)
			}
		}
	}
}

// recoveredLost gives up an agent that an earlier leader admitted and that did not
// come to this one.
func (m *Master) recoveredLost(id string, r *recovered) {
	if r.leaving || m.recovered[id] != r {
		return
	}
	r.leaving = true
	m.proposeSurely(markUnreachable(id, m.now), func() {
		m.forgetRecovered(id, r, true)
		m.agentLost(id)
		m.agentSettled(id)
		m.resumeWaiting(id)
	})
}

func (m *Master) forgetRecovered(id string, r *recovered, unreachable bool) {
	m.timers.stop(r.absence)
	delete(m.recovered, id)
	if m.peers[r.peer] == id {
		delete(m.peers, r.peer)
	}
	m.publish(view.AgentRemovedEvent(id, unreachable))
}

// agentRemoved ends an agent that the registry has forgotten.
// Mesos: src/master/master.cpp, Master::_removeSlave.
func (m *Master) agentRemoved(a *agent, why string) {
	m.agentEnded(a, mesos.TaskState_TASK_LOST, mesos.TaskStatus_REASON_AGENT_REMOVED,
		"Agent "+a.info.GetHostname()+" removed: "+why)
}

// agentEnded forgets an agent for good and tells of the end of its tasks.
func (m *Master) agentEnded(a *agent, state mesos.TaskState, r mesos.TaskStatus_Reason, text string) {
	if m.agents[a.id] != a {
		return
	}
	m.detach(a, text)
	for _, t := range slices.Clone(a.tasks) {
		m.end(t, m.status(t.id, a.id, t.executorID, state, r, text))
	}
	m.dropAgent(a, false)
	m.agentLost(a.id)
	m.agentSettled(a.id)
}

func (m *Master) recoveredSupplanted(id string, r *recovered) {
	if m.recovered[id] != r {
		return
	}
	m.forgetRecovered(id, r, false)
	m.agentLost(id)
	m.agentSettled(id)
}

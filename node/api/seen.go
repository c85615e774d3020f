package api

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
	"muster/offers/view"
)

// seen is what one subscriber has been told, so that news can be told from change.
type seen struct {
	agents     map[string]bool
	frameworks map[string]*master.Response_GetFrameworks_Framework
	tasks      map[taskKey]mesos.TaskState
}

func newSeen(v *view.View) *seen {
	s := &seen{
		agents:     map[string]bool{},
		frameworks: map[string]*master.Response_GetFrameworks_Framework{},
		tasks:      map[taskKey]mesos.TaskState{},
	}
	s.move(v)
	return s
}

// move returns what is different in another leader's view. An agent that the new
// leader knows and has not heard yet is no news, nor is what runs on it.
func (s *seen) move(v *view.View) []*master.Event {
	var events []*master.Event
	tell := func(e ...*master.Event) { events = append(events, e...) }
	agents, frameworks := map[string]bool{}, map[string]bool{}
	for _, a := range v.RecoveredAgents() {
		agents[a.GetId().GetValue()] = true
	}
	for _, a := range v.Agents() {
		agents[a.GetAgentInfo().GetId().GetValue()] = true
		tell(s.agent(a)...)
	}
	for _, id := range sortedKeys(s.agents) {
		if !agents[id] {
			tell(s.agentRemoved(id)...)
		}
	}
	for _, f := range v.Frameworks() {
		frameworks[f.GetFrameworkInfo().GetId().GetValue()] = true
		tell(s.framework(f)...)
	}
	for _, id := range sortedKeys(s.frameworks) {
		if !frameworks[id] {
			tell(s.frameworkRemoved(id)...)
		}
	}
	for _, t := range v.Tasks() {
		tell(s.task(t, nil)...)
	}
	for _, t := range v.UnreachableTasks() {
		tell(s.task(t, nil)...)
	}
	return events
}

// translate returns what Mesos's event stream tells of e.
func (s *seen) translate(e *protocol.ViewEvent) []*master.Event {
	switch e := e.GetEvent().(type) {
	case *protocol.ViewEvent_Agent:
		return s.agent(e.Agent)
	case *protocol.ViewEvent_AgentRemoved_:
		return s.agentRemoved(e.AgentRemoved.GetAgentId().GetValue())
	case *protocol.ViewEvent_Framework:
		return s.framework(e.Framework)
	case *protocol.ViewEvent_FrameworkRemoved_:
		return s.frameworkRemoved(e.FrameworkRemoved.GetFrameworkId().GetValue())
	case *protocol.ViewEvent_Task:
		return s.task(e.Task.GetTask(), e.Task.GetStatus())
	case *protocol.ViewEvent_TaskRemoved_:
		delete(s.tasks, taskKey{e.TaskRemoved.GetFrameworkId().GetValue(), e.TaskRemoved.GetTaskId().GetValue()})
	}
	return nil
}

func (s *seen) agent(a *master.Response_GetAgents_Agent) []*master.Event {
	id := a.GetAgentInfo().GetId().GetValue()
	if s.agents[id] {
		return nil
	}
	s.agents[id] = true
	return []*master.Event{{Type: master.Event_AGENT_ADDED.Enum(), AgentAdded: &master.Event_AgentAdded{Agent: a}}}
}

func (s *seen) agentRemoved(id string) []*master.Event {
	if !s.agents[id] {
		return nil
	}
	delete(s.agents, id)
	return []*master.Event{{Type: master.Event_AGENT_REMOVED.Enum(), AgentRemoved: &master.Event_AgentRemoved{
		AgentId: &mesos.AgentID{Value: proto.String(id)},
	}}}
}

func (s *seen) framework(f *master.Response_GetFrameworks_Framework) []*master.Event {
	id := f.GetFrameworkInfo().GetId().GetValue()
	old := s.frameworks[id]
	s.frameworks[id] = f
	switch {
	case old == nil:
		return []*master.Event{{Type: master.Event_FRAMEWORK_ADDED.Enum(), FrameworkAdded: &master.Event_FrameworkAdded{Framework: f}}}
	case old.GetActive() != f.GetActive() || old.GetConnected() != f.GetConnected() || !proto.Equal(old.GetFrameworkInfo(), f.GetFrameworkInfo()):
		return []*master.Event{{Type: master.Event_FRAMEWORK_UPDATED.Enum(), FrameworkUpdated: &master.Event_FrameworkUpdated{Framework: f}}}
	}
	return nil
}

func (s *seen) frameworkRemoved(id string) []*master.Event {
	old := s.frameworks[id]
	if old == nil {
		return nil
	}
	delete(s.frameworks, id)
	for key := range s.tasks {
		if key.framework == id {
			delete(s.tasks, key)
		}
	}
	return []*master.Event{{Type: master.Event_FRAMEWORK_REMOVED.Enum(), FrameworkRemoved: &master.Event_FrameworkRemoved{FrameworkInfo: old.GetFrameworkInfo()}}}
}

// task tells of a new task, and of a new status of a known one. A state that came
// without a status, as with an agent that registers again, is told with the
// task's latest.
func (s *seen) task(t *mesos.Task, status *mesos.TaskStatus) []*master.Event {
	key := taskKey{t.GetFrameworkId().GetValue(), t.GetTaskId().GetValue()}
	old, known := s.tasks[key]
	s.tasks[key] = t.GetState()
	if !known {
		return []*master.Event{{Type: master.Event_TASK_ADDED.Enum(), TaskAdded: &master.Event_TaskAdded{Task: t}}}
	}
	if n := len(t.GetStatuses()); status == nil && n > 0 && old != t.GetState() {
		status = t.GetStatuses()[n-1]
	}
	if status == nil {
		return nil
	}
	return []*master.Event{{Type: master.Event_TASK_UPDATED.Enum(), TaskUpdated: &master.Event_TaskUpdated{
		FrameworkId: t.GetFrameworkId(), Status: status, State: t.State,
	}}}
}

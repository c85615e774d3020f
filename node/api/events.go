package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/link"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
	"muster/offers/view"
)

// subscribe serves the operator event stream. It ends when the leader changes;
// the client subscribes again and starts from the new leader's state.
func (a *operatorAPI) subscribe(w http.ResponseWriter, r *http.Request, out codec) error {
	ctx, cancel := context.WithTimeoutCause(r.Context(), readWait, ErrNoLeader)
	watch, done, err := a.views.Watch(ctx)
	cancel()
	if err != nil {
		return err
	}
	defer done()
	st := newStream(w, out)
	known := newSeen(watch.Snapshot)
	if st.send(subscribed(watch.Snapshot), operatorHeartbeat) != nil {
		return nil // the client has gone
	}
	next := time.Now().Add(heartbeatInterval)
	for {
		wait, cancel := context.WithDeadline(r.Context(), next)
		e, err := watch.Next(wait)
		cancel()
		var sent error
		switch {
		case errors.Is(err, context.DeadlineExceeded) && r.Context().Err() == nil:
			next = time.Now().Add(heartbeatInterval)
			sent = st.send(operatorHeartbeat)
		case err != nil:
			return nil // the client has gone, fell behind, or the leader changed
		default:
			if event := known.translate(e); event != nil {
				sent = st.send(event)
			}
		}
		if sent != nil {
			return nil
		}
	}
}

var operatorHeartbeat = &master.Event{Type: master.Event_HEARTBEAT.Enum()}

func subscribed(v *view.View) *master.Event {
	return &master.Event{
		Type: master.Event_SUBSCRIBED.Enum(),
		Subscribed: &master.Event_Subscribed{
			GetState:                 v.GetState(),
			HeartbeatIntervalSeconds: proto.Float64(heartbeatInterval.Seconds()),
		},
	}
}

var _ Views = (*link.Views)(nil)

// seen is what one subscriber has been told, so that news can be told from change.
type seen struct {
	agents     map[string]bool
	frameworks map[string]*master.Response_GetFrameworks_Framework
	tasks      map[taskKey]bool
}

func newSeen(v *view.View) *seen {
	s := &seen{
		agents:     map[string]bool{},
		frameworks: map[string]*master.Response_GetFrameworks_Framework{},
		tasks:      map[taskKey]bool{},
	}
	for _, a := range v.Agents() {
		s.agents[a.GetAgentInfo().GetId().GetValue()] = true
	}
	for _, f := range v.Frameworks() {
		s.frameworks[f.GetFrameworkInfo().GetId().GetValue()] = f
	}
	for _, t := range v.Tasks() {
		s.tasks[taskKey{t.GetFrameworkId().GetValue(), t.GetTaskId().GetValue()}] = true
	}
	return s
}

// translate returns what Mesos's event stream tells of e, nil for nothing.
func (s *seen) translate(e *protocol.ViewEvent) *master.Event {
	switch e := e.GetEvent().(type) {
	case *protocol.ViewEvent_Agent:
		return s.agent(e.Agent)
	case *protocol.ViewEvent_AgentRemoved_:
		return s.agentRemoved(e.AgentRemoved.GetAgentId())
	case *protocol.ViewEvent_Framework:
		return s.framework(e.Framework)
	case *protocol.ViewEvent_FrameworkRemoved_:
		return s.frameworkRemoved(e.FrameworkRemoved.GetFrameworkId().GetValue())
	case *protocol.ViewEvent_Task:
		return s.task(e.Task)
	case *protocol.ViewEvent_TaskRemoved_:
		delete(s.tasks, taskKey{e.TaskRemoved.GetFrameworkId().GetValue(), e.TaskRemoved.GetTaskId().GetValue()})
	}
	return nil
}

func (s *seen) agent(a *master.Response_GetAgents_Agent) *master.Event {
	id := a.GetAgentInfo().GetId().GetValue()
	if s.agents[id] {
		return nil
	}
	s.agents[id] = true
	return &master.Event{Type: master.Event_AGENT_ADDED.Enum(), AgentAdded: &master.Event_AgentAdded{Agent: a}}
}

func (s *seen) agentRemoved(id *mesos.AgentID) *master.Event {
	if !s.agents[id.GetValue()] {
		return nil
	}
	delete(s.agents, id.GetValue())
	return &master.Event{Type: master.Event_AGENT_REMOVED.Enum(), AgentRemoved: &master.Event_AgentRemoved{AgentId: id}}
}

func (s *seen) framework(f *master.Response_GetFrameworks_Framework) *master.Event {
	id := f.GetFrameworkInfo().GetId().GetValue()
	old := s.frameworks[id]
	s.frameworks[id] = f
	switch {
	case old == nil:
		return &master.Event{Type: master.Event_FRAMEWORK_ADDED.Enum(), FrameworkAdded: &master.Event_FrameworkAdded{Framework: f}}
	case old.GetActive() != f.GetActive() || old.GetConnected() != f.GetConnected() || !proto.Equal(old.GetFrameworkInfo(), f.GetFrameworkInfo()):
		return &master.Event{Type: master.Event_FRAMEWORK_UPDATED.Enum(), FrameworkUpdated: &master.Event_FrameworkUpdated{Framework: f}}
	}
	return nil
}

func (s *seen) frameworkRemoved(id string) *master.Event {
	old := s.frameworks[id]
	if old == nil {
		return nil
	}
	delete(s.frameworks, id)
	return &master.Event{Type: master.Event_FRAMEWORK_REMOVED.Enum(), FrameworkRemoved: &master.Event_FrameworkRemoved{FrameworkInfo: old.GetFrameworkInfo()}}
}

func (s *seen) task(u *protocol.ViewEvent_TaskUpdated) *master.Event {
	t := u.GetTask()
	key := taskKey{t.GetFrameworkId().GetValue(), t.GetTaskId().GetValue()}
	if !s.tasks[key] {
		s.tasks[key] = true
		return &master.Event{Type: master.Event_TASK_ADDED.Enum(), TaskAdded: &master.Event_TaskAdded{Task: t}}
	}
	if u.GetStatus() == nil {
		return nil
	}
	return &master.Event{Type: master.Event_TASK_UPDATED.Enum(), TaskUpdated: &master.Event_TaskUpdated{
		FrameworkId: t.GetFrameworkId(), Status: u.GetStatus(), State: t.State,
	}}
}

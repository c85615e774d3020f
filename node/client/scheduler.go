package client

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

const schedulerPath = "/api/v1/scheduler"

// Session is one subscription of a framework. One goroutine calls Next; calls
// may be made from any.
type Session struct {
	*Stream[scheduler.Event, *scheduler.Event]
	client    *Client
	id        string
	framework atomic.Pointer[mesos.FrameworkID]
	calling   func(*scheduler.Call) // is told of each call before it is sent; may be nil
}

// Subscribe opens a session for the framework, which has no ID yet or the one it
// was given before.
func (c *Client) Subscribe(ctx context.Context, subscribe *scheduler.Call_Subscribe) (*Session, error) {
	call := &scheduler.Call{
		Type:        scheduler.Call_SUBSCRIBE.Enum(),
		FrameworkId: subscribe.GetFrameworkInfo().GetId(),
		Subscribe:   subscribe,
	}
	stream, err := open[scheduler.Event, *scheduler.Event](ctx, c, schedulerPath, call)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	s := &Session{Stream: stream, client: c, id: stream.header.Get(StreamHeader)}
	s.framework.Store(call.FrameworkId)
	return s, nil
}

// ID is the Mesos-Stream-Id.
func (s *Session) ID() string { return s.id }

// FrameworkID is nil until SUBSCRIBED has come, if the framework is new.
func (s *Session) FrameworkID() *mesos.FrameworkID { return s.framework.Load() }

// Next waits for the next event, heartbeats among them.
func (s *Session) Next() (*scheduler.Event, error) {
	e, err := s.Stream.Next()
	if err == nil && e.GetType() == scheduler.Event_SUBSCRIBED {
		s.framework.Store(e.GetSubscribed().GetFrameworkId())
	}
	return e, err
}

// Call sends a call once. The framework's ID is filled in if it is not set; the
// call is not changed. nil means that the cluster has taken the call, not what
// came of it.
func (s *Session) Call(ctx context.Context, call *scheduler.Call) error {
	if call.FrameworkId == nil {
		filled := proto.Clone(call).(*scheduler.Call)
		filled.FrameworkId = s.FrameworkID()
		call = filled
	}
	if s.calling != nil {
		s.calling(call)
	}
	header := s.client.callHeader()
	if s.id != "" {
		header[http.CanonicalHeaderKey(StreamHeader)] = []string{s.id}
	}
	if err := s.client.call(ctx, schedulerPath, call, nil, header); err != nil {
		return fmt.Errorf("%s: %w", call.GetType(), err)
	}
	return nil
}

// Accept answers offers of one agent and role with operations. What they do not
// use is declined for refuse seconds.
func (s *Session) Accept(ctx context.Context, refuse float64, offers []*mesos.OfferID, operations ...*mesos.Offer_Operation) error {
	return s.Call(ctx, &scheduler.Call{
		Type: scheduler.Call_ACCEPT.Enum(),
		Accept: &scheduler.Call_Accept{
			OfferIds: offers, Operations: operations, Filters: &mesos.Filters{RefuseSeconds: &refuse},
		},
	})
}

// Launch is the operation that launches tasks.
func Launch(tasks ...*mesos.TaskInfo) *mesos.Offer_Operation {
	return &mesos.Offer_Operation{
		Type:   mesos.Offer_Operation_LAUNCH.Enum(),
		Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks},
	}
}

// Decline refuses offers, and such offers for refuse seconds.
func (s *Session) Decline(ctx context.Context, refuse float64, offers ...*mesos.OfferID) error {
	return s.Call(ctx, &scheduler.Call{
		Type:    scheduler.Call_DECLINE.Enum(),
		Decline: &scheduler.Call_Decline{OfferIds: offers, Filters: &mesos.Filters{RefuseSeconds: &refuse}},
	})
}

// Acknowledge lets the agent send the next status of the task. A status without
// a UUID asks for no answer and gets none.
func (s *Session) Acknowledge(ctx context.Context, status *mesos.TaskStatus) error {
	if len(status.GetUuid()) == 0 {
		return nil
	}
	return s.Call(ctx, &scheduler.Call{
		Type: scheduler.Call_ACKNOWLEDGE.Enum(),
		Acknowledge: &scheduler.Call_Acknowledge{
			AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid(),
		},
	})
}

// Kill ends a task; agent may be nil.
func (s *Session) Kill(ctx context.Context, task *mesos.TaskID, agent *mesos.AgentID) error {
	return s.Call(ctx, &scheduler.Call{
		Type: scheduler.Call_KILL.Enum(),
		Kill: &scheduler.Call_Kill{TaskId: task, AgentId: agent},
	})
}

// Reconcile asks for the latest status of tasks, or of all if none is named.
func (s *Session) Reconcile(ctx context.Context, tasks ...*scheduler.Call_Reconcile_Task) error {
	return s.Call(ctx, &scheduler.Call{
		Type:      scheduler.Call_RECONCILE.Enum(),
		Reconcile: &scheduler.Call_Reconcile{Tasks: tasks},
	})
}

// Revive asks for offers again, whatever was declined; for all roles if none is named.
func (s *Session) Revive(ctx context.Context, roles ...string) error {
	return s.Call(ctx, &scheduler.Call{Type: scheduler.Call_REVIVE.Enum(), Revive: &scheduler.Call_Revive{Roles: roles}})
}

// Suppress asks for no more offers; for all roles if none is named.
func (s *Session) Suppress(ctx context.Context, roles ...string) error {
	return s.Call(ctx, &scheduler.Call{Type: scheduler.Call_SUPPRESS.Enum(), Suppress: &scheduler.Call_Suppress{Roles: roles}})
}

// Teardown ends the framework and kills its tasks.
func (s *Session) Teardown(ctx context.Context) error {
	return s.Call(ctx, &scheduler.Call{Type: scheduler.Call_TEARDOWN.Enum()})
}

package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// Uplink carries messages to whoever leads. Send never waits; an error means
// that the message was not taken.
type Uplink interface {
	Send(m *protocol.GatewayToMaster) error
}

var (
	// ErrNoLeader: no leader was found within the time a call may wait for one.
	ErrNoLeader = errors.New("no leader elected")
	// ErrLeaderLost: the leader was lost before it answered; whether the call took effect is unknown.
	ErrLeaderLost = errors.New("the leader was lost before it answered: the call may or may not have taken effect")
)

// Reply is the leader's answer to a call, as HTTP shows it.
type Reply struct {
	Code      int
	Message   string
	Operator  *master.Response    // of an operator call that has one
	Scheduler *scheduler.Response // of a scheduler call that has one
}

// Gateway speaks with the leader for the HTTP clients of this node. It keeps
// their event streams over a change of leader: it re-announces the sessions,
// rescinds the offers of the dead leader, and asks the new one about tasks that
// were accepted but not heard of since.
type Gateway struct {
	up   Uplink
	log  *slog.Logger
	wait time.Duration

	mu        sync.Mutex
	connected bool
	ready     chan struct{} // closed while connected
	sessions  map[string]*Session
	calls     map[uint64]*inflight
	last      uint64
	pending   map[taskKey]pendingTask
}

// inflight is a call that the leader has not answered.
type inflight struct {
	call  *scheduler.Call // nil for an operator call
	reply chan result     // holds one
}

type result struct {
	reply Reply
	err   error
}

// leaderWait is how long a call waits at its gateway for a leader.
const leaderWait = 10 * time.Second

// NewGateway returns a gateway that has no leader yet.
func NewGateway(up Uplink, log *slog.Logger) *Gateway {
	return &Gateway{
		up: up, log: log, wait: leaderWait,
		ready:    make(chan struct{}),
		sessions: map[string]*Session{},
		calls:    map[uint64]*inflight{},
		pending:  map[taskKey]pendingTask{},
	}
}

// Call carries a scheduler call to the leader and returns its answer. session is
// the Mesos-Stream-Id header, nil when there was none.
func (g *Gateway) Call(ctx context.Context, principal string, session *string, call *scheduler.Call) (Reply, error) {
	return g.ask(ctx, call, func(id uint64) *protocol.GatewayToMaster {
		return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Call{Call: &protocol.Call{
			CallId: &id, SessionId: session, Principal: optional(principal), Call: call,
		}}}
	})
}

// Operate carries a call of the operator API that changes something.
func (g *Gateway) Operate(ctx context.Context, principal string, call *master.Call) (Reply, error) {
	return g.ask(ctx, nil, func(id uint64) *protocol.GatewayToMaster {
		return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Operate{Operate: &protocol.Operate{
			CallId: &id, Principal: optional(principal), Call: call,
		}}}
	})
}

// Subscribe opens a session and returns it once the leader has sent its first
// event, which is SUBSCRIBED or ERROR. Close ends it.
func (g *Gateway) Subscribe(ctx context.Context, principal string, call *scheduler.Call) (*Session, error) {
	s := newSession(uuid.NewString(), principal, call)
	open := &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Subscribe{Subscribe: &protocol.Subscribe{
		SessionId: &s.ID, Principal: optional(principal), Call: call,
	}}}
	err := g.whenConnected(ctx, func() error {
		g.sessions[s.ID] = s
		return g.up.Send(open)
	})
	if err != nil {
		g.Close(s)
		return nil, err
	}
	select {
	case <-s.answered:
		return s, nil
	case <-s.ended:
		g.Close(s)
		return nil, s.Err()
	case <-ctx.Done():
		g.Close(s)
		return nil, context.Cause(ctx)
	}
}

// Close ends a session because its client has gone.
func (g *Gateway) Close(s *Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions[s.ID] != s {
		return
	}
	g.drop(s, errSessionClosed)
	if g.connected {
		g.tell(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Closed{Closed: &protocol.Closed{SessionId: &s.ID}}})
	}
}

// tell sends what needs no answer: a message that is not taken is lost with the
// link, and a new link starts from what the gateway re-announces.
func (g *Gateway) tell(m *protocol.GatewayToMaster) {
	if err := g.up.Send(m); err != nil {
		g.log.Debug("message to the leader not sent", "err", err)
	}
}

func (g *Gateway) drop(s *Session, why error) {
	delete(g.sessions, s.ID)
	s.end(why)
}

// ask sends one call and waits for its answer.
func (g *Gateway) ask(ctx context.Context, call *scheduler.Call, message func(id uint64) *protocol.GatewayToMaster) (Reply, error) {
	c := &inflight{call: call, reply: make(chan result, 1)}
	var id uint64
	err := g.whenConnected(ctx, func() error {
		g.last++
		id = g.last
		if err := g.up.Send(message(id)); err != nil {
			return err
		}
		g.calls[id] = c
		g.expect(call)
		return nil
	})
	if err != nil {
		return Reply{}, err
	}
	select {
	case r := <-c.reply:
		return r.reply, r.err
	case <-ctx.Done():
		g.mu.Lock()
		delete(g.calls, id)
		g.mu.Unlock()
		return Reply{}, context.Cause(ctx)
	}
}

// whenConnected runs do under the lock once there is a leader, or fails with ErrNoLeader.
func (g *Gateway) whenConnected(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.wait, ErrNoLeader)
	defer cancel()
	for {
		g.mu.Lock()
		if g.connected {
			defer g.mu.Unlock()
			if err := do(); err != nil {
				return fmt.Errorf("%w: %w", ErrNoLeader, err)
			}
			return nil
		}
		ready := g.ready
		g.mu.Unlock()
		select {
		case <-ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Connected re-announces all sessions to a leader, before any call reaches it.
func (g *Gateway) Connected(term uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sessions {
		g.tell(s.resume())
	}
	for _, p := range g.announce(time.Now()) {
		g.tell(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Pending{Pending: p}})
	}
	g.connected = true
	close(g.ready)
	g.log.Debug("gateway connected", "term", term, "sessions", len(g.sessions))
}

// Disconnected fails what was not answered, and rescinds the offers that died
// with the link.
func (g *Gateway) Disconnected() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.connected {
		g.connected = false
		g.ready = make(chan struct{})
	}
	for id, c := range g.calls {
		delete(g.calls, id)
		c.reply <- result{err: ErrLeaderLost}
	}
	for _, s := range g.sessions {
		switch {
		case !s.subscribed:
			g.drop(s, ErrLeaderLost)
		default:
			g.deliver(s, s.rescinds()...)
		}
	}
}

// Receive takes one message of the leader.
func (g *Gateway) Receive(m *protocol.MasterToGateway) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch m := m.GetMessage().(type) {
	case *protocol.MasterToGateway_Event:
		g.event(m.Event)
	case *protocol.MasterToGateway_Reply:
		g.answer(m.Reply)
	case *protocol.MasterToGateway_Closed:
		if s := g.sessions[m.Closed.GetSessionId()]; s != nil {
			g.drop(s, errSessionClosed)
		}
	case *protocol.MasterToGateway_Heartbeat, nil:
	default:
		return fmt.Errorf("unknown message %T of the leader", m)
	}
	return nil
}

func (g *Gateway) event(e *protocol.Event) {
	s := g.sessions[e.GetSessionId()]
	if s == nil {
		g.tell(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Closed{Closed: &protocol.Closed{SessionId: e.SessionId}}})
		return
	}
	if u := e.GetEvent().GetUpdate(); u != nil {
		g.heard(s.framework(), u.GetStatus().GetTaskId().GetValue())
	}
	g.deliver(s, e.GetEvent())
}

// deliver queues events for s's client; a client that is too slow loses its stream.
func (g *Gateway) deliver(s *Session, events ...*scheduler.Event) {
	for _, e := range events {
		if err := s.push(e); err != nil {
			g.log.Warn("event stream dropped", "framework_id", s.framework(), "err", err)
			g.drop(s, err)
			g.tell(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Closed{Closed: &protocol.Closed{SessionId: &s.ID}}})
			return
		}
	}
}

func (g *Gateway) answer(r *protocol.Reply) {
	c := g.calls[r.GetCallId()]
	if c == nil {
		return // its client has gone
	}
	delete(g.calls, r.GetCallId())
	code := int(r.GetCode())
	if code != http.StatusAccepted {
		g.forget(c.call)
	}
	if code/100 == 2 {
		g.settled(c.call)
	}
	c.reply <- result{reply: Reply{Code: code, Message: r.GetMessage(), Operator: r.GetResponse(), Scheduler: r.GetSchedulerResponse()}}
}

// settled notes what an accepted call means for the session of its framework.
func (g *Gateway) settled(call *scheduler.Call) {
	if call == nil {
		return
	}
	for _, s := range g.sessions {
		if s.framework() == call.GetFrameworkId().GetValue() {
			s.settled(call)
		}
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return proto.String(s)
}

package api

import (
	"context"
	"errors"
	"log/slog"
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

	RetryAfter uint32 // seconds, of a call that was answered 429

	Explanation *protocol.Explanation // of an Explain
}

// Gateway speaks with the leader for the HTTP clients of this node. It keeps
// their event streams over a change of leader: it re-announces the sessions,
// rescinds the offers of the dead leader, and asks the new one about tasks that
// were accepted but not heard of since.
type Gateway struct {
	up     Uplink
	log    *slog.Logger
	memory *budget // of all sessions' queues

	mu        sync.Mutex
	connected bool
	term      uint64        // of the link there is or was
	turned    chan struct{} // closed when connected changes
	sessions  map[string]*Session
	calls     map[uint64]*inflight
	lanes     lanes
	vouched   vouched // streams at other gateways
	lastCall  uint64
	pending   map[taskKey]pendingTask
	counts    Counts
}

// Counts are running totals since the gateway was made.
type Counts struct {
	Sessions    int    // open now
	Waiting     int    // calls that the leader has not answered yet
	Calls       uint64 // carried to a leader
	LeadersLost uint64 // links that ended
	SlowClients uint64 // streams dropped because their client did not keep up
	Throttled   uint64 // calls of frameworks that make too many, here or by the leader's count
}

// inflight is a call that the leader has not answered.
type inflight struct {
	call      *scheduler.Call // nil for an operator call
	session   string          // the stream it names
	principal string
	lane      lane
	reply     chan result // holds one; its client may have gone
}

type result struct {
	reply Reply
	err   error
}

const (
	leaderWait    = 10 * time.Second // how long a call waits at its gateway for a leader
	subscribeWait = 30 * time.Second // how long a client waits for the first event of its stream
)

// NewGateway returns a gateway that has no leader yet. A nil log is discarded.
func NewGateway(up Uplink, log *slog.Logger) *Gateway {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Gateway{
		up: up, log: log, memory: &budget{},
		turned:   make(chan struct{}),
		sessions: map[string]*Session{},
		calls:    map[uint64]*inflight{},
		lanes:    lanes{},
		pending:  map[taskKey]pendingTask{},
	}
}

// Counts returns what the gateway has done so far.
func (g *Gateway) Counts() Counts {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.counts
	c.Sessions, c.Waiting = len(g.sessions), len(g.calls)
	return c
}

// Call carries a scheduler call to the leader and returns its answer. session is
// the Mesos-Stream-Id header, nil when there was none.
func (g *Gateway) Call(ctx context.Context, principal string, session *string, call *scheduler.Call) (Reply, error) {
	c := &inflight{call: call, principal: principal, reply: make(chan result, 1)}
	if session != nil {
		c.session = *session
	}
	known, err := g.enterCall(c)
	if err != nil {
		return crowded(err), nil
	}
	return g.ask(ctx, c, func(id uint64) *protocol.GatewayToMaster {
		return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Call{Call: &protocol.Call{
			CallId: &id, SessionId: session, Principal: optional(principal), Call: call, Known: &known,
		}}}
	})
}

// Operate carries a call of the operator API that changes something.
func (g *Gateway) Operate(ctx context.Context, principal string, call *master.Call) (Reply, error) {
	return g.askForOperator(ctx, principal, func(id uint64) *protocol.GatewayToMaster {
		return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Operate{Operate: &protocol.Operate{
			CallId: &id, Principal: optional(principal), Call: call,
		}}}
	})
}

// askForOperator carries what an operator wants, within the bound of its principal.
func (g *Gateway) askForOperator(ctx context.Context, principal string, message func(id uint64) *protocol.GatewayToMaster) (Reply, error) {
	c := &inflight{lane: lane{operatorLane, principal}, reply: make(chan result, 1)}
	if err := g.enter(c.lane); err != nil {
		return crowded(err), nil
	}
	return g.ask(ctx, c, message)
}

// Subscribe opens a session and returns it once the leader has sent its first
// event, which is SUBSCRIBED or ERROR. Close ends it.
func (g *Gateway) Subscribe(ctx context.Context, principal string, call *scheduler.Call) (*Session, error) {
	place := lane{subscribeLane, principal}
	if err := g.enter(place); err != nil {
		return nil, err
	}
	defer g.leave(place)
	s := newSession(uuid.NewString(), principal, call, g.memory)
	err := g.whenConnected(ctx, func() error {
		if err := g.up.Send(s.open()); err != nil {
			return err
		}
		g.sessions[s.ID] = s
		return nil
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, subscribeWait, ErrNoLeader)
	defer cancel()
	select {
	case <-s.answered:
		return s, nil
	case <-s.ended:
		select {
		case <-s.answered: // by an ERROR
			return s, nil
		default: // closed without a word: the leader could not take the framework up
			return nil, errors.Join(ErrLeaderLost, s.Err())
		}
	case <-ctx.Done():
		g.Close(s)
		return nil, context.Cause(ctx)
	}
}

// Close ends a session because its client has gone.
func (g *Gateway) Close(s *Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.discard()
	if g.sessions[s.ID] == s {
		g.drop(s, errSessionClosed)
		g.tellClosed(s.ID)
	}
}

// tell sends what needs no answer: a message that is not taken is lost with the
// link, and a new link starts from what the gateway re-announces.
func (g *Gateway) tell(m *protocol.GatewayToMaster) {
	if err := g.up.Send(m); err != nil {
		g.log.Debug("message to the leader not sent", "err", err)
	}
}

func (g *Gateway) tellClosed(session string) {
	if g.connected {
		g.tell(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Closed{Closed: &protocol.Closed{SessionId: &session}}})
	}
}

func (g *Gateway) drop(s *Session, why error) {
	delete(g.sessions, s.ID)
	s.end(why)
}

// ask sends one call, once, and waits for its answer.
func (g *Gateway) ask(ctx context.Context, c *inflight, message func(id uint64) *protocol.GatewayToMaster) (Reply, error) {
	err := g.whenConnected(ctx, func() error {
		g.lastCall++
		if err := g.up.Send(message(g.lastCall)); err != nil {
			return err
		}
		g.calls[g.lastCall] = c
		g.counts.Calls++
		g.expect(g.lastCall, c.call)
		return nil
	})
	if err != nil {
		g.leave(c.lane)
		return Reply{}, err
	}
	select {
	case r := <-c.reply:
		return r.reply, r.err
	case <-ctx.Done():
		// The call stays in flight: what the leader says of it still counts.
		return Reply{}, context.Cause(ctx)
	}
}

// whenConnected runs do under the lock once there is a leader, and again with the
// next one if do's message was not taken. It fails with ErrNoLeader.
func (g *Gateway) whenConnected(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leaderWait, ErrNoLeader)
	defer cancel()
	for {
		g.mu.Lock()
		if g.connected && do() == nil {
			g.mu.Unlock()
			return nil
		}
		turned := g.turned
		g.mu.Unlock()
		select {
		case <-turned:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return proto.String(s)
}

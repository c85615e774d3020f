package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"muster/node/link"
	"muster/node/recording"
	"muster/offers"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/registry"
)

// Registry stores what must survive this leader. Propose never waits; done is
// called once, from any goroutine.
type Registry interface {
	Propose(op *registry.Op, done func(error))
}

// Config of a Master.
type Config struct {
	Core offers.Config // MasterID, Term and Elected are set for each leadership
	// Info describes this node as the leading master; its ID is set for each leadership.
	Info func(masterID string) *mesos.MasterInfo
	// Record says where the inputs of each leadership are kept [not at all].
	Record recording.Config
}

// Master is this node's readiness to lead. It is a port for the links of agents
// and gateways, which it refuses unless it leads.
type Master struct {
	cfg      Config
	registry Registry
	log      *slog.Logger
	reign    atomic.Pointer[reign]
	steps    atomic.Uint64
}

// New returns a Master that does not lead yet. A nil log is discarded.
func New(cfg Config, r Registry, log *slog.Logger) *Master {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Master{cfg: cfg, registry: r, log: log}
}

// Leading returns the leader's view and term, or nil while this node does not lead.
func (m *Master) Leading() (*link.Replica, uint64) {
	r := m.reign.Load()
	if r == nil {
		return nil, 0
	}
	return r.replica, r.term
}

// Steps counts the core's steps since the daemon started.
func (m *Master) Steps() uint64 { return m.steps.Load() }

// Lead runs the core on what the registry holds until ctx ends.
func (m *Master) Lead(ctx context.Context, term uint64, facts *registry.State) {
	id := uuid.NewString()
	cfg := m.cfg.Core
	cfg.MasterID, cfg.Term, cfg.Elected, cfg.Info = id, term, time.Now(), m.cfg.Info(id)
	cfg.Seed = term
	var recorder *recording.Recorder
	if m.cfg.Record.Dir != "" {
		recorder = recording.New(m.cfg.Record, cfg, facts.Clone(), m.log)
	}
	r := newReign(ctx, m, offers.New(cfg, facts), term)
	r.recorder = recorder
	m.log.Info("leading", "term", term, "master_id", id)
	m.reign.Store(r)
	var beside sync.WaitGroup
	beside.Go(r.view)
	beside.Go(recorder.Run)
	r.run()
	m.reign.Store(nil)
	recorder.Close()
	beside.Wait()
	r.close()
	m.log.Info("leadership ended", "term", term, "cause", context.Cause(r.ctx))
	r.end(nil)
}

// Agents is the port of agents' links.
func (m *Master) Agents() link.Port[*protocol.AgentToMaster, *protocol.MasterToAgent] {
	return agentPort{m}
}

// Gateways is the port of gateways' links.
func (m *Master) Gateways() link.Port[*protocol.GatewayToMaster, *protocol.MasterToGateway] {
	return gatewayPort{m}
}

// errReignEnded: the node stopped leading while a link gave it a message.
var errReignEnded = errors.New("leadership ended")

// errCoreFailed: the core panicked on an input that nobody sent.
var errCoreFailed = errors.New("the core failed")

// core is what decides: an offers.Master.
type core interface {
	Step(now time.Time, in offers.Input) []offers.Effect
	Deadline() time.Time
}

// reign is one leadership: the core, its links, and its view.
type reign struct {
	ctx      context.Context // ends with the leadership
	end      context.CancelCauseFunc
	m        *Master
	term     uint64
	core     core // owned by run, as are the clock and the recorder's ear
	clock    *clock
	recorder *recording.Recorder
	inbox    *inbox
	replica  *link.Replica
	tallies  tallies

	committed *mailbox[offers.Input]        // results of proposals; the quorum bounds them
	published *mailbox[*protocol.ViewEvent] // applied faster than the core makes them

	mu       sync.Mutex
	agents   map[offers.Link]link.Sender[*protocol.MasterToAgent]
	gateways map[offers.Link]link.Sender[*protocol.MasterToGateway]
	last     offers.Link
}

func newReign(ctx context.Context, m *Master, core core, term uint64) *reign {
	ctx, end := context.WithCancelCause(ctx)
	return &reign{
		ctx: ctx, end: end, m: m, term: term, core: core, clock: newClock(),
		inbox:     newInbox(),
		replica:   link.NewReplica(),
		tallies:   tallies{by: map[string]*Tally{}},
		committed: newMailbox[offers.Input](),
		published: newMailbox[*protocol.ViewEvent](),
		agents:    map[offers.Link]link.Sender[*protocol.MasterToAgent]{},
		gateways:  map[offers.Link]link.Sender[*protocol.MasterToGateway]{},
	}
}

// run is the deciding goroutine.
func (r *reign) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	r.step(offers.Start{})
	r.published.put(&protocol.ViewEvent{Event: &protocol.ViewEvent_Synced{Synced: &protocol.Synced{}}})
	for r.ctx.Err() == nil {
		if d := r.core.Deadline(); !d.IsZero() {
			timer.Reset(r.clock.until(d))
		}
		select {
		case <-r.ctx.Done():
		case <-r.inbox.wake:
			r.burst()
		case <-r.committed.wake:
			for _, in := range r.committed.take() {
				r.step(in)
			}
		case <-timer.C:
			r.step(offers.Tick{})
		}
	}
}

// burst takes what already waits, up to a bound, before timers are looked at again.
func (r *reign) burst() {
	for range 64 {
		in := r.inbox.next()
		if in == nil {
			return
		}
		r.step(in)
	}
	r.inbox.signal()
}

func (r *reign) step(in offers.Input) {
	now := r.clock.now()
	defer r.survive(now, in)
	r.m.steps.Add(1)
	effects := r.core.Step(now, in)
	r.tallies.count(in, effects)
	for _, e := range effects {
		r.do(e)
	}
	r.recorder.Step(now, in, effects, false)
}

// survive goes on after a message on which the core panics: else whoever sends it
// again would end one leader after the other. The link that it came over is closed.
// Any other input is the core's own affair: the reign ends, and the next one starts
// from the registry.
func (r *reign) survive(now time.Time, in offers.Input) {
	p := recover()
	if p == nil {
		return
	}
	r.recorder.Step(now, in, nil, true)
	r.m.log.Error("the core failed on an input, which is dropped", "input", fmt.Sprintf("%T", in), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	switch in := in.(type) {
	case offers.FromAgent:
		r.disconnect(offers.Disconnect{Link: in.Link, Reason: "the leader failed on its message"})
	case offers.FromGateway:
		r.disconnect(offers.Disconnect{Link: in.Link, Reason: "the leader failed on its message"})
	default:
		r.end(errCoreFailed)
	}
}

// do sends one effect on its way; it never waits.
func (r *reign) do(e offers.Effect) {
	switch e := e.(type) {
	case offers.ToAgent:
		if s := sender(r, r.agents, e.Link); s != nil {
			r.sent(s.Send(e.Message), e.Link)
		}
	case offers.ToGateway:
		if s := sender(r, r.gateways, e.Link); s != nil {
			r.sent(s.Send(e.Message), e.Link)
		}
	case offers.Disconnect:
		r.disconnect(e)
	case offers.Propose:
		r.m.registry.Propose(e.Op, func(err error) {
			r.committed.put(offers.Committed{Op: e.Op, Err: err})
		})
	case offers.Publish:
		r.tallies.note(e.Event)
		r.published.put(e.Event)
	}
}

// sent notes a peer that was too slow: its link ends, and the core hears of that
// as of any link that has ended before a message reached it.
func (r *reign) sent(err error, l offers.Link) {
	if errors.Is(err, link.ErrSlow) {
		r.m.log.Warn("link dropped", "link", uint64(l), "err", err)
	}
}

func sender[M any](r *reign, links map[offers.Link]M, l offers.Link) M {
	r.mu.Lock()
	defer r.mu.Unlock()
	return links[l]
}

func (r *reign) disconnect(e offers.Disconnect) {
	cause := errors.New(e.Reason)
	if s := sender(r, r.agents, e.Link); s != nil {
		s.Close(cause)
	}
	if s := sender(r, r.gateways, e.Link); s != nil {
		s.Close(cause)
	}
	r.m.log.Info("link closed", "link", uint64(e.Link), "reason", e.Reason)
}

// view applies what the core publishes, apart from the deciding goroutine.
func (r *reign) view() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.published.wake:
			r.replica.Apply(r.published.take()...)
		}
	}
}

// close ends all links of the reign and its view.
func (r *reign) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.agents {
		s.Close(errReignEnded)
	}
	for _, s := range r.gateways {
		s.Close(errReignEnded)
	}
	r.replica.End()
}

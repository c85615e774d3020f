package master

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"muster/node/link"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/registry"
	"muster/offers/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quorum commits what it is given, at once and in order, unless it is held.
type quorum struct {
	mu   sync.Mutex
	held bool
	err  error
	ops  []*registry.Op
	wait []func(error)
}

func (q *quorum) Propose(op *registry.Op, done func(error)) {
	q.mu.Lock()
	q.ops = append(q.ops, op)
	err, held := q.err, q.held
	if held {
		q.wait = append(q.wait, done)
	}
	q.mu.Unlock()
	if !held {
		go done(err)
	}
}

func (q *quorum) release() {
	q.mu.Lock()
	wait := q.wait
	q.held, q.wait = false, nil
	q.mu.Unlock()
	for _, done := range wait {
		done(nil)
	}
}

func (q *quorum) proposed(is func(*registry.Op) bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, op := range q.ops {
		if is(op) {
			return true
		}
	}
	return false
}

// peer is the far end of a link: it notes what the master sends.
type peer[M any] struct {
	mu     sync.Mutex
	got    []M
	slow   bool
	closed error
}

func (p *peer[M]) Send(m M) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow {
		return link.ErrSlow
	}
	p.got = append(p.got, m)
	return nil
}

func (p *peer[M]) Close(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = cause
}

func (p *peer[M]) take() []M {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

func (p *peer[M]) end() error {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

type (
	agentPeer   = peer[*protocol.MasterToAgent]
	gatewayPeer = peer[*protocol.MasterToGateway]
)

// rig is a node that leads.
type rig struct {
	*Master
	t      *testing.T
	quorum *quorum
	depose context.CancelCauseFunc
	ended  chan struct{}
}

func newRig(t *testing.T) *rig {
	q := &quorum{}
	return &rig{t: t, quorum: q, Master: New(Config{
		Info: func(id string) *mesos.MasterInfo {
			return &mesos.MasterInfo{Id: &id, Ip: proto.Uint32(1), Port: proto.Uint32(5050), Hostname: proto.String("m")}
		},
	}, q, nil)}
}

func (r *rig) lead(term uint64) {
	var ctx context.Context
	ctx, r.depose = context.WithCancelCause(r.t.Context())
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		r.Lead(ctx, term, registry.NewState())
	}()
	synctest.Wait()
}

func (r *rig) stop() {
	r.depose(errors.New("deposed"))
	<-r.ended
}

// leading runs f on a node that leads in term 5.
func leading(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.lead(5)
		f(t, r)
		r.stop()
	})
}

func (r *rig) agent() (*agentPeer, link.Receiver[*protocol.AgentToMaster]) {
	r.t.Helper()
	p := &agentPeer{}
	term, up, err := r.Agents().Open("node-a", p)
	if err != nil || term != 5 {
		r.t.Fatalf("term %d, %v", term, err)
	}
	return p, up
}

func (r *rig) gateway() (*gatewayPeer, link.Receiver[*protocol.GatewayToMaster]) {
	r.t.Helper()
	p := &gatewayPeer{}
	term, up, err := r.Gateways().Open("node-g", p)
	if err != nil || term != 5 {
		r.t.Fatalf("term %d, %v", term, err)
	}
	return p, up
}

func register() *protocol.AgentToMaster {
	cpus, mem := 4.0, 4096.0
	res := func(name string, v *float64) *mesos.Resource {
		return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}}
	}
	return &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{Register: &protocol.Register{
		Agent:   &mesos.AgentInfo{Hostname: proto.String("h"), Resources: []*mesos.Resource{res("cpus", &cpus), res("mem", &mem)}},
		Version: proto.String("1"), Incarnation: proto.String("i"), HttpAddress: proto.String("10.0.0.1:5051"),
	}}}
}

func subscribe(session string) *protocol.GatewayToMaster {
	return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Subscribe{Subscribe: &protocol.Subscribe{
		SessionId: &session, Call: &scheduler.Call{Type: scheduler.Call_SUBSCRIBE.Enum(), Subscribe: &scheduler.Call_Subscribe{
			FrameworkInfo: &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n")},
		}},
	}}}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func events(got []*protocol.MasterToGateway) []scheduler.Event_Type {
	var types []scheduler.Event_Type
	for _, m := range got {
		if e := m.GetEvent(); e != nil {
			types = append(types, e.GetEvent().GetType())
		}
	}
	return types
}

func (r *rig) view() *view.View {
	r.t.Helper()
	synctest.Wait()
	replica, _ := r.Leading()
	if replica == nil {
		r.t.Fatal("no view of a node that leads")
	}
	v, err := replica.Snapshot(r.t.Context())
	must(r.t, err)
	return v
}

func TestNodeThatDoesNotLeadRefusesLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		refused := func() {
			t.Helper()
			if _, _, err := r.Agents().Open("p", &agentPeer{}); !errors.Is(err, link.ErrNotLeading) {
				t.Fatalf("an agent: %v", err)
			}
			if _, _, err := r.Gateways().Open("p", &gatewayPeer{}); !errors.Is(err, link.ErrNotLeading) {
				t.Fatalf("a gateway: %v", err)
			}
			if replica, term := r.Leading(); replica != nil || term != 0 {
				t.Fatal("there is a view")
			}
		}
		refused()
		r.lead(5)
		r.stop()
		refused()
	})
}

func TestOfferGoesFromAgentToFramework(t *testing.T) {
	leading(t, func(t *testing.T, r *rig) {
		a, fromAgent := r.agent()
		g, fromGateway := r.gateway()
		must(t, fromAgent.Receive(register()))
		got := a.take()
		if len(got) == 0 || got[0].GetRegistered().GetAgentId().GetValue() == "" || got[0].GetTerm() != 5 {
			t.Fatalf("the agent got %v", got)
		}
		must(t, fromGateway.Receive(subscribe("s")))
		time.Sleep(time.Second)
		types := events(g.take())
		if len(types) != 2 || types[0] != scheduler.Event_SUBSCRIBED || types[1] != scheduler.Event_OFFERS {
			t.Fatalf("the framework got %v", types)
		}
		v := r.view()
		if len(v.Agents()) != 1 || len(v.Frameworks()) != 1 || len(v.Offers()) != 1 || v.Master().GetTerm() != 5 {
			t.Fatalf("the view: %d agents, %d frameworks, %d offers", len(v.Agents()), len(v.Frameworks()), len(v.Offers()))
		}
		if r.Steps() == 0 {
			t.Fatal("no step was counted")
		}
	})
}

func TestQuorumThatTakesItsTimeHoldsUpNobodyElse(t *testing.T) {
	leading(t, func(t *testing.T, r *rig) {
		r.quorum.held = true
		a, fromAgent := r.agent()
		must(t, fromAgent.Receive(register()))
		if got := a.take(); len(got) != 0 {
			t.Fatalf("answered before it was committed: %v", got)
		}
		g, fromGateway := r.gateway()
		must(t, fromGateway.Receive(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Heartbeat{Heartbeat: &protocol.Heartbeat{}}}))
		if got := g.take(); len(got) != 1 || got[0].GetHeartbeat() == nil {
			t.Fatalf("a heartbeat was answered by %v", got)
		}
		r.quorum.release()
		if got := a.take(); len(got) == 0 || got[0].GetRegistered() == nil {
			t.Fatalf("the agent got %v", got)
		}
	})
}

func TestAgentThatFallsSilentIsUnreachable(t *testing.T) {
	leading(t, func(t *testing.T, r *rig) {
		_, fromAgent := r.agent()
		must(t, fromAgent.Receive(register()))
		unreachable := func(op *registry.Op) bool { return op.GetMarkAgentUnreachable() != nil }
		beat := &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Heartbeat{Heartbeat: &protocol.Heartbeat{}}}
		for range 20 {
			time.Sleep(15 * time.Second)
			must(t, fromAgent.Receive(beat))
		}
		if r.quorum.proposed(unreachable) {
			t.Fatal("an agent with heartbeats was given up")
		}
		time.Sleep(80 * time.Second)
		synctest.Wait()
		if !r.quorum.proposed(unreachable) || len(r.view().Agents()) != 0 || len(r.view().UnreachableAgents()) != 1 {
			t.Fatal("a silent agent was not given up")
		}
	})
}

func TestAgentWhoseLinkEndsIsOfferedNoMore(t *testing.T) {
	leading(t, func(t *testing.T, r *rig) {
		_, fromAgent := r.agent()
		must(t, fromAgent.Receive(register()))
		if a := r.waitAgent(); !a {
			t.Fatal("the agent is not active")
		}
		fromAgent.Closed(link.ErrSlow)
		if a := r.waitAgent(); a {
			t.Fatal("the agent is still active")
		}
	})
}

// waitAgent tells whether the only agent is active.
func (r *rig) waitAgent() bool {
	r.t.Helper()
	return r.view().Agents()[0].GetActive()
}

func TestSlowPeerCostsNobodyElse(t *testing.T) {
	leading(t, func(t *testing.T, r *rig) {
		slow, fromSlow := r.gateway()
		slow.slow = true
		quick, fromQuick := r.gateway()
		must(t, fromSlow.Receive(subscribe("s1")), fromQuick.Receive(subscribe("s2")))
		if types := events(quick.take()); len(types) != 1 || types[0] != scheduler.Event_SUBSCRIBED {
			t.Fatalf("the quick one got %v", types)
		}
	})
}

func TestLinkThatSpeaksOutOfTurnIsClosed(t *testing.T) {
	leading(t, func(t *testing.T, r *rig) {
		a, fromAgent := r.agent()
		must(t, fromAgent.Receive(&protocol.AgentToMaster{Message: &protocol.AgentToMaster_Heartbeat{Heartbeat: &protocol.Heartbeat{}}}))
		if a.end() == nil {
			t.Fatal("an agent that did not register keeps its link")
		}
		fromAgent.Closed(nil)
	})
}

func TestLeadershipEndsWithAllItsLinksAndItsView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.lead(5)
		a, fromAgent := r.agent()
		g, fromGateway := r.gateway()
		must(t, fromAgent.Receive(register()))
		replica, _ := r.Leading()
		w, err := replica.Watch(t.Context())
		must(t, err)
		r.stop()
		if a.end() == nil || g.end() == nil {
			t.Fatal("a link outlives the leadership")
		}
		for err == nil {
			_, err = w.Next(t.Context())
		}
		if !errors.Is(err, link.ErrWatchEnded) {
			t.Fatalf("the watch ended with %v", err)
		}
		if _, err := replica.Snapshot(t.Context()); err == nil {
			t.Fatal("the view of a deposed leader is read")
		}
		// What links still say reaches nobody, and waits for nobody.
		for range 2 * inboxSize {
			_ = fromAgent.Receive(register()) // either answer is right: nobody looks
		}
		fromAgent.Closed(nil)
		fromGateway.Closed(nil)
	})
}

func TestEachLeadershipHasANameOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := map[string]bool{}
		for term := uint64(5); term < 8; term++ {
			r.lead(term)
			if _, at := r.Leading(); at != term {
				t.Fatalf("leads in term %d", at)
			}
			ids[r.view().Master().GetInfo().GetId()] = true
			r.stop()
		}
		if len(ids) != 3 {
			t.Fatalf("the leaderships are named %v", ids)
		}
	})
}

func TestMailboxKeepsAllInOrder(t *testing.T) {
	b := newMailbox[int]()
	var putting sync.WaitGroup
	putting.Go(func() {
		for i := range 10_000 {
			b.put(i)
		}
	})
	for next := 0; next < 10_000; {
		<-b.wake
		for _, v := range b.take() {
			if v != next {
				t.Fatalf("got %d, want %d", v, next)
			}
			next++
		}
	}
	putting.Wait()
}

package master

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/node/link"
	"muster/offers"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/registry"
)

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
		for range 2 * agentInputs {
			_ = fromAgent.Receive(register()) // either answer is right: nobody looks
		}
		fromAgent.Closed(nil)
		fromGateway.Closed(nil)
	})
}

// fragile is a core that panics on every message of an agent.
type fragile struct{ links map[offers.Link]bool }

func (f *fragile) Deadline() time.Time { return time.Time{} }

func (f *fragile) Step(_ time.Time, in offers.Input) []offers.Effect {
	switch in := in.(type) {
	case offers.FromAgent:
		panic("poison")
	case offers.FromGateway:
		return []offers.Effect{offers.ToGateway{Link: in.Link, Message: &protocol.MasterToGateway{}}}
	case offers.AgentDisconnected:
		delete(f.links, in.Link)
	case offers.AgentConnected:
		f.links[in.Link] = true
	}
	return nil
}

func TestInputOnWhichTheCoreFailsCostsItsLinkOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newRig(t).Master
		ctx, cancel := context.WithCancel(t.Context())
		f := &fragile{map[offers.Link]bool{}}
		r := newReign(ctx, m, f, 5)
		m.reign.Store(r)
		var running sync.WaitGroup
		running.Go(r.run)
		a, g := &agentPeer{}, &gatewayPeer{}
		_, fromAgent, err := m.Agents().Open("a", a)
		must(t, err)
		_, fromGateway, err := m.Gateways().Open("g", g)
		must(t, err, fromAgent.Receive(register()))
		if a.end() == nil {
			t.Fatal("the link is still there")
		}
		fromAgent.Closed(nil)
		must(t, fromGateway.Receive(subscribe("s")))
		if len(g.take()) != 1 || g.end() != nil {
			t.Fatal("another link was touched")
		}
		cancel()
		running.Wait()
		if len(f.links) != 0 {
			t.Fatal("the core was not told that the link ended")
		}
	})
}

// late is a core that panics when its time comes, again and again.
type late struct{ fragile }

func (*late) Deadline() time.Time { return time.Now().Add(time.Second) }

func (l *late) Step(now time.Time, in offers.Input) []offers.Effect {
	if _, ok := in.(offers.Tick); ok {
		panic("poison")
	}
	return l.fragile.Step(now, in)
}

func TestCoreThatFailsByItselfEndsItsReign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReign(t.Context(), newRig(t).Master, &late{fragile{map[offers.Link]bool{}}}, 5)
		r.run() // returns, though the node still leads
		if cause := context.Cause(r.ctx); !errors.Is(cause, errCoreFailed) {
			t.Fatal(cause)
		}
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

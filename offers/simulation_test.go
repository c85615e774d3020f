package offers

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// simulation is a small cluster that behaves: agents that run what they are told
// and repeat what is not acknowledged, gateways that announce their streams again,
// frameworks that use offers; and a network and leaders that fail.
type simulation struct {
	t          *testing.T
	w          *world
	r          *rand.Rand
	agents     []*simAgent
	gateways   []*simGateway
	frameworks []*simFramework
	link       Link
	tasks      int
	operations int
	volumes    int
	resting    bool // nothing new is wanted of agents but tasks
	sharing    bool // nor tasks
	calls      uint64
	leader     *Master // that was looked at last
	checked    int     // how many of its offers
}

func newSimulation(t *testing.T, seed uint64, tape *tape) *simulation {
	s := &simulation{t: t, r: rand.New(rand.NewPCG(seed, 2))}
	s.w = newTapedWorld(t, Config{Seed: seed, OfferTimeout: time.Minute, Info: masterIn("near/a")}, tape)
	s.w.onEffect, s.w.onStep, s.w.every = s.effect, s.checkOffers, 8
	for i, machine := range simMachines {
		s.agents = append(s.agents, &simAgent{peer: fmt.Sprintf("p%d", i), machine: machine, incarnation: "1", tasks: map[string]*simTask{},
			operations: map[string]*simOperation{}, total: s.set(machine.resources)})
	}
	for range 2 {
		s.gateways = append(s.gateways, &simGateway{})
	}
	for i := range 3 {
		s.frameworks = append(s.frameworks, &simFramework{
			gateway: s.gateways[i%2], failover: 3600, offers: map[string]*mesos.Offer{},
			roles: []string{simRoles[i]}, ended: map[string]bool{},
			accepted: map[string]*mesos.TaskInfo{}, calling: map[uint64][]*mesos.TaskInfo{}, alive: map[string]mesos.TaskState{},
		})
	}
	return s
}

func (s *simulation) newLink() Link {
	s.link++
	return s.link
}

// effect carries out what the core wants done.
func (s *simulation) effect(e Effect) {
	switch e := e.(type) {
	case ToAgent:
		for _, a := range s.agents {
			if a.link == e.Link && !a.deaf {
				s.toAgent(a, e.Message)
			}
		}
	case ToGateway:
		for _, g := range s.gateways {
			if g.link == e.Link && !g.deaf {
				s.toGateway(g, e.Message)
			}
		}
	case Disconnect:
		for _, a := range s.agents {
			if a.link == e.Link {
				a.link, a.registered = 0, false
			}
		}
	}
}

// breakLinks ends the links that lose what is sent over them.
func (s *simulation) breakLinks() {
	for _, a := range s.agents {
		if a.deaf {
			a.deaf = false
			s.w.do(AgentDisconnected{Link: a.link})
			a.link, a.registered = 0, false
		}
	}
	for _, g := range s.gateways {
		if g.deaf {
			g.deaf = false
			s.w.do(GatewayDisconnected{Link: g.link})
			g.link = 0
			for _, f := range s.frameworks {
				if f.gateway == g {
					clear(f.calling)
				}
			}
		}
	}
}

// connect links whatever is not linked, as the real parts do.
func (s *simulation) connect() {
	for _, g := range s.gateways {
		if g.link == 0 {
			g.link = s.newLink()
			s.w.do(GatewayConnected{Link: g.link})
			for _, f := range s.frameworks {
				if f.gateway == g && f.session != "" {
					s.announce(f, f.id != "")
				}
			}
		}
	}
	for _, a := range s.agents {
		if a.link == 0 {
			a.link = s.newLink()
			s.w.do(AgentConnected{Link: a.link, Peer: a.peer})
			s.register(a)
		}
	}
	for _, f := range s.frameworks {
		if f.session == "" && !f.dead {
			f.sessions++
			f.session = fmt.Sprintf("s%d-%d", slices.Index(s.frameworks, f), f.sessions)
			s.announce(f, false)
		}
	}
}

// work lets agents send what is not acknowledged and frameworks use their offers.
func (s *simulation) work() {
	for _, a := range s.agents {
		if a.link == 0 || !a.registered {
			continue
		}
		s.w.do(FromAgent{a.link, &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Heartbeat{Heartbeat: &protocol.Heartbeat{}}}})
		for _, key := range sortedKeys(a.tasks) {
			t := a.tasks[key]
			if t == nil || a.link == 0 {
				continue
			}
			if s.r.IntN(3) == 0 {
				next := mesos.TaskState_TASK_RUNNING
				if t.state == next {
					next = mesos.TaskState_TASK_FINISHED
				}
				s.turn(a, t, next)
			}
			if len(t.updates) > 0 {
				s.w.do(FromAgent{a.link, &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Update{Update: &protocol.Update{
					FrameworkId: t.framework.GetId(), Status: t.updates[0], LatestState: t.state.Enum()}}}})
			}
		}
		s.tellOperations(a)
	}
	for _, f := range s.frameworks {
		if f.session == "" || f.id == "" || f.gateway.link == 0 {
			continue
		}
		if s.r.IntN(12) == 0 && !s.resting {
			s.change(f)
		}
		for _, id := range sortedKeys(f.offers) {
			o := f.offers[id]
			if o == nil || s.sharing {
				continue // rescinded meanwhile, or kept
			}
			delete(f.offers, id)
			if s.r.IntN(3) == 0 {
				s.w.do(s.callOf(f, &scheduler.Call{Type: scheduler.Call_DECLINE.Enum(), Decline: &scheduler.Call_Decline{OfferIds: []*mesos.OfferID{o.GetId()}}}))
				continue
			}
			s.accept(f, o)
		}
	}
}

// harm breaks something.
func (s *simulation) harm() {
	switch s.r.IntN(14) {
	case 12, 13: // operators steer
		s.steer(s.agents[s.r.IntN(len(s.agents))])
	case 7, 8:
		s.agents[s.r.IntN(len(s.agents))].deaf = true
	case 9:
		s.gateways[s.r.IntN(len(s.gateways))].deaf = true
	case 0, 1:
		a := s.agents[s.r.IntN(len(s.agents))]
		s.w.do(AgentDisconnected{Link: a.link})
		a.link, a.registered = 0, false
	case 2:
		g := s.gateways[s.r.IntN(len(s.gateways))]
		s.w.do(GatewayDisconnected{Link: g.link})
		g.link = 0
	case 3: // the leader dies with what it was about to send
		for _, a := range s.agents {
			a.link, a.registered = 0, false
		}
		for _, g := range s.gateways {
			g.link = 0
		}
		for _, f := range s.frameworks {
			clear(f.offers) // the gateway rescinds them
			clear(f.calling)
		}
		s.w.later = nil
		s.w.failover()
	case 4: // a framework fails over to a new stream
		if f := s.frameworks[s.r.IntN(len(s.frameworks))]; f.gateway.link != 0 && f.id != "" && !f.dead {
			f.sessions++
			f.session = fmt.Sprintf("s%d-%d", slices.Index(s.frameworks, f), f.sessions)
			s.announce(f, false)
		}
	case 5: // an agent loses its memory, tasks and all
		if a := s.agents[s.r.IntN(len(s.agents))]; s.r.IntN(4) == 0 {
			s.w.do(AgentDisconnected{Link: a.link})
			a.link, a.registered, a.id = 0, false, ""
			a.wipe(s)
		}
	case 6: // an agent is cut off for long
		if s.r.IntN(3) == 0 {
			a := s.agents[s.r.IntN(len(s.agents))]
			s.w.do(AgentDisconnected{Link: a.link})
			a.link, a.registered = 0, false
			s.w.advance(80 * time.Second)
		}
	}
}

// live lets so many rounds of work and harm pass.
func (s *simulation) live(rounds int) {
	for range rounds {
		s.connect()
		s.work()
		s.breakLinks()
		s.harm()
		if s.r.IntN(4) == 0 {
			s.govern()
		}
		s.checkKept()
		s.w.advance(time.Duration(s.r.IntN(3000)) * time.Millisecond)
	}
}

var (
	seeds     = flag.Int("seeds", 6, "how many lives of the simulated cluster")
	firstSeed = flag.Uint64("first-seed", 0, "of these lives")
)

func TestSimulatedCluster(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newSimulation(t, *firstSeed+uint64(seed), nil)
			s.live(120)
			s.rest()
			if n := s.tally(); n[mesos.TaskState_TASK_FINISHED.String()] < s.tasks/2 {
				t.Errorf("of %d tasks most did not finish: %v", s.tasks, n)
			}
			s.share()
		})
	}
}

// rest lets everything heal and end, and checks that nothing was forgotten.
func (s *simulation) rest() {
	s.resting = true
	s.breakLinks()
	for range 40 {
		s.connect()
		s.release()
		s.work()
		s.w.advance(5 * time.Second)
	}
	for i, f := range s.frameworks {
		// I8, but for those that only just were accepted.
		for _, id := range sortedKeys(f.accepted) {
			if !slices.ContainsFunc(s.agents, func(a *simAgent) bool { return a.tasks[f.id+"/"+id] != nil }) {
				s.t.Errorf("framework %d: task %s was accepted and never heard of", i, id)
			}
		}
		if f.dead {
			s.t.Errorf("framework %d was removed although its failover timeout is an hour", i)
		}
	}
	s.checkKept()
	for _, a := range s.agents {
		known := s.w.core.agents[a.id]
		if known == nil {
			s.t.Fatalf("agent %s is not registered after all", a.id)
		}
		for key := range a.tasks {
			found := false
			for _, t := range known.tasks {
				found = found || t.framework+"/"+t.id == key
			}
			if !found {
				s.t.Errorf("agent %s runs %s and the core does not know", a.id, key)
			}
		}
		if len(known.operations)+len(a.operations) > 0 {
			s.t.Errorf("agent %s: %d operations are not acknowledged, the core knows %d", a.id, len(a.operations), len(known.operations))
		}
		if !known.total.Equal(a.total) || !known.revocable.Equal(a.lent) {
			s.t.Errorf("agent %s has %s and lends %s, the core knows %s and %s", a.id, a.total, a.lent, known.total, known.revocable)
		}
		if used := known.allocated.Unallocate().NonShared().NonRevocable(); !known.capacity().Contains(used) {
			s.t.Errorf("agent %s has %s, but %s is used", a.id, known.capacity(), used)
		}
		if len(known.tasks) != len(a.tasks) {
			s.t.Errorf("agent %s: the core knows %d tasks, it has %d", a.id, len(known.tasks), len(a.tasks))
		}
	}
}

func (s *simulation) tally() map[string]int {
	n := map[string]int{}
	for _, f := range s.frameworks {
		for _, st := range f.alive {
			n[st.String()]++
		}
	}
	return n
}

package consensus

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"muster/offers/registry"
)

func TestAFoundingNodeLeadsAtOnce(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		begin := time.Now()
		n := c.run("n1", initOp())
		l := <-n.leads
		if took := time.Since(begin); took > 10*time.Millisecond {
			t.Errorf("leads after %s", took)
		}
		if l.state.Cluster().GetClusterId() != "test" {
			t.Error("OnLead does not see the first operation")
		}
		if err := propose(n, memberOp("x")); err != nil {
			t.Fatal(err)
		}
		if n.State().Member("x") == nil {
			t.Error("operation was not applied")
		}
		n.stop()
		if err := <-n.fall; err != ErrStopped {
			t.Errorf("cause %v", err)
		}
		if context.Cause(l.ctx) != ErrStopped {
			t.Error("context goes on")
		}
	})
}

func TestAQuorumGrowsToThreeVotersAndTwoStandbys(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.run("n1", initOp())
		c.settled(time.Second, 1, 0)
		c.run("n2")
		c.settled(time.Second, 1, 1)
		for _, id := range []string{"n3", "n4", "n5", "n6"} {
			c.run(id)
		}
		c.settled(3*time.Second, 3, 2)
		roles := map[Role]int{}
		for _, n := range c.all() {
			roles[n.Status().Role]++
		}
		if roles[Leader] != 1 || roles[Voter] != 2 || roles[Standby] != 2 || roles[Outsider] != 1 {
			t.Errorf("roles %v", roles)
		}
		reasons := 0
		for _, e := range c.leader(time.Second).Status().Events {
			if e.Err != "" {
				t.Errorf("%+v", e)
			}
			if e.Reason != "" {
				reasons++
			}
		}
		if reasons != 6 { // four added, two promoted
			t.Errorf("%d changes with a reason", reasons)
		}
	})
}

func TestANodeThatWasNotAddedWaits(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		n := c.run("n1")
		time.Sleep(time.Minute)
		if st := n.Status(); st.Role != Outsider || st.Term != 0 || st.LastIndex != 0 {
			t.Errorf("%+v", st)
		}
		if err := propose(n, memberOp("x")); !errors.Is(err, ErrNotLeader) {
			t.Error(err)
		}
	})
}

func TestALeaderThatIsKilledIsReplacedWithinASecond(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.grow(3, 3, 0)
		var worst time.Duration
		for range 20 {
			old := c.leader(time.Second)
			id := old.Status().Node
			begin := time.Now()
			c.net.kill(id)
			next := c.leader(time.Second, id)
			took := time.Since(begin)
			worst = max(worst, took)
			if term := old.Status().Term; next.Status().Term <= term {
				t.Errorf("term %d after %d", next.Status().Term, term)
			}
			c.stop(id)
			c.run(id)
			c.settled(5*time.Second, 3, 0)
		}
		t.Log("worst", worst)
	})
}

func TestALeaderThatIsCutOffEndsBeforeTheNextBegins(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.grow(3, 3, 0)
		for range 5 {
			old := c.leader(time.Second)
			id := old.Status().Node
			l := <-old.leads
			for l.term != old.Status().Term { // those of before
				l = <-old.leads
			}
			begin := time.Now()
			c.net.isolate(id, true)
			<-l.ctx.Done()
			if took := time.Since(begin); took > 2*old.cfg.lease() {
				t.Errorf("went on for %s", took)
			}
			if err := context.Cause(l.ctx); err != ErrDeposed {
				t.Errorf("cause %v", err)
			}
			for _, n := range c.all() {
				if st := n.Status(); st.Role == Leader {
					t.Errorf("%s leads already in term %d, %s ended term %d", st.Node, st.Term, id, l.term)
				}
			}
			c.leader(2*time.Second, id)
			c.net.isolate(id, false)
			c.settled(5*time.Second, 3, 0)
		}
	})
}

func TestADeadVoterIsReplacedWithinFourSeconds(t *testing.T) {
	for _, dead := range []string{"leader", "follower"} {
		t.Run(dead, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				c := newCluster(t, nil)
				c.grow(5, 3, 2)
				leader := c.leader(time.Second).Status()
				id := leader.Node
				if dead == "follower" {
					id = other(leader.Voters, leader.Node)
				}
				c.kill(id)
				begin := time.Now()
				c.until(4*time.Second, "three live voters", func() bool {
					for _, n := range c.all() {
						if st := n.Status(); st.Role == Leader && len(st.Voters) == 3 {
							return !isMember(st.Voters, id) && c.lag(st) == 0
						}
					}
					return false
				})
				t.Log("replaced after", time.Since(begin))

				c.run(id) // as a standby, after a while
				c.settled(20*time.Second, 3, 2)
				if st := c.leader(time.Second).Status(); !isMember(st.Standbys, id) {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

func TestALeaderReplacedWhileItWasAwayComesBackAsAStandby(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.grow(4, 3, 1)
		old := c.leader(time.Second)
		id := old.Status().Node
		c.net.isolate(id, true)
		c.leader(2*time.Second, id)
		c.until(5*time.Second, "its removal", func() bool { return !isMember(c.leader(time.Second, id).Status().Voters, id) })
		if err := propose(c.leader(time.Second, id), memberOp("x")); err != nil {
			t.Fatal(err)
		}
		if err := propose(old, memberOp("y")); !errors.Is(err, ErrNotLeader) {
			t.Errorf("the old leader says %v", err)
		}

		// It hears that it votes no more, and keeps quiet.
		time.Sleep(5 * time.Second)
		st := c.leader(time.Second, id).Status()
		old.Heard(st.Term, st.Node, []string{st.Voters[0].ID, st.Voters[1].ID, st.Voters[2].ID})
		time.Sleep(time.Second)
		if d := old.running.Load().raft.ReloadableConfig().HeartbeatTimeout; d != quietFor {
			t.Errorf("asks for votes every %s", d)
		}

		c.net.isolate(id, false)
		c.until(20*time.Second, "its return", func() bool {
			return old.Status().Role == Standby && old.State().Member("x") != nil
		})
		if d := old.running.Load().raft.ReloadableConfig().HeartbeatTimeout; d != old.cfg.Heartbeat {
			t.Errorf("as a standby it waits %s", d)
		}
		if term := c.leader(time.Second).Status().Term; term != st.Term {
			t.Errorf("its return cost an election: term %d, then %d", st.Term, term)
		}
	})
}

func TestAMemberThatWasShutOutLosesItsVote(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.grow(4, 3, 1)
		l := c.leader(time.Second)
		out := l.Status().Node // the leader itself
		for _, op := range []*registry.Op{memberOp(out), removeOp(out)} {
			if err := propose(l, op); err != nil {
				t.Fatal(err)
			}
		}
		c.until(10*time.Second, "another leader and another voter", func() bool {
			for _, n := range c.all() {
				st := n.Status()
				if st.Role == Leader && st.Node != out {
					return len(st.Voters) == 3 && !isMember(st.Voters, out) && !isMember(st.Standbys, out)
				}
			}
			return false
		})
	})
}

func TestALeaderThatStopsHandsOver(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.grow(3, 3, 0)
		for range 5 {
			id := c.leader(time.Second).Status().Node
			begin := time.Now()
			c.stop(id)
			c.leader(time.Second)
			if took := time.Since(begin); took > 200*time.Millisecond {
				t.Errorf("handed over after %s", took)
			}
			c.run(id)
			c.settled(5*time.Second, 3, 0)
		}
	})
}

func TestTheNextOnLeadWaitsForTheLast(t *testing.T) {
	virtual(t, func(t *testing.T) {
		var running, most, calls atomic.Int32
		c := newCluster(t, nil)
		n := &node{stop: func() {}, end: make(chan error, 1)}
		cfg := c.config("n1")
		cfg.OnLead = func(ctx context.Context, _ uint64, _ *registry.State) {
			calls.Add(1)
			most.Store(max(most.Load(), running.Add(1)))
			<-ctx.Done()
			time.Sleep(10 * time.Second) // slow to end
			running.Add(-1)
		}
		q, err := New(cfg, c.net.transport("n1"))
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Bootstrap(initOp()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		n.Quorum, n.stop = q, cancel
		c.mu.Lock()
		c.nodes["n1"] = n
		c.mu.Unlock()
		go func() { n.end <- q.Run(ctx) }()
		c.until(time.Second, "the first call", func() bool { return calls.Load() == 1 })
		run := q.running.Load()
		for range 3 { // depose it: as the only voter it is elected again at once
			q.standForElection(run.raft, run.contacts)
			time.Sleep(time.Second)
		}
		c.until(30*time.Second, "the next call", func() bool { return calls.Load() == 2 })
		if most.Load() != 1 {
			t.Errorf("%d at once", most.Load())
		}
	})
}

func TestANodeWhoseWorkEndsGivesLeadershipAway(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.grow(3, 3, 0)
		l := c.leader(time.Second)
		id := l.Status().Node
		c.stop(id)
		c.run(id)
		c.settled(5*time.Second, 3, 0)

		var fails atomic.Int32
		fail := c.leader(time.Second)
		failID := fail.Status().Node
		c.stop(failID)
		cfg := c.config(failID)
		cfg.OnLead = func(context.Context, uint64, *registry.State) { fails.Add(1) }
		q, err := New(cfg, c.net.transport(failID))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		n := &node{Quorum: q, stop: cancel, end: make(chan error, 1), since: time.Now()}
		go func() { n.end <- q.Run(ctx) }()
		c.mu.Lock()
		c.nodes[failID] = n
		c.mu.Unlock()
		c.settled(5*time.Second, 3, 0)
		for fails.Load() == 0 { // until it is elected
			other := c.leader(5 * time.Second)
			if other.Status().Node == failID {
				break
			}
			other.running.Load().raft.LeadershipTransfer()
			time.Sleep(100 * time.Millisecond)
		}
		c.until(5*time.Second, "another leader", func() bool {
			for _, o := range c.all() {
				if st := o.Status(); st.Role == Leader && st.Node != failID && fails.Load() > 0 {
					return true
				}
			}
			return false
		})
	})
}

func TestChangedTellsOfLeadersAndMembers(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		n := c.run("n1", initOp())
		<-n.leads
		ch := n.Changed()
		c.run("n2")
		<-ch
		c.settled(time.Second, 1, 1)
	})
}

func other(members []Member, but string) string {
	for _, m := range members {
		if m.ID != but {
			return m.ID
		}
	}
	return ""
}

func isMember(members []Member, id string) bool {
	for _, m := range members {
		if m.ID == id {
			return true
		}
	}
	return false
}

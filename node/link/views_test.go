package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/view"
)

func names(v *view.View) []string {
	var out []string
	for _, a := range v.RecoveredAgents() {
		out = append(out, a.GetHostname())
	}
	return out
}

func wholeReplica(agents ...string) *Replica {
	r := NewReplica()
	for _, a := range agents {
		r.Apply(agentEvent(a))
	}
	r.Apply(synced)
	return r
}

func TestSnapshotWaitsUntilTheViewIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReplica()
		got := make(chan *view.View, 1)
		go func() {
			v, err := r.Snapshot(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- v
		}()
		r.Apply(agentEvent("a"))
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("half a view was handed out")
		default:
		}
		r.Apply(agentEvent("b"), synced)
		wantStrings(t, names(<-got), "a", "b")
	})
}

func TestSnapshotIsSharedUntilTheViewChanges(t *testing.T) {
	r := wholeReplica("a")
	one, err1 := r.Snapshot(t.Context())
	two, err2 := r.Snapshot(t.Context())
	if err1 != nil || err2 != nil || one != two {
		t.Fatal("two reads of one state made two copies", err1, err2)
	}
	r.Apply(agentEvent("b"))
	wantStrings(t, names(one), "a")
	three, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantStrings(t, names(three), "a", "b")
}

func TestWatchGetsWhatFollowsItsSnapshot(t *testing.T) {
	r := wholeReplica("a")
	w, err := r.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Apply(agentEvent("b"), agentEvent("c"))
	wantStrings(t, names(w.Snapshot), "a")
	for _, want := range []string{"b", "c"} {
		e, err := w.Next(t.Context())
		if err != nil || e.GetRecoveredAgent().GetHostname() != want {
			t.Fatalf("next: %v, %v, want %s", e, err, want)
		}
	}
}

func TestSlowWatcherIsDroppedAndNobodyElse(t *testing.T) {
	r := wholeReplica()
	slow, err := r.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	quick, err := r.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := agentEvent("a")
	for range watchSize + 1 {
		r.Apply(e)
		if _, err := quick.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for err = nil; err == nil; {
		_, err = slow.Next(t.Context())
	}
	if !errors.Is(err, ErrSlow) {
		t.Fatalf("the slow watcher was told %v", err)
	}
	r.Apply(e)
	if _, err := quick.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(r.watchers) != 1 {
		t.Fatalf("%d watchers are kept", len(r.watchers))
	}
}

func TestWatchEndsWhenTheViewIsBuiltAnew(t *testing.T) {
	for name, end := range map[string]func(*Replica){
		"reset": func(r *Replica) {
			r.Apply(&protocol.ViewEvent{Event: &protocol.ViewEvent_Reset_{Reset_: &protocol.Reset{}}})
		},
		"end of leadership": (*Replica).End,
	} {
		t.Run(name, func(t *testing.T) {
			r := wholeReplica("a")
			w, err := r.Watch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			end(r)
			if _, err := w.Next(t.Context()); !errors.Is(err, ErrWatchEnded) {
				t.Fatalf("next: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := r.Snapshot(ctx); err == nil {
				t.Fatal("a view that is not whole was handed out")
			}
		})
	}
}

func TestReadersAndWriterMayMeet(t *testing.T) {
	r := wholeReplica()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 200 {
				v, err := r.Snapshot(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				_ = names(v)
			}
		})
	}
	for i := range 200 {
		r.Apply(agentEvent(fmt.Sprint(i)))
	}
	group.Wait()
}

// cluster is nodes that read each other's views.
type cluster struct {
	t       *testing.T
	ctx     context.Context
	compass *compass
	mu      sync.Mutex
	leading map[string]*Replica
	serving sync.WaitGroup
	streams int
}

func newCluster(t *testing.T) *cluster {
	ctx, cancel := context.WithCancel(t.Context())
	c := &cluster{t: t, ctx: ctx, compass: newCompass(), leading: map[string]*Replica{}}
	t.Cleanup(func() { cancel(); c.serving.Wait() })
	return c
}

func (c *cluster) at(node string) Leading {
	return func() (*Replica, uint64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if r := c.leading[node]; r != nil {
			at, _ := c.compass.Leader()
			return r, at.Term
		}
		return nil, 0
	}
}

// lead makes a node the leader with a view of its own.
func (c *cluster) lead(node string, term uint64, r *Replica) {
	c.mu.Lock()
	for _, old := range c.leading {
		defer old.End()
	}
	c.leading = map[string]*Replica{node: r}
	c.mu.Unlock()
	c.compass.point(node, term)
}

func (c *cluster) node(name string) *Views {
	v := NewViews(name, c.compass, c.dial, c.at(name), nil)
	c.serving.Go(func() { _ = v.Run(c.ctx) })
	return v
}

func (c *cluster) dial(_ context.Context, peer, _ string) (Stream, error) {
	here, there := net.Pipe()
	c.mu.Lock()
	c.streams++
	c.mu.Unlock()
	c.serving.Go(func() { _ = ServeView(c.ctx, there, c.at(peer)) })
	return here, nil
}

func (c *cluster) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams
}

func read(t *testing.T, v *Views) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := v.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return names(s)
}

func TestEveryNodeReadsTheLeadersView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		r := wholeReplica("x")
		c.lead("a", 1, r)
		a, b := c.node("a"), c.node("b")
		wantStrings(t, read(t, a), "x")
		wantStrings(t, read(t, b), "x")
		r.Apply(agentEvent("y"))
		synctest.Wait()
		wantStrings(t, read(t, b), "x", "y")
	})
}

func TestReplicaIsKeptOnlyWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.lead("a", 1, wholeReplica("x"))
		b := c.node("b")
		pass(time.Minute)
		if c.open() != 0 {
			t.Fatal("a view that nobody reads was asked for")
		}
		wantStrings(t, read(t, b), "x")
		pass(2 * idleAfter)
		wantStrings(t, read(t, b), "x")
		if c.open() != 2 {
			t.Fatalf("%d streams for two reads far apart", c.open())
		}
	})
}

func TestReaderThatWaitsOutlivesAChangeOfLeader(t *testing.T) {
	for _, next := range []string{"b", "c"} {
		t.Run("to "+next, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				c.lead("a", 1, NewReplica()) // never whole
				b := c.node("b")
				got := make(chan []string, 1)
				go func() { got <- read(t, b) }()
				pass(time.Second)
				c.lead(next, 2, wholeReplica("new"))
				wantStrings(t, <-got, "new")
			})
		})
	}
}

func TestWatchOfARemoteViewEndsWithItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.lead("a", 1, wholeReplica("x"))
		b := c.node("b")
		w, done, err := b.Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.lead("c", 2, wholeReplica("x", "y"))
		for err == nil {
			_, err = w.Next(t.Context())
		}
		done()
		if !errors.Is(err, ErrWatchEnded) {
			t.Fatalf("the watch ended with %v", err)
		}
		wantStrings(t, read(t, b), "x", "y")
	})
}

func TestReadWithoutALeaderEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		b := c.node("b")
		why := errors.New("no leader in time")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, why)
		defer cancel()
		if _, err := b.Snapshot(ctx); !errors.Is(err, why) {
			t.Fatalf("read without a leader: %v", err)
		}
	})
}

func TestLargeViewArrivesWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		r := NewReplica()
		for i := range 5000 {
			r.Apply(&protocol.ViewEvent{Event: &protocol.ViewEvent_RecoveredAgent{RecoveredAgent: &mesos.AgentInfo{
				Id: &mesos.AgentID{Value: new(fmt.Sprintf("%06d", i))}, Hostname: new(fmt.Sprint(i)),
			}}})
		}
		r.Apply(synced)
		c.lead("a", 1, r)
		if got := read(t, c.node("b")); len(got) != 5000 {
			t.Fatalf("%d of 5000 facts arrived", len(got))
		}
	})
}

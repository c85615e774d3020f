package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"muster/offers/registry"
)

func TestOperationsAreCommittedInGroupsAndInOrder(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.grow(3, 3, 0)
		n := c.leader(time.Second)
		before := n.Status().LastIndex
		const count = 5000
		var wg sync.WaitGroup
		var mu sync.Mutex
		var order []int
		for i := range count {
			wg.Add(1)
			n.Propose(memberOp(fmt.Sprint("m", i)), func(err error) {
				defer wg.Done()
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			})
		}
		wg.Wait()
		for i, o := range order {
			if i != o {
				t.Fatalf("operation %d ended as number %d", o, i)
			}
		}
		if entries := n.Status().LastIndex - before; entries > count/groupOps+20 {
			t.Errorf("%d log entries for %d operations", entries, count)
		}
		time.Sleep(time.Second)
		for _, n := range c.all() {
			if got := len(n.State().Members()); got != count {
				t.Errorf("%s has %d members", n.Status().Node, got)
			}
		}
	})
}

func TestARefusedOperationIsToldToItsProposerAlone(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		n := c.run("n1", initOp())
		<-n.leads
		results := make(chan error, 3)
		for _, op := range []*registry.Op{memberOp("x"), removeOp("nobody"), memberOp("y")} {
			n.Propose(op, func(err error) { results <- err })
		}
		if err := <-results; err != nil {
			t.Error(err)
		}
		if err := <-results; !errors.Is(err, registry.ErrUnknown) {
			t.Errorf("got %v", err)
		}
		if err := <-results; err != nil {
			t.Error(err)
		}
		if s := n.State(); s.Member("x") == nil || s.Member("y") == nil {
			t.Error("the others were not applied")
		}
	})
}

func TestAQueueThatIsFullRefuses(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, func(c *Config) { c.Pending = 10 })
		c.grow(3, 3, 0)
		n := c.leader(time.Second)
		c.net.isolate(n.Status().Node, true) // nothing is committed from now on
		var busy, uncertain, refused atomic.Int32
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Add(1)
			n.Propose(memberOp(fmt.Sprint(i)), func(err error) {
				defer wg.Done()
				switch {
				case errors.Is(err, ErrBusy):
					busy.Add(1)
				case errors.Is(err, ErrUncertain):
					uncertain.Add(1)
				case errors.Is(err, ErrNotLeader):
					refused.Add(1)
				default:
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if busy.Load() < 29 || uncertain.Load() < 1 || uncertain.Load()+refused.Load() > 21 {
			t.Errorf("busy %d, uncertain %d, refused %d", busy.Load(), uncertain.Load(), refused.Load())
		}
	})
}

func TestALeadersProposalsEndWithItsContext(t *testing.T) {
	p := newProposals(10)
	got := make(chan error, 1)
	if err := p.add(memberOp("x"), func(err error) { got <- err }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.commit(ctx, nil)
	if err := <-got; !errors.Is(err, ErrNotLeader) {
		t.Errorf("got %v", err)
	}
	if err := p.add(memberOp("x"), nil); !errors.Is(err, ErrNotLeader) {
		t.Errorf("got %v", err)
	}
}

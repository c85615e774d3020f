package consensus

import (
	"context"
	"testing"
	"time"
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
		c.grow(6, 3, 2)
		for _, e := range c.leader(time.Second).Status().Events {
			t.Log(e)
		}
	})
}

package e2e

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
)

// stubborn ignores what asks it to end.
const stubborn = "trap '' TERM; while :; do sleep 1; done"

func TestDrainingOutlivesItsLeader(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.settled()
	other := c.other(leader)
	f := subscribe(t, other, client.Protobuf, nil)
	ids := f.launch(other.IP, "t", 2, stubborn)
	f.in(mesos.TaskState_TASK_RUNNING, ids...)
	other.muster("drain", other.IP, "--max-grace", "15s", "--api", other.API())
	leader.Kill()
	drained := other.muster("drain", other.IP, "--max-grace", "15s", "--wait", "-o", "json", "--api", other.API())
	if !strings.Contains(string(drained), `"state": "drained"`) {
		t.Errorf("drained: %s", drained)
	}
	for _, id := range ids {
		if s := f.status(id); s.GetState() != mesos.TaskState_TASK_KILLED || s.GetReason() != mesos.TaskStatus_REASON_AGENT_DRAINING {
			t.Errorf("%s ended as %v", id, s)
		}
	}
	if text := string(other.muster("nodes", "--api", other.API())); !strings.Contains(text, "drained") {
		t.Errorf("nodes: %s", text)
	}
	other.muster("reactivate", other.IP, "--api", other.API())
	f.offer(other.IP)
}

func TestMachinesGoDownAndComeUp(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.settled()
	other := c.other(leader)
	f := subscribe(t, leader, client.JSON, nil)
	ids := f.launch(other.IP, "t", 1, "sleep 1000")
	f.in(mesos.TaskState_TASK_RUNNING, ids...)
	api := []string{"--api", leader.API()}
	leader.muster(append([]string{"maintenance", "schedule", other.IP, "--at", "1h", "--for", "30m"}, api...)...)
	var asked *mesos.InverseOffer
	await(t, "an inverse offer", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		asked = f.inverse
		return asked != nil
	})
	if asked.GetUnavailability().GetDuration().GetNanoseconds() != int64(30*time.Minute) {
		t.Errorf("asked %v", asked)
	}
	if err := f.session.Call(t.Context(), &scheduler.Call{Type: scheduler.Call_ACCEPT_INVERSE_OFFERS.Enum(),
		AcceptInverseOffers: &scheduler.Call_AcceptInverseOffers{InverseOfferIds: []*mesos.OfferID{asked.GetId()},
			Filters: &mesos.Filters{RefuseSeconds: proto.Float64(600)}}}); err != nil {
		t.Fatal(err)
	}
	await(t, "the answer in the status", func() bool {
		return strings.Contains(string(leader.muster(append([]string{"maintenance", "status"}, api...)...)), " accept")
	})
	leader.muster(append([]string{"maintenance", "start", other.IP}, api...)...)
	f.in(mesos.TaskState_TASK_LOST, ids...)
	agents := func() int {
		r, err := leader.at(leader.API(), client.Protobuf).Get(t.Context(), master.Call_GET_AGENTS)
		if err != nil {
			t.Fatal(err)
		}
		return len(r.GetGetAgents().GetAgents())
	}
	if n := agents(); n != 2 {
		t.Errorf("%d agents while one machine is down", n)
	}
	if text := string(leader.muster(append([]string{"nodes"}, api...)...)); !strings.Contains(text, "down") {
		t.Errorf("nodes: %s", text)
	}
	leader.muster(append([]string{"maintenance", "stop", other.IP}, api...)...)
	await(t, "its agent to be back", func() bool { return agents() == 3 })
}

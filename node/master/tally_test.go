package master

import (
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"muster/offers"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

func TestCallsAreCountedOfFrameworksThereAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Core.FrameworkRate = offers.Rate{QPS: 1, Capacity: 2}
		r.lead(5)
		defer r.stop()
		g, up := r.gateway()
		must(t, up.Receive(subscribe("s")))
		var id *mesos.FrameworkID
		for _, m := range g.take() {
			if e := m.GetEvent().GetEvent().GetSubscribed(); e != nil {
				id = e.GetFrameworkId()
			}
		}
		calls := func(id *mesos.FrameworkID, types ...scheduler.Call_Type) {
			for _, c := range types {
				must(t, up.Receive(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Call{Call: &protocol.Call{
					CallId: proto.Uint64(1), SessionId: proto.String("s"), Call: &scheduler.Call{FrameworkId: id, Type: c.Enum()}}}}))
			}
			synctest.Wait()
		}
		calls(&mesos.FrameworkID{Value: proto.String("nobody")}, scheduler.Call_REVIVE)
		calls(id, scheduler.Call_REVIVE, scheduler.Call_SUPPRESS, scheduler.Call_REVIVE)
		list := r.Tallies()
		if len(list) != 1 || list[0].Received() != 3 || list[0].Calls[scheduler.Call_REVIVE] != 2 || list[0].Refused != 1 || list[0].Framework.GetName() != "n" {
			t.Errorf("%+v", list)
		}
		calls(id, scheduler.Call_TEARDOWN)
		if list := r.Tallies(); len(list) != 0 {
			t.Errorf("a framework that has ended: %+v", list)
		}
	})
}

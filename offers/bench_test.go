package offers

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/resource"
)

// BenchmarkPlacements launches tasks on offers as fast as they come.
func BenchmarkPlacements(b *testing.B) {
	const agents = 80
	m := New(Config{MasterID: "m", OfferTimeout: -1, FrameworkRate: Rate{QPS: -1}}, nil)
	now := epoch
	var pending []Input
	var offers []*mesos.Offer
	run := func(in Input) {
		pending = append(pending, in)
		for len(pending) > 0 {
			in := pending[0]
			pending = pending[1:]
			for _, e := range m.Step(now, in) {
				switch e := e.(type) {
				case Propose:
					if err := m.facts.Clone().Apply(e.Op); err != nil {
						b.Fatal(err)
					}
					pending = append(pending, Committed{Op: e.Op})
				case ToGateway:
					offers = append(offers, e.Message.GetEvent().GetEvent().GetOffers().GetOffers()...)
				}
			}
		}
	}
	run(Start{})
	run(GatewayConnected{Link: 1})
	run(FromGateway{1, &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Subscribe{Subscribe: &protocol.Subscribe{
		SessionId: proto.String("s"), Call: &scheduler.Call{Type: scheduler.Call_SUBSCRIBE.Enum(), Subscribe: &scheduler.Call_Subscribe{
			FrameworkInfo: &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n")}}},
	}}}})
	total, _ := resource.Parse("cpus:64000000;mem:488000000000")
	for i := range agents {
		l := Link(i + 10)
		run(AgentConnected{Link: l})
		run(FromAgent{l, &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{Register: &protocol.Register{
			Agent: &mesos.AgentInfo{Hostname: proto.String(fmt.Sprint("h", i)), Resources: total.Proto()}}}}})
	}
	run(Tick{})
	each, _ := resource.Parse("cpus:0.07;mem:400")
	res := each.Proto()
	none := &mesos.Filters{RefuseSeconds: proto.Float64(0)}
	n := 0
	b.ResetTimer()
	for n < b.N {
		if len(offers) == 0 {
			now = now.Add(time.Second)
			run(Tick{})
			continue
		}
		o := offers[0]
		offers = offers[1:]
		launch := &mesos.Offer_Operation_Launch{}
		for range 100 {
			n++
			launch.TaskInfos = append(launch.TaskInfos, &mesos.TaskInfo{Name: proto.String("t"), TaskId: taskID(fmt.Sprint(n)), AgentId: o.GetAgentId(),
				Resources: res, Command: &mesos.CommandInfo{Value: proto.String("true")}})
		}
		run(FromGateway{1, &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Call{Call: &protocol.Call{
			CallId: proto.Uint64(uint64(n)), SessionId: proto.String("s"), Call: &scheduler.Call{
				FrameworkId: frameworkID("m-0000"), Type: scheduler.Call_ACCEPT.Enum(), Accept: &scheduler.Call_Accept{
					OfferIds: []*mesos.OfferID{o.GetId()}, Filters: none,
					Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: launch}}},
			}}}}})
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "placements/s")
}

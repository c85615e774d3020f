package offers

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/registry"
	"muster/offers/resource"
)

// BenchmarkReregister is a failover: 40,000 agents with 10 tasks each come back.
func BenchmarkReregister(b *testing.B) {
	const agents, tasks, frameworks = 40000, 10, 100
	total, _ := resource.Parse("cpus:24;mem:65536;disk:100000;ports:[31000-32000]")
	each, _ := resource.Parse("cpus:1;mem:1024;disk:100")
	facts := registry.NewState()
	for i := range frameworks {
		id := fmt.Sprintf("f-%04d", i)
		if err := facts.Apply(admitFramework(&mesos.FrameworkInfo{Id: frameworkID(id), User: proto.String("u"), Name: proto.String(id)}, "s")); err != nil {
			b.Fatal(err)
		}
	}
	regs := make([]*protocol.AgentToMaster, agents)
	for i := range agents {
		id := fmt.Sprintf("a-S%d", i)
		info := &mesos.AgentInfo{Id: agentID(id), Hostname: proto.String(id), Resources: total.Proto()}
		if err := facts.Apply(&registry.Op{Op: &registry.Op_AdmitAgent{AdmitAgent: &registry.AdmitAgent{Agent: info}}}); err != nil {
			b.Fatal(err)
		}
		reg := &protocol.Register{Agent: info, HttpAddress: proto.String("10.0.0.1:5051")}
		for j := range tasks {
			reg.Tasks = append(reg.Tasks, &mesos.Task{
				Name: proto.String("t"), TaskId: taskID(fmt.Sprintf("t-%d-%d", i, j)), FrameworkId: frameworkID(fmt.Sprintf("f-%04d", (i+j)%frameworks)),
				AgentId: info.Id, State: mesos.TaskState_TASK_RUNNING.Enum(), Resources: each.Allocate("*").Proto(),
			})
		}
		regs[i] = &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{Register: reg}}
	}
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		m := New(Config{MasterID: "m"}, facts.Clone())
		now := epoch
		m.Step(now, Start{})
		b.StartTimer()
		for i, reg := range regs {
			m.Step(now, AgentConnected{Link: Link(i + 1)})
			m.Step(now, FromAgent{Link(i + 1), reg})
			if i%64 == 0 { // as often as the node's loop looks at the time under load
				m.Step(now, Tick{})
			}
		}
		m.Step(now, Tick{})
	}
	b.ReportMetric(float64(b.Elapsed().Seconds())/float64(b.N), "s/failover")
}

// BenchmarkPlacements launches tasks on offers as fast as they come.
func BenchmarkPlacements(b *testing.B) {
	const agents = 80
	m := New(Config{MasterID: "m", OfferTimeout: -1}, nil)
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

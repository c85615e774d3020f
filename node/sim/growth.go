package sim

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers"
	"muster/offers/mesos"
	operator "muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// Growth is a cluster in which all that is free is offered, and single events in it:
// what one costs should depend on what it touches, and not on how large the cluster is.
type Growth struct {
	Agents, Frameworks int
	Tasks              int // of each agent [2]
	Events             int // of each kind [50]; not more than there are agents or frameworks
}

// GrowthReport is what a cluster of the size costs.
type GrowthReport struct {
	Events []EventCost
	Memory uint64 // bytes of the heap that are in use once the cluster stands
}

// EventCost is the cost of one kind of event, with the Tick that makes what offers
// follow from it.
type EventCost struct {
	Name        string
	Took        []time.Duration
	Allocations float64 // of one event, on average
	Bytes       float64
}

// growthRun is the core with all agents and frameworks, and its one gateway.
type growthRun struct {
	*failoverRun
	calls  uint64
	offers map[string]*offered // outstanding, by agent
	failed error
}

const growthGateway offers.Link = 1 << 40

// Run runs the workload from beginning to end.
func (w Growth) Run() (GrowthReport, error) {
	w.Tasks, w.Events = cmp.Or(w.Tasks, 2), cmp.Or(w.Events, 50)
	r, err := w.start()
	if err != nil {
		return GrowthReport{}, err
	}
	var report GrowthReport
	runtime.GC()
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	report.Memory = heap.HeapAlloc
	for _, kind := range []struct {
		name string
		make func(i int) []offers.Input
	}{
		{"task status", r.taskStatus}, {"decline", r.declineOffer}, {"accept and launch", r.acceptOffer},
		{"agent added", r.agentAdded}, {"agent lost", r.agentLost}, {"framework removed", r.frameworkRemoved},
	} {
		report.Events = append(report.Events, r.measure(kind.name, w.Events, kind.make))
	}
	return report, r.failed
}

func (w Growth) start() (*growthRun, error) {
	f, err := Failover{Agents: w.Agents, Tasks: w.Tasks, Frameworks: w.Frameworks}.start(nil)
	if err != nil {
		return nil, err
	}
	r := &growthRun{failoverRun: f, offers: map[string]*offered{}}
	r.do(offers.GatewayConnected{Link: growthGateway})
	for i := range w.Frameworks {
		r.do(r.fromGateway(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Subscribe{Subscribe: &protocol.Subscribe{
			SessionId: proto.String(sessionName(i)), Call: &scheduler.Call{
				FrameworkId: &mesos.FrameworkID{Value: proto.String(frameworkName(i))}, Type: scheduler.Call_SUBSCRIBE.Enum(),
				Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: r.framework(i)},
			},
		}}}))
	}
	for i := range w.Agents {
		r.do(offers.AgentConnected{Link: agentLink(i)}, offers.FromAgent{Link: agentLink(i), Message: r.registration(i)})
	}
	r.do(offers.Tick{})
	r.now = r.now.Add(time.Second)
	r.do(offers.Tick{}) // the batch: none comes while events are measured
	if len(r.offers) != w.Agents && r.failed == nil {
		r.failed = fmt.Errorf("%d of %d agents are offered", len(r.offers), w.Agents)
	}
	return r, r.failed
}

func agentLink(i int) offers.Link { return offers.Link(i + 1) }

func sessionName(i int) string { return fmt.Sprint("session", i) }

// do takes inputs in, and what the registry answers to them.
func (r *growthRun) do(inputs ...offers.Input) {
	for ; len(inputs) > 0; inputs = inputs[1:] {
		for _, e := range r.core.Step(r.now, inputs[0]) {
			switch e := e.(type) {
			case offers.Propose:
				inputs = append(inputs, offers.Committed{Op: e.Op})
			case offers.ToGateway:
				r.hear(e.Message)
			}
		}
	}
}

// hear keeps the offers that are outstanding.
func (r *growthRun) hear(m *protocol.MasterToGateway) {
	for _, o := range m.GetEvent().GetEvent().GetOffers().GetOffers() {
		r.offers[o.GetAgentId().GetValue()] = &offered{o.GetId().GetValue(), o.GetFrameworkId().GetValue(), m.GetEvent().GetSessionId()}
	}
	if reply := m.GetReply(); reply.GetCode() >= 300 && r.failed == nil {
		r.failed = fmt.Errorf("a call was answered %d %s", reply.GetCode(), reply.GetMessage())
	}
}

// measure lets n events happen, a millisecond apart, that concern different agents
// and frameworks. What they are made of is not counted.
func (r *growthRun) measure(name string, n int, event func(i int) []offers.Input) EventCost {
	cost := EventCost{Name: name, Took: make([]time.Duration, 0, n)}
	n = min(n, r.workload.Agents, r.workload.Frameworks-1)
	events := make([][]offers.Input, n)
	for i := range events {
		events[i] = append(slices.Grow(event(i), 4), offers.Tick{})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, inputs := range events {
		r.now = r.now.Add(time.Millisecond)
		cost.Took = append(cost.Took, elapsed(func() { r.do(inputs...) }))
	}
	runtime.ReadMemStats(&after)
	cost.Allocations = float64(after.Mallocs-before.Mallocs) / float64(n)
	cost.Bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
	return cost
}

// spread is the number of the agent that event i concerns: they are all over the cluster.
func (r *growthRun) spread(i, n int) int { return i * (r.workload.Agents / n) % r.workload.Agents }

func (r *growthRun) taskStatus(i int) []offers.Input {
	agent := r.spread(i, 64)
	return []offers.Input{offers.FromAgent{Link: agentLink(agent), Message: &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Update{Update: &protocol.Update{
		FrameworkId: &mesos.FrameworkID{Value: proto.String(frameworkName(agent % r.workload.Frameworks))},
		Status: &mesos.TaskStatus{
			TaskId: &mesos.TaskID{Value: proto.String(fmt.Sprintf("t-%d-0", agent))}, State: mesos.TaskState_TASK_RUNNING.Enum(),
			AgentId: &mesos.AgentID{Value: proto.String(agentName(agent))}, Timestamp: proto.Float64(1), Uuid: fmt.Appendf(nil, "uuid-%011d", i),
		},
	}}}}}
}

func (r *growthRun) declineOffer(i int) []offers.Input {
	o := r.offers[agentName(r.spread(i, 64))]
	return []offers.Input{r.call(o, &scheduler.Call{
		Type: scheduler.Call_DECLINE.Enum(), Decline: &scheduler.Call_Decline{OfferIds: []*mesos.OfferID{{Value: &o.id}}},
	})}
}

func (r *growthRun) acceptOffer(i int) []offers.Input {
	agent := r.spread(i, 64)
	o := r.offers[agentName(agent)]
	return []offers.Input{r.call(o, &scheduler.Call{
		Type: scheduler.Call_ACCEPT.Enum(), Accept: &scheduler.Call_Accept{
			OfferIds: []*mesos.OfferID{{Value: &o.id}},
			Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{
				TaskInfos: []*mesos.TaskInfo{{
					Name: proto.String("t"), TaskId: &mesos.TaskID{Value: proto.String(fmt.Sprint("new", i))},
					AgentId: &mesos.AgentID{Value: proto.String(agentName(agent))}, Resources: r.each,
					Command: &mesos.CommandInfo{Value: proto.String("true")},
				}},
			}}},
		},
	})}
}

func (r *growthRun) agentAdded(i int) []offers.Input {
	l := agentLink(r.workload.Agents + i)
	return []offers.Input{offers.AgentConnected{Link: l}, offers.FromAgent{Link: l, Message: &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{
		Register: &protocol.Register{Agent: &mesos.AgentInfo{Hostname: proto.String(fmt.Sprint("new", i)), Resources: r.total}},
	}}}}
}

// agentLost is marked gone by an operator, which is what can be had without waiting
// for its silence: its tasks end, and every framework is told.
func (r *growthRun) agentLost(i int) []offers.Input {
	r.calls++
	return []offers.Input{r.fromGateway(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Operate{Operate: &protocol.Operate{
		CallId: proto.Uint64(r.calls), Call: &operator.Call{Type: operator.Call_MARK_AGENT_GONE.Enum(), MarkAgentGone: &operator.Call_MarkAgentGone{
			AgentId: &mesos.AgentID{Value: proto.String(agentName(r.spread(i, 64)))},
		}},
	}}})}
}

// frameworkRemoved ends a framework, whose tasks and offers are more the more agents
// there are for each framework.
func (r *growthRun) frameworkRemoved(i int) []offers.Input {
	i = r.workload.Frameworks - 1 - i
	return []offers.Input{r.call(&offered{framework: frameworkName(i), session: sessionName(i)}, &scheduler.Call{Type: scheduler.Call_TEARDOWN.Enum()})}
}

func (r *growthRun) call(o *offered, call *scheduler.Call) offers.Input {
	r.calls++
	call.FrameworkId = &mesos.FrameworkID{Value: &o.framework}
	return r.fromGateway(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Call{Call: &protocol.Call{
		CallId: proto.Uint64(r.calls), SessionId: &o.session, Call: call,
	}}})
}

func (r *growthRun) fromGateway(m *protocol.GatewayToMaster) offers.Input {
	return offers.FromGateway{Link: growthGateway, Message: m}
}

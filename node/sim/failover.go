package sim

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/registry"
	"muster/offers/resource"
)

// Failover is a new leader to which every agent comes back with its tasks, whose
// frameworks the registry knows.
type Failover struct {
	Agents, Tasks, Frameworks int
	Ended                     int // tasks of each agent that ended lately, and which it names
}

// failoverBatch is how many agents come between two looks at the time, as many as
// the deciding goroutine takes in a row.
const failoverBatch = 64

// Run returns how long all agents take until the core has them. What they send is
// made in between and not counted, as if it came out of the network.
func (w Failover) Run() (time.Duration, error) {
	r, err := w.start(nil)
	if err != nil {
		return 0, err
	}
	took := time.Duration(0)
	for i := 0; i < w.Agents; i += failoverBatch {
		batch := make([]*protocol.AgentToMaster, min(failoverBatch, w.Agents-i))
		for j := range batch {
			batch[j] = r.registration(i + j)
		}
		took += elapsed(func() {
			for j, m := range batch {
				r.back(offers.Link(i+j+1), m)
			}
			r.step(offers.Tick{})
		})
	}
	if r.registered != w.Agents || r.tasks != w.Agents*w.Tasks {
		return 0, fmt.Errorf("%d agents and %d tasks are back of %d and %d", r.registered, r.tasks, w.Agents, w.Agents*w.Tasks)
	}
	return took, nil
}

// failoverRun is the new leader's core, which keeps its own time.
type failoverRun struct {
	workload          Failover
	core              *offers.Master
	facts             *registry.State // as the registry had them
	now               time.Time
	total, each       []*mesos.Resource
	events            func(*protocol.ViewEvent) // are told to the view; may be nil
	registered, tasks int
}

func (w Failover) start(events func(*protocol.ViewEvent)) (*failoverRun, error) {
	r := &failoverRun{workload: w, events: events, now: time.Unix(1_700_000_000, 0)}
	total, err := resource.Parse("cpus:24;mem:65536;disk:100000;ports:[31000-32000]")
	if err != nil {
		return nil, err
	}
	each, err := resource.Parse("cpus:1;mem:1024;disk:100")
	if err != nil {
		return nil, err
	}
	r.total, r.each = total.Proto(), each.Allocate("*").Proto()
	facts := registry.NewState()
	for i := range w.Frameworks {
		op := &registry.Op{Op: &registry.Op_AdmitFramework{AdmitFramework: &registry.AdmitFramework{Framework: r.framework(i), SessionId: proto.String("s")}}}
		if err := facts.Apply(op); err != nil {
			return nil, err
		}
	}
	for i := range w.Agents {
		if err := facts.Apply(&registry.Op{Op: &registry.Op_AdmitAgent{AdmitAgent: &registry.AdmitAgent{Agent: r.agent(i)}}}); err != nil {
			return nil, err
		}
	}
	r.facts = facts.Clone()
	r.core = offers.New(offers.Config{MasterID: "m", Term: 2, Elected: r.now}, facts)
	r.step(offers.Start{})
	return r, nil
}

func frameworkName(i int) string { return fmt.Sprintf("f-%04d", i) }

func agentName(i int) string { return fmt.Sprintf("a-S%d", i) }

func (r *failoverRun) agent(i int) *mesos.AgentInfo {
	return &mesos.AgentInfo{Id: &mesos.AgentID{Value: proto.String(agentName(i))}, Hostname: proto.String(agentName(i)), Resources: r.total}
}

func (r *failoverRun) framework(i int) *mesos.FrameworkInfo {
	name := proto.String(frameworkName(i))
	return &mesos.FrameworkInfo{Id: &mesos.FrameworkID{Value: name}, User: proto.String("u"), Name: name, FailoverTimeout: proto.Float64(1e6)}
}

// registration is what agent i says of itself.
func (r *failoverRun) registration(i int) *protocol.AgentToMaster {
	reg := &protocol.Register{Agent: r.agent(i), HttpAddress: proto.String("10.0.0.1:5051")}
	framework := func(j int) *mesos.FrameworkID {
		return &mesos.FrameworkID{Value: proto.String(frameworkName((i + j) % r.workload.Frameworks))}
	}
	for j := range r.workload.Tasks {
		reg.Tasks = append(reg.Tasks, &mesos.Task{
			Name: proto.String("t"), TaskId: &mesos.TaskID{Value: proto.String(fmt.Sprintf("t-%d-%d", i, j))}, FrameworkId: framework(j),
			AgentId: reg.Agent.Id, State: mesos.TaskState_TASK_RUNNING.Enum(), Resources: r.each,
		})
	}
	for j := range r.workload.Ended {
		reg.Ended = append(reg.Ended, &protocol.Reconcile_Task{
			FrameworkId: framework(j), TaskId: &mesos.TaskID{Value: proto.String(fmt.Sprintf("e-%d-%d", i, j))},
		})
	}
	return &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{Register: reg}}
}

// back lets an agent connect and register.
func (r *failoverRun) back(l offers.Link, m *protocol.AgentToMaster) {
	r.step(offers.AgentConnected{Link: l})
	r.step(offers.FromAgent{Link: l, Message: m})
}

func (r *failoverRun) step(in offers.Input) {
	for _, e := range r.core.Step(r.now, in) {
		switch e := e.(type) {
		case offers.ToAgent:
			if e.Message.GetRegistered() != nil {
				r.registered++
			}
		case offers.Publish:
			if e.Event.GetTask() != nil {
				r.tasks++
			}
			if r.events != nil {
				r.events(e.Event)
			}
		}
	}
}

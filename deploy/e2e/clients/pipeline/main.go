// Command pipeline is a framework made of mesos-go alone: in one ACCEPT it reserves
// resources, makes a volume of some and launches a task that writes to it. When the
// volume is offered again a second task reads what the first has written, and runs until
// the framework is asked to leave its machine. Each step that worked is a line on
// standard output; the exit code is 0 when all did.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/extras/scheduler/callrules"
	"github.com/mesos/mesos-go/api/v1/lib/httpcli"
	"github.com/mesos/mesos-go/api/v1/lib/httpcli/httpsched"
	"github.com/mesos/mesos-go/api/v1/lib/resources"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler/calls"
)

const (
	volumeID = "pipeline"
	diskMB   = 16
)

func main() {
	master := flag.String("master", "127.0.0.1:5050", "HOST:PORT of the API")
	role := flag.String("role", "pipeline", "for which to reserve")
	flag.Parse()
	if err := run(context.Background(), *master, *role); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, master, role string) error {
	caller := httpsched.NewCaller(httpcli.New(httpcli.Endpoint("http://" + master + "/api/v1/scheduler")))
	stream, err := caller.Call(ctx, calls.Subscribe(&mesos.FrameworkInfo{
		User: "root", Name: "pipeline", Roles: []string{role},
		Capabilities: []mesos.FrameworkInfo_Capability{
			{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE}, {Type: mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT},
		},
	}))
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	defer stream.Close()
	p := &pipeline{role: role}
	for !p.done {
		var e scheduler.Event
		if err := stream.Decode(&e); err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		if s := e.GetSubscribed(); s != nil {
			p.caller = callrules.WithFrameworkID(s.GetFrameworkID().GetValue).Caller(caller)
		}
		if err := p.event(ctx, &e); err != nil {
			return err
		}
	}
	return calls.CallNoData(ctx, p.caller, &scheduler.Call{Type: scheduler.Call_TEARDOWN})
}

// pipeline is how far the framework has come.
type pipeline struct {
	caller calls.Caller
	role   string
	began  bool // the first task was launched
	wrote  bool // it has finished
	reads  bool // the second was launched
	done   bool
}

func (p *pipeline) event(ctx context.Context, e *scheduler.Event) error {
	switch e.GetType() {
	case scheduler.Event_ERROR:
		return errors.New(e.GetError().GetMessage())
	case scheduler.Event_OFFERS:
		for _, o := range e.GetOffers().GetOffers() {
			if err := p.offer(ctx, o); err != nil {
				return err
			}
		}
	case scheduler.Event_UPDATE:
		return p.update(ctx, e.GetUpdate().GetStatus())
	case scheduler.Event_INVERSE_OFFERS:
		asked := e.GetInverseOffers().GetInverseOffers()[0]
		fmt.Printf("asked to leave %s\n", asked.GetAgentID().GetValue())
		p.done = true
		return calls.CallNoData(ctx, p.caller, calls.AcceptInverseOffers(asked.OfferID))
	}
	return nil
}

// offer begins with any offer, and goes on with one that has the volume.
func (p *pipeline) offer(ctx context.Context, o mesos.Offer) error {
	accept := func(ops ...mesos.Offer_Operation) error {
		call := calls.Accept(calls.OfferOperations(ops).WithOffers(o.ID)).With(calls.RefuseSeconds(1e9))
		if err := calls.CallNoData(ctx, p.caller, call); err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		return nil
	}
	cpus, mem, disk := resources.NewCPUs(0.1).Resource, resources.NewMemory(32).Resource, resources.NewDisk(diskMB).Resource
	reserved := p.reserve(cpus, mem, disk)
	volume := reserved[2]
	volume.Disk = &mesos.Resource_DiskInfo{
		Persistence: &mesos.Resource_DiskInfo_Persistence{ID: volumeID},
		Volume:      &mesos.Volume{ContainerPath: "data", Mode: mesos.RW.Enum()},
	}
	used := append(reserved[:2:2], volume)
	switch {
	case !p.began:
		p.began = true
		return accept(calls.OpReserve(reserved...), calls.OpCreate(volume), calls.OpLaunch(task(o, "writes", "echo kept > data/file", used)))
	case p.wrote && !p.reads && has(o, volumeID):
		p.reads = true
		fmt.Println("the volume is offered again")
		return accept(calls.OpLaunch(task(o, "reads", `test "$(cat data/file)" = kept && sleep 1000`, used)))
	}
	return calls.CallNoData(ctx, p.caller, calls.Decline(o.ID).With(calls.RefuseSeconds(1e9)))
}

func (p *pipeline) update(ctx context.Context, s mesos.TaskStatus) error {
	if len(s.GetUUID()) > 0 {
		if err := calls.CallNoData(ctx, p.caller, calls.Acknowledge(s.GetAgentID().GetValue(), s.TaskID.Value, s.UUID)); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
	}
	switch id, state := s.TaskID.Value, s.GetState(); {
	case id == "writes" && state == mesos.TASK_FINISHED:
		p.wrote = true
		fmt.Println("the first task has written")
		return calls.CallNoData(ctx, p.caller, calls.Revive())
	case id == "reads" && state == mesos.TASK_RUNNING:
		fmt.Println("the second task runs")
	case state != mesos.TASK_STARTING && state != mesos.TASK_RUNNING && state != mesos.TASK_STAGING:
		return fmt.Errorf("task %s is %s: %s", id, state, s.GetMessage())
	}
	return nil
}

// reserve returns the resources as they are when they are reserved dynamically.
func (p *pipeline) reserve(rs ...mesos.Resource) []mesos.Resource {
	for i := range rs {
		rs[i].Reservations = []mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &p.role}}
	}
	return rs
}

func has(o mesos.Offer, volume string) bool {
	for i := range o.Resources {
		if o.Resources[i].GetDisk().GetPersistence().GetID() == volume {
			return true
		}
	}
	return false
}

func task(o mesos.Offer, id, command string, used []mesos.Resource) mesos.TaskInfo {
	return mesos.TaskInfo{Name: id, TaskID: mesos.TaskID{Value: id}, AgentID: o.AgentID, Resources: used, Command: &mesos.CommandInfo{Value: &command}}
}

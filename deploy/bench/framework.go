package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// framework is a scheduler that notes when it was told what.
type framework struct {
	session *client.Session
	client  *client.Client
	cancel  context.CancelFunc
	ended   chan struct{} // closed when the stream has ended

	mu         sync.Mutex
	changed    chan struct{} // closed at the next event
	subscribed int
	offers     map[string]offered
	tasks      map[string]told // the last of each
	err        error           // why the stream ended
}

type offered struct {
	*mesos.Offer
	at time.Time
}

type told struct {
	*mesos.TaskStatus
	at time.Time
}

const frameworkPatience = time.Minute

// subscribe opens the session of a new framework that can more than others; it is to be closed.
func subscribe(ctx context.Context, address string, can ...mesos.FrameworkInfo_Capability_Type) (*framework, error) {
	c, err := client.New(client.Config{Address: address})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	info := &mesos.FrameworkInfo{User: proto.String("root"), Name: proto.String("bench"), FailoverTimeout: proto.Float64(600), Roles: []string{"*"}}
	for _, capability := range append(can, mesos.FrameworkInfo_Capability_MULTI_ROLE, mesos.FrameworkInfo_Capability_PARTITION_AWARE) {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: capability.Enum()})
	}
	session, err := c.Subscribe(ctx, &scheduler.Call_Subscribe{FrameworkInfo: info})
	if err != nil {
		cancel()
		c.Close()
		return nil, fmt.Errorf("subscribe at %s: %w", address, err)
	}
	f := &framework{session: session, client: c, cancel: cancel, ended: make(chan struct{}),
		changed: make(chan struct{}), offers: map[string]offered{}, tasks: map[string]told{}}
	go f.listen(ctx)
	if err := f.await(ctx, "SUBSCRIBED", func() bool { return f.subscribed > 0 }); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *framework) listen(ctx context.Context) {
	defer close(f.ended)
	for {
		e, err := f.session.Next()
		now := time.Now()
		f.mu.Lock()
		if err != nil {
			f.err = err
		} else {
			f.note(e, now)
		}
		close(f.changed)
		f.changed = make(chan struct{})
		f.mu.Unlock()
		if err != nil {
			return
		}
		if s := e.GetUpdate().GetStatus(); len(s.GetUuid()) > 0 {
			_ = f.session.Acknowledge(ctx, s) // what is not acknowledged comes again
		}
	}
}

func (f *framework) note(e *scheduler.Event, now time.Time) {
	switch e.GetType() {
	case scheduler.Event_SUBSCRIBED:
		f.subscribed++
	case scheduler.Event_OFFERS:
		for _, o := range e.GetOffers().GetOffers() {
			f.offers[o.GetId().GetValue()] = offered{o, now}
		}
	case scheduler.Event_RESCIND:
		delete(f.offers, e.GetRescind().GetOfferId().GetValue())
	case scheduler.Event_UPDATE:
		s := e.GetUpdate().GetStatus()
		f.tasks[s.GetTaskId().GetValue()] = told{s, now}
	}
}

// await returns when ok holds, which is asked under the lock after every event.
func (f *framework) await(ctx context.Context, what string, ok func() bool) error {
	timer := time.NewTimer(frameworkPatience)
	defer timer.Stop()
	for {
		f.mu.Lock()
		done, err, changed := ok(), f.err, f.changed
		f.mu.Unlock()
		switch {
		case done:
			return nil
		case err != nil:
			return fmt.Errorf("wait for %s: the stream ended: %w", what, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return fmt.Errorf("waited %v in vain for %s", frameworkPatience, what)
		}
	}
}

// take waits until the offers of host, or of any agent if that is "", have so
// many CPUs together, revocable or not, and takes them. What ended tasks free comes in small offers.
func (f *framework) take(ctx context.Context, host string, cpus float64, revocable bool) ([]*mesos.Offer, error) {
	var found []*mesos.Offer
	err := f.await(ctx, fmt.Sprintf("offers of %v cpus", cpus), func() bool {
		byAgent := map[string][]*mesos.Offer{}
		sums := map[string]float64{}
		for _, o := range f.offers {
			if host == "" || o.GetHostname() == host {
				agent := o.GetAgentId().GetValue()
				byAgent[agent] = append(byAgent[agent], o.Offer)
				sums[agent] += cpusOf(o.Offer, revocable)
			}
		}
		for agent, sum := range sums {
			if sum >= cpus-1e-6 {
				found = byAgent[agent]
				break
			}
		}
		for _, o := range found {
			delete(f.offers, o.GetId().GetValue())
		}
		return found != nil
	})
	return found, err
}

func cpusOf(o *mesos.Offer, revocable bool) float64 {
	sum := 0.0
	for _, r := range o.GetResources() {
		if r.GetName() == "cpus" && (r.GetRevocable() != nil) == revocable {
			sum += r.GetScalar().GetValue()
		}
	}
	return sum
}

// tasks are n tasks of one kind, to be launched on one offer.
type tasks struct {
	prefix string // of their IDs
	n      int
	argv   []string
	host   string  // [any]
	cpus   float64 // of each [0.1]
	lent   bool    // these are revocable
}

// launch starts tasks, and returns their IDs and when it began to.
func (f *framework) launch(ctx context.Context, t tasks) ([]string, time.Time, error) {
	cpus := cmp.Or(t.cpus, 0.1)
	offers, err := f.take(ctx, t.host, float64(t.n)*cpus, t.lent)
	if err != nil {
		return nil, time.Time{}, err
	}
	o := offers[0]
	var taken []*mesos.OfferID
	for _, o := range offers {
		taken = append(taken, o.GetId())
	}
	scalar := func(name string, v float64) *mesos.Resource {
		return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &v}, AllocationInfo: o.GetAllocationInfo()}
	}
	share := scalar("cpus", cpus)
	if t.lent {
		share.Revocable = &mesos.Resource_RevocableInfo{}
	}
	var ids []string
	var infos []*mesos.TaskInfo
	for i := range t.n {
		id := fmt.Sprintf("%s-%d", t.prefix, i)
		ids = append(ids, id)
		infos = append(infos, &mesos.TaskInfo{
			Name: &id, TaskId: &mesos.TaskID{Value: &id}, AgentId: o.GetAgentId(),
			Resources: []*mesos.Resource{share, scalar("mem", 32)},
			Command:   &mesos.CommandInfo{Shell: proto.Bool(false), Value: &t.argv[0], Arguments: t.argv},
		})
	}
	begin := time.Now()
	if err := f.session.Accept(ctx, 0, taken, client.Launch(infos...)); err != nil {
		return nil, begin, fmt.Errorf("accept: %w", err)
	}
	return ids, begin, nil
}

// reach waits until all tasks are in state and returns when the last of them
// was told to be. A task that ends otherwise is an error.
func (f *framework) reach(ctx context.Context, state mesos.TaskState, ids ...string) (time.Time, error) {
	var last time.Time
	var wrong error
	open := map[string]bool{}
	for _, id := range ids {
		open[id] = true
	}
	err := f.await(ctx, fmt.Sprintf("%d tasks in %v", len(ids), state), func() bool {
		maps.DeleteFunc(open, func(id string, _ bool) bool {
			s, ok := f.tasks[id]
			if ok && s.GetState() == state && s.at.After(last) {
				last = s.at
			}
			if ok && s.GetState() != state && s.GetState().Terminal() {
				wrong = fmt.Errorf("%s is %v: %s", id, s.GetState(), s.GetMessage())
			}
			return ok && s.GetState() == state
		})
		return len(open) == 0 || wrong != nil
	})
	return last, errors.Join(wrong, err)
}

// reconcile asks for the tasks anew, and waits until all are told to be in state.
func (f *framework) reconcile(ctx context.Context, state mesos.TaskState, ids ...string) error {
	f.mu.Lock()
	clear(f.tasks)
	f.mu.Unlock()
	var tasks []*scheduler.Call_Reconcile_Task
	for _, id := range ids {
		tasks = append(tasks, &scheduler.Call_Reconcile_Task{TaskId: &mesos.TaskID{Value: &id}})
	}
	if err := f.session.Reconcile(ctx, tasks...); err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	_, err := f.reach(ctx, state, ids...)
	return err
}

// kill ends tasks and waits for it.
func (f *framework) kill(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		if err := f.session.Kill(ctx, &mesos.TaskID{Value: &id}, nil); err != nil {
			return fmt.Errorf("kill %s: %w", id, err)
		}
	}
	_, err := f.reach(ctx, mesos.TaskState_TASK_KILLED, ids...)
	return err
}

// unbroken is an error if the stream has ended or begun anew.
func (f *framework) unbroken() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return fmt.Errorf("the stream broke: %w", f.err)
	}
	if f.subscribed != 1 {
		return fmt.Errorf("SUBSCRIBED came %d times", f.subscribed)
	}
	return nil
}

// close ends the framework and its tasks.
func (f *framework) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), frameworkPatience)
	defer cancel()
	err := f.session.Teardown(ctx)
	f.cancel()
	_ = f.session.Close() // it has ended
	<-f.ended
	f.client.Close()
	return err
}

package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// framework is a scheduler of the tests: it holds one stream, remembers all it is
// told, and acknowledges what it should.
type framework struct {
	t       *testing.T
	session *client.Session
	cancel  context.CancelFunc
	ended   chan struct{} // closed when the stream has ended

	mu         sync.Mutex
	subscribed int
	offers     map[string]*mesos.Offer
	rescinded  int
	states     map[string][]mesos.TaskState // by task, as they came
	last       map[string]*mesos.TaskStatus
	failures   int
	inverse    *mesos.InverseOffer // the last one
}

// subscribe connects a new framework at d; mend may change its info.
func subscribe(t *testing.T, d *daemon, format client.Format, mend func(*mesos.FrameworkInfo)) *framework {
	t.Helper()
	info := &mesos.FrameworkInfo{
		User: proto.String("root"), Name: proto.String(t.Name()), FailoverTimeout: proto.Float64(600), Roles: []string{"*"},
		Capabilities: []*mesos.FrameworkInfo_Capability{
			{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}, {Type: mesos.FrameworkInfo_Capability_PARTITION_AWARE.Enum()},
			{Type: mesos.FrameworkInfo_Capability_TASK_KILLING_STATE.Enum()},
		},
	}
	if mend != nil {
		mend(info)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := d.at(d.API(), format).Subscribe(ctx, &scheduler.Call_Subscribe{FrameworkInfo: info})
	if err != nil {
		cancel()
		t.Fatalf("subscribe at %s: %v", d.Name, err)
	}
	f := &framework{
		t: t, session: s, cancel: cancel, ended: make(chan struct{}),
		offers: map[string]*mesos.Offer{}, states: map[string][]mesos.TaskState{}, last: map[string]*mesos.TaskStatus{},
	}
	go f.listen(ctx)
	t.Cleanup(f.teardown)
	await(t, "SUBSCRIBED", func() bool { return f.count(func() int { return f.subscribed }) == 1 })
	return f
}

func (f *framework) listen(ctx context.Context) {
	defer close(f.ended)
	for {
		e, err := f.session.Next()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, client.ErrClosed) {
				f.t.Logf("the stream ended: %v", err)
			}
			return
		}
		f.note(e)
		if s := e.GetUpdateOperationStatus().GetStatus(); s.GetUuid() != nil {
			_ = f.session.Call(ctx, &scheduler.Call{ // what is not acknowledged comes again
				Type: scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS.Enum(),
				AcknowledgeOperationStatus: &scheduler.Call_AcknowledgeOperationStatus{
					AgentId: s.GetAgentId(), Uuid: s.GetUuid().GetValue(), OperationId: s.GetOperationId(),
				},
			})
		}
		if status := e.GetUpdate().GetStatus(); len(status.GetUuid()) > 0 {
			if err := f.session.Acknowledge(ctx, status); err != nil && ctx.Err() == nil {
				f.t.Logf("acknowledge %s: %v", status.GetTaskId().GetValue(), err) // it is sent again
			}
		}
	}
}

func (f *framework) note(e *scheduler.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e.GetType() {
	case scheduler.Event_SUBSCRIBED:
		f.subscribed++
	case scheduler.Event_OFFERS:
		for _, o := range e.GetOffers().GetOffers() {
			f.offers[o.GetId().GetValue()] = o
		}
	case scheduler.Event_INVERSE_OFFERS:
		f.inverse = e.GetInverseOffers().GetInverseOffers()[0]
	case scheduler.Event_RESCIND:
		f.rescinded++
		delete(f.offers, e.GetRescind().GetOfferId().GetValue())
	case scheduler.Event_UPDATE:
		s := e.GetUpdate().GetStatus()
		id := s.GetTaskId().GetValue()
		f.states[id] = append(f.states[id], s.GetState())
		f.last[id] = s
	case scheduler.Event_FAILURE:
		f.failures++
	}
}

func (f *framework) count(read func() int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return read()
}

// teardown ends the framework and its tasks.
func (f *framework) teardown() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f.session.Teardown(ctx); err != nil {
		f.t.Logf("teardown: %v", err)
	}
	f.cancel()
	_ = f.session.Close()
	<-f.ended
}

// offer waits for an offer, of an agent if one is named by its host, and takes it.
func (f *framework) offer(host string) *mesos.Offer {
	f.t.Helper()
	var found *mesos.Offer
	await(f.t, "an offer of "+host, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for id, o := range f.offers {
			if host == "" || o.GetHostname() == host {
				found = o
				delete(f.offers, id)
				return true
			}
		}
		return false
	})
	return found
}

// task describes a shell task that fits many times into one offer.
func task(o *mesos.Offer, id, command string) *mesos.TaskInfo {
	scalar := func(name string, v float64) *mesos.Resource {
		return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &v},
			AllocationInfo: o.GetAllocationInfo()}
	}
	return &mesos.TaskInfo{
		Name: &id, TaskId: &mesos.TaskID{Value: &id}, AgentId: o.GetAgentId(),
		Resources: []*mesos.Resource{scalar("cpus", 0.05), scalar("mem", 32)},
		Command:   &mesos.CommandInfo{Value: &command},
	}
}

// launch starts n tasks of command at host and returns their IDs.
func (f *framework) launch(host, prefix string, n int, command string) []string {
	f.t.Helper()
	o := f.offer(host)
	var ids []string
	var infos []*mesos.TaskInfo
	for i := range n {
		id := fmt.Sprintf("%s-%d", prefix, i)
		ids = append(ids, id)
		infos = append(infos, task(o, id, command))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f.session.Accept(ctx, 0, []*mesos.OfferID{o.GetId()}, client.Launch(infos...)); err != nil {
		f.t.Fatalf("accept: %v", err)
	}
	return ids
}

// in waits until all tasks were last told to be in state.
func (f *framework) in(state mesos.TaskState, ids ...string) {
	f.t.Helper()
	await(f.t, fmt.Sprintf("%d tasks in %v", len(ids), state), func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, id := range ids {
			if s := f.states[id]; len(s) == 0 || s[len(s)-1] != state {
				return false
			}
		}
		return true
	})
}

// end waits until all tasks were told to have ended, however.
func (f *framework) end(ids ...string) {
	f.t.Helper()
	var missing []string
	defer func() {
		if f.t.Failed() || len(missing) > 0 {
			f.t.Logf("no terminal status of: %v", missing)
		}
	}()
	await(f.t, "a terminal status of every task", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		missing = missing[:0]
		for _, id := range ids {
			if s := f.states[id]; len(s) == 0 || !s[len(s)-1].Terminal() {
				missing = append(missing, fmt.Sprint(id, s))
			}
		}
		return len(missing) == 0
	})
}

func (f *framework) status(id string) *mesos.TaskStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last[id]
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/node/recordio"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// cluster is a scheduler endpoint whose answers the test decides.
type cluster struct {
	t        *testing.T
	mu       sync.Mutex
	sessions int
	calls    []*scheduler.Call

	subscribe func(session int, call *scheduler.Call, send func(...*scheduler.Event), gone <-chan struct{})
	answer    func(call *scheduler.Call) int // [202]
	send      func(...*scheduler.Event)      // to the session that is open
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call scheduler.Call
	if err := read(r, &call); err != nil {
		c.t.Error(err)
	}
	if call.GetType() == scheduler.Call_SUBSCRIBE {
		c.stream(w, r, &call)
		return
	}
	c.mu.Lock()
	c.calls = append(c.calls, &call)
	c.mu.Unlock()
	code := http.StatusAccepted
	if c.answer != nil {
		code = c.answer(&call)
	}
	w.WriteHeader(code)
}

func (c *cluster) stream(w http.ResponseWriter, r *http.Request, call *scheduler.Call) {
	w.Header().Set("Content-Type", r.Header.Get("Accept"))
	records := recordio.NewWriter(w)
	var mu sync.Mutex
	send := func(events ...*scheduler.Event) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range events {
			if err := write(record(records.Write), r, e); err != nil {
				return // the framework has gone
			}
		}
		_ = http.NewResponseController(w).Flush()
	}
	c.mu.Lock()
	c.sessions++
	n := c.sessions
	c.send = send
	c.mu.Unlock()
	w.Header().Set(client.StreamHeader, fmt.Sprint("session-", n))
	c.subscribe(n, call, send, r.Context().Done())
}

func (c *cluster) made() (types []scheduler.Call_Type) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.calls {
		types = append(types, call.GetType())
	}
	return types
}

func offer() *scheduler.Event {
	return &scheduler.Event{Type: scheduler.Event_OFFERS.Enum(), Offers: &scheduler.Event_Offers{Offers: []*mesos.Offer{{
		Id: &mesos.OfferID{Value: proto.String("o")}, FrameworkId: &mesos.FrameworkID{Value: proto.String("f-0")},
		AgentId: &mesos.AgentID{Value: proto.String("a")}, Hostname: proto.String("h"),
	}}}}
}

func update(state mesos.TaskState) *scheduler.Event {
	return &scheduler.Event{Type: scheduler.Event_UPDATE.Enum(), Update: &scheduler.Event_Update{Status: &mesos.TaskStatus{
		TaskId: &mesos.TaskID{Value: proto.String("t")}, AgentId: &mesos.AgentID{Value: proto.String("a")},
		State: state.Enum(), Uuid: []byte("0123456789abcdef"),
	}}}
}

func heartbeat() *scheduler.Event {
	return &scheduler.Event{Type: scheduler.Event_HEARTBEAT.Enum()}
}

// launcher accepts every offer with one task and is done when it has finished.
func launcher(ctx context.Context, s *client.Session, e *scheduler.Event) error {
	switch e.GetType() {
	case scheduler.Event_OFFERS:
		o := e.GetOffers().GetOffers()[0]
		return s.Accept(ctx, 5, []*mesos.OfferID{o.GetId()}, client.Launch(&mesos.TaskInfo{
			Name: proto.String("t"), TaskId: &mesos.TaskID{Value: proto.String("t")}, AgentId: o.GetAgentId(),
		}))
	case scheduler.Event_UPDATE:
		if e.GetUpdate().GetStatus().GetState() == mesos.TaskState_TASK_FINISHED {
			return client.ErrDone
		}
	}
	return nil
}

func TestRunLaunchesAcknowledgesAndTearsDown(t *testing.T) {
	c := &cluster{t: t}
	c.subscribe = func(_ int, _ *scheduler.Call, send func(...*scheduler.Event), gone <-chan struct{}) {
		send(subscribed(), heartbeat(), offer())
		<-gone
	}
	c.answer = func(call *scheduler.Call) int {
		if call.GetType() == scheduler.Call_ACCEPT {
			c.send(update(mesos.TaskState_TASK_RUNNING), update(mesos.TaskState_TASK_FINISHED))
		}
		return http.StatusAccepted
	}
	node := serve(t, client.Config{}, c)
	if err := client.Run(t.Context(), client.Framework{Info: info(), Handle: launcher, Teardown: true}, node); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint([]scheduler.Call_Type{scheduler.Call_ACCEPT, scheduler.Call_ACKNOWLEDGE, scheduler.Call_ACKNOWLEDGE, scheduler.Call_TEARDOWN})
	if got := fmt.Sprint(c.made()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRunSubscribesAgainAndAsksForItsTasks(t *testing.T) {
	lost := &cluster{t: t} // takes the task and is lost
	lost.subscribe = func(_ int, _ *scheduler.Call, send func(...*scheduler.Event), _ <-chan struct{}) {
		send(subscribed(), heartbeat(), offer(), update(mesos.TaskState_TASK_RUNNING))
	}
	next := &cluster{t: t}
	next.subscribe = func(_ int, call *scheduler.Call, send func(...*scheduler.Event), gone <-chan struct{}) {
		if id := call.GetFrameworkId().GetValue(); id != "f-0" || call.GetSubscribe().GetFrameworkInfo().GetId().GetValue() != id {
			t.Errorf("subscribed again as %q", id)
		}
		send(subscribed(), heartbeat())
		<-gone
	}
	next.answer = func(call *scheduler.Call) int {
		if call.GetType() == scheduler.Call_RECONCILE {
			if tasks := call.GetReconcile().GetTasks(); len(tasks) != 1 || tasks[0].GetTaskId().GetValue() != "t" || tasks[0].GetAgentId().GetValue() != "a" {
				t.Errorf("asked for %v", tasks)
			}
			if len(next.made()) == 1 {
				next.send(heartbeat()) // no answer yet
			} else {
				next.send(update(mesos.TaskState_TASK_FINISHED))
			}
		}
		return http.StatusAccepted
	}
	f := client.Framework{Info: info(), Handle: launcher}
	if err := client.Run(t.Context(), f, serve(t, client.Config{}, lost), serve(t, client.Config{}, next)); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint([]scheduler.Call_Type{scheduler.Call_RECONCILE, scheduler.Call_RECONCILE, scheduler.Call_ACKNOWLEDGE})
	if got := fmt.Sprint(next.made()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if f.Info.GetId() != nil {
		t.Error("the caller's FrameworkInfo was changed")
	}
}

func TestRunEndsByRefusalAndByContext(t *testing.T) {
	c := &cluster{t: t}
	c.subscribe = func(_ int, _ *scheduler.Call, send func(...*scheduler.Event), gone <-chan struct{}) {
		send(&scheduler.Event{Type: scheduler.Event_ERROR.Enum(), Error: &scheduler.Event_Error{Message: proto.String("Framework has been removed")}})
		<-gone
	}
	f := client.Framework{Info: info(), Handle: launcher, Teardown: true}
	err := client.Run(t.Context(), f, serve(t, client.Config{}, c))
	if !errors.Is(err, client.ErrRefused) || err.Error() != "run framework: framework refused: Framework has been removed" {
		t.Errorf("refused: %v", err)
	}

	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	c = &cluster{t: t}
	c.subscribe = func(_ int, _ *scheduler.Call, send func(...*scheduler.Event), gone <-chan struct{}) {
		send(subscribed())
		<-gone
	}
	f.Handle = func(context.Context, *client.Session, *scheduler.Event) error {
		cancel(enough)
		return nil
	}
	if err := client.Run(ctx, f, serve(t, client.Config{}, c)); !errors.Is(err, enough) {
		t.Errorf("context: %v", err)
	}
	if got := fmt.Sprint(c.made()); got != "[TEARDOWN]" {
		t.Errorf("calls: %s", got)
	}
}

func TestRunGivesUpWhenNoNodeAnswers(t *testing.T) {
	node := serve(t, client.Config{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no leader elected", http.StatusServiceUnavailable)
	}))
	err := client.Run(t.Context(), client.Framework{Info: info(), Handle: launcher, Patience: 1}, node)
	var status *client.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusServiceUnavailable {
		t.Errorf("%v", err)
	}
	denied := serve(t, client.Config{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "who are you", http.StatusUnauthorized)
	}))
	if err := client.Run(t.Context(), client.Framework{Info: info(), Handle: launcher}, denied); !errors.As(err, &status) || status.Code != http.StatusUnauthorized {
		t.Errorf("%v", err)
	}
}

package api

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// uplink notes what a gateway sends to the leader.
type uplink struct {
	mu   sync.Mutex
	sent []*protocol.GatewayToMaster
	fail error
	// answer, if set, is called with each message in a goroutine of its own.
	answer func(*protocol.GatewayToMaster)
}

func (u *uplink) Send(m *protocol.GatewayToMaster) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.fail != nil {
		return u.fail
	}
	u.sent = append(u.sent, m)
	if u.answer != nil {
		go u.answer(m)
	}
	return nil
}

// take returns what was sent since the last call.
func (u *uplink) take() []*protocol.GatewayToMaster {
	u.mu.Lock()
	defer u.mu.Unlock()
	sent := u.sent
	u.sent = nil
	return sent
}

func (u *uplink) set(fail error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fail = fail
}

var errNotTaken = errors.New("not taken")

func frameworkID(id string) *mesos.FrameworkID { return &mesos.FrameworkID{Value: &id} }

func subscribeCall(id string, roles ...string) *scheduler.Call {
	info := &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n"), Roles: roles,
		Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}
	c := &scheduler.Call{Type: scheduler.Call_SUBSCRIBE.Enum(), Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: info}}
	if id != "" {
		c.FrameworkId, info.Id = frameworkID(id), frameworkID(id)
	}
	return c
}

func callOf(framework string, t scheduler.Call_Type) *scheduler.Call {
	return &scheduler.Call{FrameworkId: frameworkID(framework), Type: t.Enum()}
}

func acceptCall(framework string, offers, tasks []string) *scheduler.Call {
	c := callOf(framework, scheduler.Call_ACCEPT)
	c.Accept = &scheduler.Call_Accept{}
	for _, o := range offers {
		c.Accept.OfferIds = append(c.Accept.OfferIds, &mesos.OfferID{Value: proto.String(o)})
	}
	var infos []*mesos.TaskInfo
	for _, t := range tasks {
		infos = append(infos, &mesos.TaskInfo{Name: proto.String(t), TaskId: &mesos.TaskID{Value: proto.String(t)}, AgentId: &mesos.AgentID{Value: proto.String("S0")}})
	}
	c.Accept.Operations = []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: infos}}}
	return c
}

func subscribedEvent(framework string) *scheduler.Event {
	return &scheduler.Event{Type: scheduler.Event_SUBSCRIBED.Enum(), Subscribed: &scheduler.Event_Subscribed{FrameworkId: frameworkID(framework)}}
}

func offersEvent(ids ...string) *scheduler.Event {
	e := &scheduler.Event{Type: scheduler.Event_OFFERS.Enum(), Offers: &scheduler.Event_Offers{}}
	for _, id := range ids {
		e.Offers.Offers = append(e.Offers.Offers, &mesos.Offer{Id: &mesos.OfferID{Value: proto.String(id)}})
	}
	return e
}

func updateEvent(task string) *scheduler.Event {
	return &scheduler.Event{Type: scheduler.Event_UPDATE.Enum(), Update: &scheduler.Event_Update{Status: &mesos.TaskStatus{
		TaskId: &mesos.TaskID{Value: proto.String(task)}, State: mesos.TaskState_TASK_RUNNING.Enum(),
	}}}
}

func errorEvent(text string) *scheduler.Event {
	return &scheduler.Event{Type: scheduler.Event_ERROR.Enum(), Error: &scheduler.Event_Error{Message: &text}}
}

// rig is a gateway with a leader that the test plays.
type rig struct {
	*Gateway
	t      *testing.T
	up     *uplink
	stream *string // of the session made last
}

func newRig(t *testing.T) *rig {
	up := &uplink{}
	return &rig{Gateway: NewGateway(up, nil), t: t, up: up}
}

func (r *rig) hear(m *protocol.MasterToGateway) {
	r.t.Helper()
	if err := r.Receive(m); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) event(session string, events ...*scheduler.Event) {
	r.t.Helper()
	for _, e := range events {
		r.hear(&protocol.MasterToGateway{Message: &protocol.MasterToGateway_Event{Event: &protocol.Event{SessionId: &session, Event: e}}})
	}
}

func (r *rig) closed(session string) {
	r.t.Helper()
	r.hear(&protocol.MasterToGateway{Message: &protocol.MasterToGateway_Closed{Closed: &protocol.Closed{SessionId: &session}}})
}

func (r *rig) reply(id uint64, code uint32, text string) {
	r.t.Helper()
	r.hear(&protocol.MasterToGateway{Message: &protocol.MasterToGateway_Reply{Reply: &protocol.Reply{CallId: &id, Code: &code, Message: &text}}})
}

// one is the only message sent since the last look.
func (r *rig) one() *protocol.GatewayToMaster {
	r.t.Helper()
	synctest.Wait()
	sent := r.up.take()
	if len(sent) != 1 {
		r.t.Fatalf("%d messages sent, want 1: %v", len(sent), sent)
	}
	return sent[0]
}

// none fails if anything was sent since the last look.
func (r *rig) none() {
	r.t.Helper()
	synctest.Wait()
	if sent := r.up.take(); len(sent) != 0 {
		r.t.Fatalf("sent %v", sent)
	}
}

// begun is a subscribing client whose answer is awaited.
type begun struct {
	s   *Session
	err error
}

func (r *rig) subscribe(call *scheduler.Call) <-chan begun {
	out := make(chan begun, 1)
	go func() {
		s, err := r.Subscribe(r.t.Context(), "", call)
		out <- begun{s, err}
	}()
	return out
}

// session is a framework that has subscribed.
func (r *rig) session(framework string, roles ...string) *Session {
	r.t.Helper()
	got := r.subscribe(subscribeCall("", roles...))
	id := r.one().GetSubscribe().GetSessionId()
	r.event(id, subscribedEvent(framework))
	b := <-got
	if b.err != nil {
		r.t.Fatal(b.err)
	}
	r.stream = &b.s.ID
	if e := r.next(b.s); e.GetSubscribed().GetFrameworkId().GetValue() != framework {
		r.t.Fatalf("first event %v", e)
	}
	return b.s
}

func (r *rig) next(s *Session) *scheduler.Event {
	r.t.Helper()
	events := r.events(s)
	if len(events) != 1 {
		r.t.Fatalf("%d events wait, want 1: %v", len(events), events)
	}
	return events[0]
}

// events are those that wait.
func (r *rig) events(s *Session) []*scheduler.Event {
	synctest.Wait()
	return s.pop()
}

type answered struct {
	reply Reply
	err   error
}

func (r *rig) call(call *scheduler.Call) <-chan answered {
	out := make(chan answered, 1)
	go func() {
		reply, err := r.Call(r.t.Context(), "", r.stream, call)
		out <- answered{reply, err}
	}()
	return out
}

// done makes a call and answers it.
func (r *rig) done(call *scheduler.Call, code uint32) {
	r.t.Helper()
	got := r.call(call)
	r.reply(r.one().GetCall().GetCallId(), code, "")
	if a := <-got; a.err != nil || a.reply.Code != int(code) {
		r.t.Fatalf("call: %+v", a)
	}
}

func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t)) })
}

func pass(d time.Duration) {
	time.Sleep(d) // in virtual time
	synctest.Wait()
}

var discard = slog.New(slog.DiscardHandler)

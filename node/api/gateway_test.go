package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

func TestSubscribeReturnsWithTheFirstEvent(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		got := r.subscribe(subscribeCall("", "a"))
		sub := r.one().GetSubscribe()
		if sub.Resume != nil || sub.GetSessionId() == "" {
			t.Fatalf("subscribe %v", sub)
		}
		select {
		case <-got:
			t.Fatal("answered before the leader did")
		default:
		}
		r.event(sub.GetSessionId(), subscribedEvent("F1"))
		b := <-got
		if b.err != nil || b.s.ID != sub.GetSessionId() || b.s.framework() != "F1" {
			t.Fatalf("%+v", b)
		}
	})
}

func TestErrorOfASubscribeIsAnEventBeforeTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		for range 20 { // both channels of the session are ready at once
			got := r.subscribe(subscribeCall("", "a"))
			id := r.one().GetSubscribe().GetSessionId()
			r.event(id, errorEvent("no"))
			r.closed(id)
			b := <-got
			if b.err != nil {
				t.Fatal(b.err)
			}
			if e := r.next(b.s); e.GetError().GetMessage() != "no" {
				t.Fatalf("event %v", e)
			}
			if _, err := b.s.Next(t.Context(), nil); !errors.Is(err, errSessionClosed) {
				t.Fatalf("after the error: %v", err)
			}
			r.Close(b.s)
			r.none()
		}
	})
}

func TestSubscribeClosedWithoutAWordIsALostLeader(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		got := r.subscribe(subscribeCall("", "a"))
		r.closed(r.one().GetSubscribe().GetSessionId())
		if b := <-got; !errors.Is(b.err, ErrLeaderLost) {
			t.Fatalf("%+v", b)
		}
	})
}

func TestSubscribeSurvivesALeaderThatDiesBeforeItAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		got := r.subscribe(subscribeCall("", "a"))
		first := r.one().GetSubscribe()
		r.Disconnected()
		r.Connected(2)
		again := r.one().GetSubscribe()
		if again.GetSessionId() != first.GetSessionId() || again.Resume != nil {
			t.Fatalf("announced as %v", again)
		}
		r.event(again.GetSessionId(), subscribedEvent("F1"))
		if b := <-got; b.err != nil {
			t.Fatal(b.err)
		}
	})
}

func TestSubscribeFailsWhenOnlyTheLinkBroke(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		got := r.subscribe(subscribeCall("", "a"))
		id := r.one().GetSubscribe().GetSessionId()
		r.Disconnected()
		r.Connected(1)
		if b := <-got; !errors.Is(b.err, ErrLeaderLost) {
			t.Fatalf("%+v", b)
		}
		if m := r.one(); m.GetClosed().GetSessionId() != id {
			t.Fatalf("sent %v", m)
		}
	})
}

func TestSubscribeThatIsNeverAnsweredEnds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		got := r.subscribe(subscribeCall("", "a"))
		id := r.one().GetSubscribe().GetSessionId()
		pass(subscribeWait + time.Second)
		if b := <-got; !errors.Is(b.err, ErrNoLeader) {
			t.Fatalf("%+v", b)
		}
		if m := r.one(); m.GetClosed().GetSessionId() != id {
			t.Fatalf("sent %v", m)
		}
	})
}

func TestClientThatLeavesClosesItsSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		s := r.session("F1", "a")
		r.event(s.ID, offersEvent("O1"))
		r.Close(s)
		if m := r.one(); m.GetClosed().GetSessionId() != s.ID {
			t.Fatalf("sent %v", m)
		}
		r.Close(s)
		r.none()
		if used := r.memory.used.Load(); used != 0 {
			t.Fatalf("%d bytes are still counted", used)
		}
		r.event(s.ID, offersEvent("O2")) // under way when the client left
		if m := r.one(); m.GetClosed().GetSessionId() != s.ID {
			t.Fatalf("sent %v", m)
		}
	})
}

func TestSessionIsResumedAndItsOffersRescinded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		s := r.session("F1", "a")
		r.event(s.ID, offersEvent("O1", "O2", "O3", "O4"))
		r.event(s.ID, &scheduler.Event{Type: scheduler.Event_RESCIND.Enum(), Rescind: &scheduler.Event_Rescind{OfferId: offersEvent("O2").Offers.Offers[0].Id}})
		r.events(s)
		r.done(acceptCall("F1", []string{"O1"}, nil), http.StatusAccepted)
		r.Disconnected()
		var rescinded []string
		for _, e := range r.events(s) {
			rescinded = append(rescinded, e.GetRescind().GetOfferId().GetValue())
		}
		if !slices.Equal(rescinded, []string{"O3", "O4"}) {
			t.Fatalf("rescinded %v", rescinded)
		}
		r.Connected(2)
		sub := r.one().GetSubscribe()
		if !sub.GetResume() || sub.GetSessionId() != s.ID || sub.GetCall().GetFrameworkId().GetValue() != "F1" ||
			sub.GetCall().GetSubscribe().GetFrameworkInfo().GetId().GetValue() != "F1" {
			t.Fatalf("resumed with %v", sub)
		}
		r.Disconnected()
		if events := r.events(s); len(events) != 0 {
			t.Fatalf("rescinded twice: %v", events)
		}
	})
}

func TestSessionIsResumedAsItsCallsLeftIt(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		r.session("F1", "a", "b", "c")
		suppressed := func() []string {
			t.Helper()
			r.Disconnected()
			r.Connected(r.term + 1)
			return r.one().GetSubscribe().GetCall().GetSubscribe().GetSuppressedRoles()
		}
		call := func(c scheduler.Call_Type, roles ...string) *scheduler.Call {
			m := callOf("F1", c)
			m.Suppress, m.Revive = &scheduler.Call_Suppress{Roles: roles}, &scheduler.Call_Revive{Roles: roles}
			return m
		}
		for _, step := range []struct {
			call *scheduler.Call
			code uint32
			want []string
		}{
			{call(scheduler.Call_SUPPRESS, "b"), 202, []string{"b"}},
			{call(scheduler.Call_SUPPRESS, "a", "nobody's"), 202, []string{"b"}},
			{call(scheduler.Call_SUPPRESS), 202, []string{"a", "b", "c"}},
			{call(scheduler.Call_REVIVE, "a"), 202, []string{"b", "c"}},
			{call(scheduler.Call_REVIVE), 400, []string{"b", "c"}},
			{call(scheduler.Call_REVIVE), 202, nil},
		} {
			r.done(step.call, step.code)
			if got := suppressed(); !slices.Equal(got, step.want) {
				t.Fatalf("after %v: suppressed %v, want %v", step.call, got, step.want)
			}
		}
		update := callOf("F1", scheduler.Call_UPDATE_FRAMEWORK)
		update.UpdateFramework = &scheduler.Call_UpdateFramework{
			FrameworkInfo: proto.CloneOf(subscribeCall("F1", "d").GetSubscribe().GetFrameworkInfo()), SuppressedRoles: []string{"d"},
		}
		r.done(update, 200)
		if got := suppressed(); !slices.Equal(got, []string{"d"}) {
			t.Fatalf("after UPDATE_FRAMEWORK: %v", got)
		}
	})
}

func TestCallWaitsForALeader(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		got := r.call(callOf("F1", scheduler.Call_REVIVE))
		r.none()
		pass(leaderWait - time.Second)
		r.Connected(1)
		r.reply(r.one().GetCall().GetCallId(), 202, "")
		if a := <-got; a.err != nil || a.reply.Code != 202 {
			t.Fatalf("%+v", a)
		}
	})
}

func TestCallWithoutALeaderFailsInTime(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		began := time.Now()
		if a := <-r.call(callOf("F1", scheduler.Call_REVIVE)); !errors.Is(a.err, ErrNoLeader) {
			t.Fatalf("%+v", a)
		}
		if took := time.Since(began); took != leaderWait {
			t.Fatalf("after %s", took)
		}
	})
}

func TestCallIsNeverSentTwice(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		got := r.call(callOf("F1", scheduler.Call_REVIVE))
		id := r.one().GetCall().GetCallId()
		r.Disconnected()
		if a := <-got; !errors.Is(a.err, ErrLeaderLost) {
			t.Fatalf("%+v", a)
		}
		r.Connected(2)
		r.none()
		r.reply(id, 202, "") // of the leader before: nobody waits for it
	})
}

func TestCallThatWasNotTakenGoesToTheNextLeader(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		r.up.set(errNotTaken)
		got := r.call(callOf("F1", scheduler.Call_REVIVE))
		opened := r.subscribe(subscribeCall("", "a"))
		r.none()
		r.Disconnected()
		r.up.set(nil)
		r.Connected(2)
		synctest.Wait()
		for _, m := range r.up.take() {
			if c := m.GetCall(); c != nil {
				r.reply(c.GetCallId(), 202, "")
			} else {
				r.event(m.GetSubscribe().GetSessionId(), subscribedEvent("F1"))
			}
		}
		if a := <-got; a.err != nil {
			t.Fatal(a.err)
		}
		if b := <-opened; b.err != nil {
			t.Fatal(b.err)
		}
	})
}

func TestCallEndsWithItsClient(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 1)
		go func() {
			_, err := r.Call(ctx, "", nil, callOf("F1", scheduler.Call_REVIVE))
			got <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		r.Connected(1)
		r.none()
	})
}

// pendings are the tasks announced to a new leader, by framework.
func (r *rig) pendings() map[string][]string {
	r.t.Helper()
	synctest.Wait()
	out := map[string][]string{}
	seen := false
	for _, m := range r.up.take() {
		switch {
		case m.GetSubscribe() != nil && seen:
			r.t.Fatal("a session was announced after the tasks")
		case m.GetPending() != nil:
			seen = true
			f := m.GetPending().GetFrameworkId().GetValue()
			for _, task := range m.GetPending().GetTasks() {
				out[f] = append(out[f], task.GetTaskId().GetValue())
			}
			slices.Sort(out[f])
		}
	}
	return out
}

func TestAcceptedTasksThatWereNotHeardOfAreAnnounced(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		s := r.session("F1", "a")
		r.done(acceptCall("F1", []string{"O1"}, []string{"heard", "unheard"}), 202)
		r.done(acceptCall("F1", []string{"O1"}, []string{"refused"}), 400)
		r.event(s.ID, updateEvent("heard"))
		pass(time.Hour)
		unanswered := r.call(acceptCall("F1", []string{"O3"}, []string{"unanswered"}))
		synctest.Wait()
		r.Disconnected()
		if a := <-unanswered; !errors.Is(a.err, ErrLeaderLost) {
			t.Fatalf("%+v", a)
		}
		r.up.take()
		r.Connected(2)
		if got := fmt.Sprint(r.pendings()); got != "map[F1:[unanswered unheard]]" {
			t.Fatalf("announced %s", got)
		}
		r.event(s.ID, updateEvent("unheard"), updateEvent("unanswered"))
		r.Disconnected()
		r.Connected(3)
		if got := r.pendings(); len(got) != 0 {
			t.Fatalf("announced %v again", got)
		}
	})
}

func TestReplyToAClientThatLeftStillCounts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		r.session("F1", "a")
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := r.Call(ctx, "", nil, acceptCall("F1", []string{"O1"}, []string{"t"}))
			left <- err
		}()
		id := r.one().GetCall().GetCallId()
		cancel()
		<-left
		r.reply(id, 400, "no")
		r.Disconnected()
		r.Connected(2)
		if got := r.pendings(); len(got) != 0 {
			t.Fatalf("a refused task was announced: %v", got)
		}
	})
}

func TestTasksOfAStreamElsewhereAreAnnouncedForAWhile(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		r.done(acceptCall("F9", []string{"O1"}, []string{"old"}), 202)
		pass(pendingFor + time.Second)
		r.done(acceptCall("F9", []string{"O1"}, []string{"young"}), 202)
		r.Disconnected()
		pass(time.Hour) // however long there is no leader
		r.Connected(2)
		if got := fmt.Sprint(r.pendings()); got != "map[F9:[young]]" {
			t.Fatalf("announced %s", got)
		}
	})
}

func TestSlowClientLosesItsStreamAndNobodyElse(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		slow, quick := r.session("F1", "a"), r.session("F2", "a")
		for range sessionEvents {
			r.event(slow.ID, updateEvent("t"))
			r.event(quick.ID, updateEvent("t"))
			r.events(quick)
		}
		r.none()
		r.event(slow.ID, updateEvent("one too many"))
		if m := r.one(); m.GetClosed().GetSessionId() != slow.ID {
			t.Fatalf("sent %v", m)
		}
		if _, err := slow.Next(t.Context(), nil); !errors.Is(err, ErrSlowClient) {
			t.Fatalf("the slow client's stream ended with %v", err)
		}
		r.event(quick.ID, updateEvent("t"))
		r.next(quick)
		if c := r.Counts(); c.SlowClients != 1 || c.Sessions != 1 {
			t.Fatalf("counted %+v", c)
		}
		if used := r.memory.used.Load(); used != 0 {
			t.Fatalf("%d bytes are still counted", used)
		}
	})
}

func TestWhatWaitsForAllClientsIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		big := updateEvent(strings.Repeat("x", 8<<20))
		var sessions []*Session
		for i := range 2 * memoryBytes / (8 << 20) / 3 {
			s := r.session(fmt.Sprint("F", i), "a")
			sessions = append(sessions, s)
			r.event(s.ID, big, big, big)
			r.up.take()
		}
		if used := r.memory.used.Load(); used > memoryBytes+(16<<20) {
			t.Fatalf("%d bytes wait", used)
		}
		if r.Counts().SlowClients == 0 {
			t.Fatal("nobody was dropped")
		}
		for _, s := range sessions {
			r.Close(s)
		}
		if used := r.memory.used.Load(); used != 0 {
			t.Fatalf("%d bytes are still counted", used)
		}
	})
}

func TestOffersUsedElsewhereAreForgottenInTheEnd(t *testing.T) {
	var o outstanding
	for i := range 5 * offersKept {
		o.add(fmt.Sprint(i))
	}
	all := o.all()
	if len(all) > 2*offersKept || !slices.Contains(all, fmt.Sprint(5*offersKept-1)) {
		t.Fatalf("%d offers are kept", len(all))
	}
}

func TestUnknownMessageOfTheLeaderEndsNothing(t *testing.T) {
	r := newRig(t)
	if err := r.Receive(&protocol.MasterToGateway{}); err != nil {
		t.Fatal(err)
	}
}

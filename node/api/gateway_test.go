package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
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

func TestUnknownMessageOfTheLeaderEndsNothing(t *testing.T) {
	r := newRig(t)
	if err := r.Receive(&protocol.MasterToGateway{}); err != nil {
		t.Fatal(err)
	}
}

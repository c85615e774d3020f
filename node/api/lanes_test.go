package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// flood makes n calls that name a stream, and reports how many were sent on.
func (r *rig) flood(n int, stream, framework, principal string) int {
	r.t.Helper()
	for range n {
		go func() {
			_, _ = r.Call(r.t.Context(), principal, &stream, callOf(framework, scheduler.Call_REVIVE)) // nobody answers them
		}()
	}
	synctest.Wait()
	return len(r.up.take())
}

// known reports whether the leader is told that a call's stream is known.
func (r *rig) known(stream, framework, principal string) bool {
	r.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = r.Call(r.t.Context(), principal, &stream, callOf(framework, scheduler.Call_REVIVE)) // refused below
	}()
	c := r.one().GetCall()
	r.reply(c.GetCallId(), 403, "")
	<-done
	return c.GetKnown()
}

func TestFloodUsesUpItsOwnPlacesOnly(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		noisy, quiet := r.session("noisy"), r.session("quiet")
		if sent := r.flood(2*laneCalls, noisy.ID, "noisy", ""); sent != laneCalls {
			t.Errorf("%d calls of the noisy framework were sent", sent)
		}
		// Whoever knows a framework's ID, but not its stream or not its principal, takes no place of its.
		if sent := r.flood(laneCalls, "made up", "quiet", ""); sent != laneCalls {
			t.Errorf("%d calls for a made up stream were sent", sent)
		}
		if sent := r.flood(laneCalls, "another", "quiet", ""); sent != 0 {
			t.Errorf("%d calls for another made up stream were sent", sent)
		}
		if sent := r.flood(2*laneCalls, quiet.ID, "quiet", "mallory"); sent != laneCalls {
			t.Errorf("%d calls of another principal were sent", sent)
		}
		r.stream = &quiet.ID
		r.done(callOf("quiet", scheduler.Call_REVIVE), 202)
		if n := r.Counts().Throttled; n != 3*laneCalls {
			t.Errorf("%d calls were refused", n)
		}
		r.Disconnected()
	})
}

func TestStreamAtAnotherGatewayIsKnownByItsFirstCall(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		r.stream = proto.String("s")
		r.done(callOf("F", scheduler.Call_REVIVE), 403)
		if r.known("s", "F", "") {
			t.Error("a stream is known of which no call was taken")
		}
		r.done(callOf("F", scheduler.Call_REVIVE), 202)
		if !r.known("s", "F", "") {
			t.Error("a stream is not known of which a call was taken")
		}
		if r.known("s", "G", "") || r.known("s", "F", "p") || r.known("t", "F", "") {
			t.Error("more is known than was taken")
		}
		for i := range 2 * vouchedStreams {
			r.vouched.add(fmt.Sprint(i), owner{"F", ""})
		}
		if n := len(r.vouched.young) + len(r.vouched.old); n > 2*vouchedStreams || r.known("s", "F", "") {
			t.Errorf("%d streams are remembered", n)
		}
	})
}

func TestLaneHasRoomForWhatIsNotRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		s := r.session("F")
		for range laneCalls {
			r.call(callOf("F", scheduler.Call_REVIVE))
		}
		synctest.Wait()
		got := <-r.call(callOf("F", scheduler.Call_KILL))
		if got.reply.Code != http.StatusTooManyRequests || got.reply.RetryAfter != 1 {
			t.Fatalf("one too many: %+v", got)
		}
		sent := r.up.take()
		if len(sent) != laneCalls {
			t.Fatalf("%d calls went out", len(sent))
		}
		r.done(callOf("F", scheduler.Call_ACKNOWLEDGE), 202)
		r.reply(sent[0].GetCall().GetCallId(), 202, "")
		r.done(callOf("F", scheduler.Call_KILL), 202)
		r.Disconnected()
		if left := r.places(); left != 0 {
			t.Fatalf("%d places are still taken", left)
		}
		r.Close(s)
	})
}

func TestSubscribersAndOperatorsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		ctx, cancel := context.WithCancel(t.Context())
		for range laneCalls {
			go func() { _, _ = r.Subscribe(ctx, "p", subscribeCall("")) }() // until ctx ends
			go func() { _, _ = r.Operate(ctx, "p", &master.Call{}) }()
		}
		synctest.Wait()
		if _, err := r.Subscribe(ctx, "p", subscribeCall("")); !errors.Is(err, ErrCrowded) {
			t.Errorf("one SUBSCRIBE too many: %v", err)
		}
		for _, ask := range []func() (Reply, error){
			func() (Reply, error) { return r.Operate(ctx, "p", &master.Call{}) },
			func() (Reply, error) { return r.Explain(ctx, &protocol.Explain{Principal: proto.String("p")}) },
		} {
			if reply, err := ask(); err != nil || reply.Code != http.StatusTooManyRequests || reply.RetryAfter != 1 {
				t.Errorf("one operator too many: %+v, %v", reply, err)
			}
		}
		r.up.take()
		got := r.subscribe(subscribeCall("")) // of another principal
		r.event(r.one().GetSubscribe().GetSessionId(), subscribedEvent("F"))
		if b := <-got; b.err != nil {
			t.Errorf("another principal: %v", b.err)
		}
		cancel()
		synctest.Wait()
		r.Disconnected()
		if left := r.places(); left != 0 {
			t.Errorf("%d places are still taken", left)
		}
	})
}

func TestCallThatFindsNoLeaderGivesItsPlaceBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		got := r.call(callOf("F", scheduler.Call_REVIVE))
		synctest.Wait()
		if r.places() != 1 {
			t.Fatal("it has no place while it waits")
		}
		a := <-got
		if left := r.places(); a.err == nil || left != 0 {
			t.Fatalf("%+v, %d places taken", a, left)
		}
	})
}

// places are the lanes that have calls under way.
func (r *rig) places() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lanes)
}

// The two ways to be told to wait, as HTTP clients see them.
func TestRefusedClientsAreToldWhenToTryAgain(t *testing.T) {
	w := newWorld(t).lead()
	for range laneCalls {
		for _, in := range []lane{{subscribeLane, ""}, {strangerLane, ""}, {operatorLane, ""}} {
			if err := w.gateway.enter(in); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		line, body string
		headers    []string
		code       int
		text       string
	}{
		"a scheduler's call": {"POST /api/v1/scheduler", revive, []string{jsonType, "Mesos-Stream-Id: T"}, 429, "too many calls are under way at this node: 256 calls for streams not known here"},
		"a SUBSCRIBE":        {"POST /api/v1/scheduler", subscribeJSON, []string{jsonType}, 503, "256 SUBSCRIBE calls that wait for an answer"},
		"an operator's call": {"POST /api/v1", `{"type":"TEARDOWN","teardown":{"framework_id":{"value":"F"}}}`, []string{jsonType}, 429, "256 calls of operators"},
	} {
		rec := do(w.handler, request(c.line, c.body, c.headers...))
		if rec.Code != c.code || rec.Header().Get("Retry-After") != "1" || !strings.Contains(rec.Body.String(), c.text) {
			t.Errorf("%s: %d, again in %q s: %s", name, rec.Code, rec.Header().Get("Retry-After"), rec.Body)
		}
	}
}

// A leader's 429 has its own time to wait.
func TestLeaderSaysWhenToTryAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		s := r.session("F")
		got := r.call(callOf("F", scheduler.Call_REVIVE))
		id := r.one().GetCall().GetCallId()
		r.hear(&protocol.MasterToGateway{Message: &protocol.MasterToGateway_Reply{Reply: &protocol.Reply{
			CallId: &id, Code: proto.Uint32(429), RetryAfter: proto.Uint32(7), Message: proto.String("slowly")}}})
		if a := <-got; a.reply.Code != 429 || a.reply.RetryAfter != 7 || a.reply.Message != "slowly" {
			t.Errorf("%+v", a)
		}
		if n := r.Counts().Throttled; n != 1 {
			t.Errorf("%d calls were refused", n)
		}
		r.Close(s)
		pass(time.Second)
	})
}

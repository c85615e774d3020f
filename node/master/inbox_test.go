package master

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"muster/offers"
	"muster/offers/protocol"
)

func call(id uint64, session string, known bool) *protocol.GatewayToMaster {
	return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Call{Call: &protocol.Call{
		CallId: proto.Uint64(id), SessionId: proto.String(session), Known: proto.Bool(known)}}}
}

func closed(session string) *protocol.GatewayToMaster {
	return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Closed{Closed: &protocol.Closed{SessionId: proto.String(session)}}}
}

func operate() *protocol.GatewayToMaster {
	return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Operate{Operate: &protocol.Operate{}}}
}

// filling puts what links say into an inbox, one after the other.
type filling struct {
	*inbox
	t    *testing.T
	room map[offers.Link]chan struct{}
}

func newFilling(t *testing.T) *filling {
	return &filling{newInbox(), t, map[offers.Link]chan struct{}{}}
}

func (f *filling) says(l offers.Link, messages ...*protocol.GatewayToMaster) {
	f.t.Helper()
	if f.room[l] == nil {
		f.room[l] = make(chan struct{}, gatewayInputs)
	}
	for _, m := range messages {
		must(f.t, f.fromGateway(f.t.Context(), offers.FromGateway{Link: l, Message: m}, f.room[l]))
	}
}

// order writes what the core takes, in its order.
func (f *filling) order() (out []string) {
	for in := f.next(); in != nil; in = f.next() {
		switch in := in.(type) {
		case offers.FromGateway:
			switch m := in.Message.GetMessage().(type) {
			case *protocol.GatewayToMaster_Call:
				out = append(out, fmt.Sprintf("%s/%d", m.Call.GetSessionId(), m.Call.GetCallId()))
			case *protocol.GatewayToMaster_Closed:
				out = append(out, "end of "+m.Closed.GetSessionId())
			case *protocol.GatewayToMaster_Operate:
				out = append(out, "operator")
			}
		case offers.FromAgent:
			out = append(out, fmt.Sprintf("agent %d", in.Link))
		default:
			out = append(out, fmt.Sprintf("%T", in))
		}
	}
	return out
}

func TestQuietFrameworkWaitsForOneCallOfEachOther(t *testing.T) {
	f := newFilling(t)
	for i := range uint64(5000) {
		f.says(1, call(i, "noisy", true))
		f.says(2, call(i, fmt.Sprintf("made up %d", i), false))
	}
	for range agentInputs {
		must(t, f.fromAgent(t.Context(), offers.FromAgent{Link: 3}))
	}
	f.says(1, call(1, "quiet", true))
	// One of the noisy framework, one of all the strangers of gateway 2, its own, and an
	// agent's before each but the first.
	if at := slices.Index(f.order(), "quiet/1"); at > 5 {
		t.Errorf("%d steps before it", at)
	}
}

func TestTurnsKeepTheOrderOfEachLane(t *testing.T) {
	f := newFilling(t)
	f.says(1, call(1, "a", true), call(2, "a", true), call(3, "a", true), operate(), operate())
	f.says(2, call(4, "a", true), call(1, "b", true), call(1, "x", false), call(1, "y", false))
	must(t, f.fromAgent(t.Context(), offers.FromAgent{Link: 7}))
	must(t, f.fromAgent(t.Context(), offers.AgentDisconnected{Link: 7}))
	f.says(1, closed("a"), closed("c"))
	f.gateway(offers.GatewayDisconnected{Link: 9})
	want := []string{
		"offers.GatewayDisconnected",
		"a/1", "agent 7", "operator", "offers.AgentDisconnected", "b/1", "x/1", "end of c",
		"a/2", "operator", "y/1", "a/3", "a/4", "end of a",
	}
	if got := f.order(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if len(f.lanes) > 0 {
		t.Errorf("%d lanes are left", len(f.lanes))
	}
}

func TestFullInboxHoldsUpItsOwnLinkOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFilling(t)
		for i := range uint64(gatewayInputs) {
			f.says(1, call(i, "s", true))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var first, second error
		room := f.room[1]
		go func() {
			first = f.fromGateway(ctx, offers.FromGateway{Link: 1, Message: operate()}, room)
			second = f.fromGateway(ctx, offers.FromGateway{Link: 1, Message: operate()}, room)
		}()
		f.says(2, operate())
		must(t, f.fromAgent(t.Context(), offers.FromAgent{Link: 3}))
		synctest.Wait()
		if n := len(room); n != gatewayInputs || len(f.lanes) != 2 {
			t.Fatalf("%d inputs in %d lanes", n, len(f.lanes))
		}
		f.next() // makes room for one
		synctest.Wait()
		cancel()
		synctest.Wait()
		if first != nil || !errors.Is(second, errReignEnded) {
			t.Errorf("%v, %v", first, second)
		}
	})
}

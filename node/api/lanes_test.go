package api

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// serving answers what is sent to the leader one after the other, each in its time,
// until ctx ends.
func (r *rig) serving(ctx context.Context, each time.Duration) {
	inbox := make(chan *protocol.GatewayToMaster, 1<<16)
	r.up.answer = func(m *protocol.GatewayToMaster) { inbox <- m }
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case m := <-inbox:
				time.Sleep(each)
				r.reply(m.GetCall().GetCallId(), 202, "")
			}
		}
	}()
}

// flood has n clients call for a framework, each again at once, or as soon as it is
// allowed to.
func (r *rig) flood(ctx context.Context, framework string, n int) {
	for range n {
		go func() {
			for ctx.Err() == nil {
				reply, err := r.Call(ctx, "", nil, callOf(framework, scheduler.Call_REVIVE))
				if err != nil {
					return
				}
				time.Sleep(time.Duration(reply.RetryAfter) * time.Second)
			}
		}()
	}
}

// p99 is how long the slowest but one of a hundred calls takes.
func (r *rig) p99(framework string) time.Duration {
	var took []time.Duration
	for range 100 {
		began := time.Now()
		reply, err := r.Call(r.t.Context(), "", nil, callOf(framework, scheduler.Call_REVIVE))
		if err != nil || reply.Code != http.StatusAccepted {
			r.t.Fatalf("%+v, %v", reply, err)
		}
		took = append(took, time.Since(began))
		time.Sleep(time.Millisecond)
	}
	slices.Sort(took)
	return took[98]
}

func TestFloodOfOneFrameworkHoldsUpOthersByItsLaneOnly(t *testing.T) {
	const step = 10 * time.Microsecond // of the core
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		defer pass(2 * time.Second) // for all to end
		defer cancel()
		r.Connected(1)
		r.serving(ctx, step)
		if alone := r.p99("quiet"); alone != step {
			t.Fatalf("alone, a call takes %s", alone)
		}
		r.flood(ctx, "noisy", 5000)
		synctest.Wait()
		if beside := r.p99("quiet"); beside > (laneCalls+1)*step {
			t.Fatalf("beside a flood, a call takes %d steps of the core", beside/step)
		}
		if r.Counts().Throttled == 0 {
			t.Fatal("the flood was not told to slow down")
		}
	})
}

func TestLaneHasRoomForWhatIsNotRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		r.stream = proto.String("s")
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
		r.done(callOf("G", scheduler.Call_KILL), 202)
		r.reply(sent[0].GetCall().GetCallId(), 202, "")
		r.done(callOf("F", scheduler.Call_KILL), 202)
		r.Disconnected()
		if left := r.places(); left != 0 {
			t.Fatalf("%d places are still taken", left)
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

// places are the frameworks that have calls under way.
func (r *rig) places() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lanes)
}

package api

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
	"muster/offers/view"
)

// large is a view of several runs of everything.
func large() *view.View {
	v := view.New()
	v.Apply(view.MasterEvent(&protocol.ViewEvent_Master{Info: &mesos.MasterInfo{Id: proto.String("M")}}))
	for i := range 150 {
		id := fmt.Sprint("F", i%5)
		v.Apply(view.FrameworkEvent(frameworkFact(id)))
		v.Apply(view.AgentEvent(agentFact(fmt.Sprint("S", i))))
		v.Apply(view.RecoveredAgentEvent(&mesos.AgentInfo{Id: &mesos.AgentID{Value: proto.String(fmt.Sprint("R", i))}, Hostname: proto.String("h")}))
		for j := range 3 {
			v.Apply(view.TaskEvent(taskFact(id, fmt.Sprintf("t%d-%d", i, j), mesos.TaskState_TASK_RUNNING, 1), nil, j == 1))
		}
		v.Apply(view.TaskRemovedEvent(id, fmt.Sprintf("t%d-2", i), true))
		v.Apply(view.OfferEvent(offerFact(fmt.Sprint("O", i), id)))
		v.Apply(view.InverseOfferEvent(&mesos.InverseOffer{Id: &mesos.OfferID{Value: proto.String(fmt.Sprint("I", i))}, FrameworkId: frameworkID(id), Unavailability: &mesos.Unavailability{Start: &mesos.TimeInfo{Nanoseconds: proto.Int64(1)}}}))
		v.Apply(view.ExecutorEvent(&master.Response_GetExecutors_Executor{AgentId: &mesos.AgentID{Value: proto.String("S1")},
			ExecutorInfo: &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: proto.String(fmt.Sprint("e", i))}, FrameworkId: frameworkID(id)}}))
	}
	v.Apply(view.FrameworkEvent(frameworkFact("gone")))
	v.Apply(view.FrameworkRemovedEvent("gone"))
	return v
}

func offerFact(id, framework string) *mesos.Offer {
	return &mesos.Offer{Id: &mesos.OfferID{Value: proto.String(id)}, FrameworkId: frameworkID(framework),
		AgentId: &mesos.AgentID{Value: proto.String("S1")}, Hostname: proto.String("h")}
}

// wholeOf is the state as a client reads it that was written as one message.
func wholeOf(t *testing.T, c codec, v *view.View) *master.Response {
	t.Helper()
	s := &master.Response_GetState{
		GetTasks:     &master.Response_GetTasks{Tasks: v.Tasks(), UnreachableTasks: v.UnreachableTasks(), CompletedTasks: v.CompletedTasks()},
		GetExecutors: &master.Response_GetExecutors{Executors: v.Executors()}, GetFrameworks: &master.Response_GetFrameworks{CompletedFrameworks: v.CompletedFrameworks()},
		GetAgents: &master.Response_GetAgents{Agents: v.Agents(), RecoveredAgents: v.RecoveredAgents()},
	}
	for _, f := range v.Frameworks() {
		f = proto.CloneOf(f)
		f.Offers = v.Offers(f.GetFrameworkInfo().GetId().GetValue())
		f.InverseOffers = byFramework(v.InverseOffers())[f.GetFrameworkInfo().GetId().GetValue()]
		s.GetFrameworks.Frameworks = append(s.GetFrameworks.Frameworks, f)
	}
	body, err := c.append(nil, &master.Response{GetState: s})
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, c, body)
}

func readTree(t *testing.T, c codec, e *encoding, v *view.View) *master.Response {
	t.Helper()
	tr := newTree(c, e)
	tr.message(fieldState, func() { writeState(tr, v) })
	body, err := tr.body()
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, c, slices.Concat(body...))
}

func decoded(t *testing.T, c codec, body []byte) *master.Response {
	t.Helper()
	var out master.Response
	decode := mesos.UnmarshalJSON
	if c.media == mediaProtobuf {
		decode = mesos.Unmarshal
	}
	if err := decode(body, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// changes are some of each kind, which leave most of a large view as it was.
func changes(v *view.View) {
	v.Apply(view.AgentEvent(agentFact("S7x")))
	v.Apply(view.AgentRemovedEvent("S9", false))
	v.Apply(view.TaskEvent(taskFact("F1", "t1-0", mesos.TaskState_TASK_KILLING, 2), nil, false))
	v.Apply(view.TaskRemovedEvent("F2", "t2-0", true))
	v.Apply(view.OfferRemovedEvent("O3"))
	v.Apply(view.OfferEvent(offerFact("O3x", "F4")))
	f := frameworkFact("F3")
	f.Active = proto.Bool(false)
	v.Apply(view.FrameworkEvent(f))
	v.Apply(view.FrameworkRemovedEvent("F0")) // as it was told of last
}

// TestAStateInPartsIsTheStateAsOne compares the state written part by part with the
// message, at first, from kept parts, and after changes.
func TestAStateInPartsIsTheStateAsOne(t *testing.T) {
	for _, c := range []codec{jsonCodec, protobufCodec} {
		if got := readTree(t, c, nil, view.New()); !proto.Equal(got, wholeOf(t, c, view.New())) {
			t.Errorf("%s: nothing became %v", c.media, got)
		}
		v, a := large(), newAnswers()
		for i := range 4 {
			_, err := a.make(t.Context(), "state", func(e *encoding) ([][]byte, error) {
				before := len(e.parts)
				if want, got := wholeOf(t, c, v), readTree(t, c, e, v.Clone()); !proto.Equal(want, got) {
					t.Errorf("%s, %d: %s", c.media, i, cmp.Diff(want, got, protocmp.Transform()))
				}
				// An unchanged answer makes no part, a changed one those that changed.
				if made := len(e.parts) - before; (made > 0) != (i%2 == 0) || i > 0 && made > 12 {
					t.Errorf("%s, %d: %d parts were made anew, of %d", c.media, i, made, len(e.parts))
				}
				return nil, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if e := a.kinds["state"]; len(e.parts) != e.used {
				t.Errorf("%d parts are kept of an answer of %d", len(e.parts), e.used)
			}
			if i == 1 {
				changes(v)
			}
		}
	}
}

// TestLegacyStatesFromKeptPartsAreTheSame compares /state from kept parts with one made anew.
func TestLegacyStatesFromKeptPartsAreTheSame(t *testing.T) {
	m, r, v, a := &masterAPI{}, httptest.NewRequest("GET", "/state", nil), large(), newAnswers()
	text := func(e *encoding) string {
		out := writer{enc: e}
		if err := m.state(&out, r, v.Clone()); err != nil {
			t.Fatal(err)
		}
		return string(slices.Concat(out.chunks()...))
	}
	for i := range 4 {
		_, err := a.make(t.Context(), "state", func(e *encoding) ([][]byte, error) {
			if got, want := text(e), text(nil); got != want {
				t.Errorf("%d: %s", i, cmp.Diff(want, got))
			}
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			changes(v)
		}
	}
}

// TestAnswersAreMadeInTurnAndForgotten: one at a time; a client that goes does not wait.
func TestAnswersAreMadeInTurnAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnswers()
		begun, end, first := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() {
			_, err := a.make(t.Context(), "state", func(*encoding) ([][]byte, error) { close(begun); <-end; return nil, nil })
			first <- err
		}()
		<-begun
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.make(ctx, "state", func(*encoding) ([][]byte, error) { return nil, nil }); err != context.DeadlineExceeded {
			t.Errorf("a second answer was made meanwhile: %v", err)
		}
		close(end)
		if err := <-first; err != nil {
			t.Error(err)
		}
		kept := func() bool {
			a.turn <- struct{}{}
			defer func() { <-a.turn }()
			return a.kinds["state"] != nil
		}
		time.Sleep(keepParts - time.Second)
		if !kept() {
			t.Error("forgotten too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if kept() {
			t.Error("kept for good")
		}
	})
}

// TestReadersInALoopAreNoMoreThanOneThatRests lets ten readers read on: what they get is
// of after they asked, and is made for a tenth of the time.
func TestReadersInALoopAreNoMoreThanOneThatRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const took, want = 10 * time.Millisecond, 100
		const during = want*(restTimes+1)*took - took
		a, start, made := newAnswers(), time.Now(), 0
		var got atomic.Int32
		ctx, cancel := context.WithTimeout(t.Context(), during)
		defer cancel()
		var readers sync.WaitGroup
		for range 10 {
			readers.Go(func() {
				for asked := time.Now(); ; asked = time.Now() {
					body, err := a.make(ctx, "state", func(*encoding) ([][]byte, error) {
						made++
						of := fmt.Append(nil, time.Since(start))
						time.Sleep(took)
						return [][]byte{of}, nil
					})
					if err != nil {
						return
					}
					if of, err := time.ParseDuration(string(body[0])); err != nil || start.Add(of).Before(asked) {
						t.Errorf("asked at %v, got the state of %s", asked.Sub(start), body[0])
					}
					got.Add(1)
				}
			})
		}
		readers.Wait()
		if made != want || got.Load() < 9*want {
			t.Errorf("%d answers were made, want %d; %d were got", made, want, got.Load())
		}
	})
}

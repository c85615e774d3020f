package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

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

func TestARefusedCallForgetsNoTaskOfAnother(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		r.session("F1", "a")
		r.done(acceptCall("F1", []string{"O1"}, []string{"t"}), 202)
		r.done(acceptCall("F1", []string{"O9"}, []string{"t"}), 400) // by anybody, with another stream
		r.Disconnected()
		r.Connected(2)
		if got := fmt.Sprint(r.pendings()); got != "map[F1:[t]]" {
			t.Fatalf("announced %s", got)
		}
	})
}

func TestTasksThatNoOperationLaunchesAreNotRemembered(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Connected(1)
		r.session("F1", "a")
		call := acceptCall("F1", []string{"O1"}, []string{"t"})
		call.Accept.Operations[0].Type = nil // as what a later version has is read
		r.done(call, 202)
		r.Disconnected()
		r.Connected(2)
		if got := r.pendings(); len(got) != 0 {
			t.Fatalf("announced %v, of which nothing is ever heard", got)
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

package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

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

package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A day is kept coarsely, its last hour finely, and no more than that.
func TestTheBoardRemembersADay(t *testing.T) {
	var l Lender
	b := &l.board
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for s := range 30 * 3600 {
		b.note(Moment{At: began.Add(time.Duration(s) * time.Second)}, Violations{Count: uint64(s / 3600)})
	}
	if len(b.past) != pastKept || len(b.day) != dayKept || cap(b.day) > 2*dayKept {
		t.Fatalf("%d of the hour, %d of the day", len(b.past), len(b.day))
	}
	r := l.Report()
	for i, m := range r.Past[1:] {
		if gap := m.At.Sub(r.Past[i].At); gap < pastEvery || gap > dayEvery+pastEvery {
			t.Fatalf("%v between moments %d and %d", gap, i, i+1)
		}
	}
	if back := r.Now.At.Sub(r.Past[0].At); back < 24*time.Hour || back > 26*time.Hour {
		t.Errorf("it goes back by %v", back)
	}
	if hour := r.Since(r.Now.At.Add(-time.Hour)); len(hour.Past) != pastKept {
		t.Errorf("%d moments in the last hour", len(hour.Past))
	}
	if m := r.Past[len(r.Past)-1]; m.Violations != 29 {
		t.Errorf("%d violations by then", m.Violations)
	}
}

// A damaged history is told of and kept, what is whole of it is used, and the agent
// goes on.
func TestADamagedHistoryIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		text := `{"muster_usage_history":1}` + "\n" + `{"id":"whole","last":"2026-01-01T12:00:00Z","use":{"Task":"t","CPUsLimit":1},"steps":[[1,1,1,1]],"ended":true}` + "\n" + `{"id":"torn","st`
		file := filepath.Join(r.agent.cfg.Dir, "usage")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l := r.lends(&plant{began: time.Now()}, Lending{})
		r.settle()
		if kept, err := os.ReadFile(file + ".unread"); err != nil || string(kept) != text {
			t.Errorf("set aside: %q, %v", kept, err)
		}
		var out strings.Builder
		if err := l.History().WriteCSV(&out, "n"); err != nil || !strings.Contains(out.String(), "t/whole,n,1767268800,1,1,1,0") {
			t.Errorf("%q, %v", out.String(), err)
		}
	})
}

func TestAReportIsThinnedEvenlyInTime(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var r Report
	for i := range 100 {
		r.Past = append(r.Past, Moment{At: began.Add(time.Duration(i) * time.Minute)})
	}
	for _, points := range []int{1, 7, 99, 100, 1000} {
		thin := r.Thin(points).Past
		if len(thin) != min(points, 100) || !thin[len(thin)-1].At.Equal(r.Past[99].At) {
			t.Errorf("%d points: %d moments", points, len(thin))
		}
	}
	r.Past[0].At = began.AddDate(1, 0, 0) // the clock was set back since
	if thin := r.Thin(10).Past; len(thin) == 0 {
		t.Error("nothing is left when the clock was set back")
	}
	if len((Report{}).Thin(5).Past) != 0 {
		t.Error("something out of nothing")
	}
}

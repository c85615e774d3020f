package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// watch has a task use what use says, every second.
func watch(h *History, id string, from time.Time, d time.Duration, use func(s int) float64) {
	for s := range int(d / time.Second) {
		h.Observe(from.Add(time.Duration(s)*time.Second), id, Use{CPUs: use(s), Mem: 100 * use(s), CPUsLimit: 2})
	}
}

func TestHistoryTellsTheLatestTheMinuteAndTheDay(t *testing.T) {
	h := NewHistory(0, nil)
	watch(h, "a", noon, time.Hour, func(s int) float64 {
		if s == 1000 {
			return 5 // one reading
		}
		if s >= 3540 {
			return 2 // the last minute
		}
		return 1
	})
	if u, ok := h.Latest("a"); !ok || u.CPUs != 2 || u.Mem != 200 {
		t.Errorf("latest %+v", u)
	}
	cpus, mem := h.Recent("a")
	if cpus.Mean != 2 || cpus.P50 != 2 || cpus.Max != 2 || mem.Max != 200 {
		t.Errorf("minute: %+v, %+v", cpus, mem)
	}
	cpus, _ = h.Day("a")
	if cpus.P50 != 1 || cpus.Max != 5 || cpus.P99 < 1.19 || cpus.P99 > 1.21 {
		t.Errorf("day: %+v", cpus)
	}
	if last, day := h.Steps("a"); len(day) != 11 || !last.Equal(noon.Add(50*time.Minute)) || day[3].CPUsMax != 5 {
		t.Errorf("%d steps, the last at %v: %+v", len(day), last, day)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var log bytes.Buffer
	h := NewHistory(2, slog.New(slog.NewTextHandler(&log, nil)))
	for _, id := range []string{"a", "b", "c", "d"} {
		for i := range 1000 {
			h.Observe(noon.Add(time.Duration(i)*StepLen), id, Use{CPUs: 1})
		}
	}
	if got := fmt.Sprint(h.IDs()); got != "[a b]" || strings.Count(log.String(), "WARN") != 1 {
		t.Errorf("remembers %s, said %q", got, log.String())
	}
	if _, day := h.Steps("a"); len(day) != steps {
		t.Errorf("%d steps", len(day))
	}
	if size := reflect.TypeFor[Step]().Size()*uintptr(steps) + reflect.TypeFor[[2]float32]().Size()*uintptr(grains) + reflect.TypeFor[past]().Size(); size > 6500 {
		t.Errorf("a task takes %d bytes", size)
	}
	h.Keep(map[string]bool{"b": true})
	h.Observe(noon, "c", Use{CPUs: 1})
	if got := fmt.Sprint(h.IDs()); got != "[b c]" {
		t.Errorf("remembers %s", got)
	}
}

// A wall clock that is set moves no reading into the past and loses no day.
func TestHistorySurvivesAJumpOfTheClock(t *testing.T) {
	h := NewHistory(0, nil)
	watch(h, "a", noon, 20*time.Minute, func(int) float64 { return 1 })
	_, before := h.Steps("a")
	watch(h, "a", noon.Add(-6*time.Hour), 10*time.Minute, func(int) float64 { return 3 })
	if _, day := h.Steps("a"); len(day) != len(before) {
		t.Errorf("set back: %d steps, were %d", len(day), len(before))
	}
	watch(h, "a", noon.Add(2*time.Hour), 6*time.Minute, func(int) float64 { return 1 })
	_, day := h.Steps("a")
	seen := 0
	for _, s := range day {
		if s.Seen {
			seen++
		}
	}
	if len(day) != 25 || seen != 5 {
		t.Errorf("set forward two hours: %d steps, %d seen", len(day), seen)
	}
	watch(h, "a", noon.AddDate(30, 0, 0), 6*time.Minute, func(int) float64 { return 1 })
	if _, day := h.Steps("a"); len(day) != steps {
		t.Errorf("set forward 30 years: %d steps", len(day))
	}
	if cpus, _ := h.Recent("a"); cpus.Max != 1 {
		t.Errorf("the minute holds what is older: %+v", cpus)
	}
}

func TestHistoryIsKeptOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage")
	h := NewHistory(0, nil)
	watch(h, "a", noon, 31*time.Minute, func(s int) float64 { return float64(s) })
	watch(h, "b", noon, 6*time.Minute, func(s int) float64 { return 1 })
	watch(h, "b", noon.Add(12*time.Minute), 6*time.Minute, func(s int) float64 { return 1 }) // a gap
	if err := h.Save(path); err != nil {
		t.Fatal(err)
	}
	again := NewHistory(0, nil)
	if err := again.Load(path); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b"} {
		wantLast, want := h.Steps(id)
		last, got := again.Steps(id)
		if !last.Equal(wantLast) || !reflect.DeepEqual(got, want) || len(got) == 0 {
			t.Errorf("%s: %v %+v, want %v %+v", id, last, got, wantLast, want)
		}
	}
	watch(again, "a", noon.Add(40*time.Minute), 6*time.Minute, func(s int) float64 { return 7 })
	if last, day := again.Steps("a"); len(day) != 9 || day[7].Seen || day[8].CPUs != 7 || !last.Equal(noon.Add(40*time.Minute)) {
		t.Errorf("it goes on with %d steps at %v: %+v", len(day), last, day)
	}
	if err := NewHistory(0, nil).Load(path + "-none"); err != nil {
		t.Errorf("nothing to load: %v", err)
	}
	if err := h.Save(filepath.Join(path, "below-a-file")); err == nil {
		t.Error("saved where it cannot be")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// I9: what this version writes, later ones read; what they write is not misread.
func TestHistoryFileOfVersion1(t *testing.T) {
	h := NewHistory(0, nil)
	if err := h.Load("testdata/history-1.jsonl"); err != nil {
		t.Fatal(err)
	}
	if _, day := h.Steps("c1"); len(day) != 3 || day[1].Seen || day[2] != (Step{.5, .75, 1000, 2000, true}) {
		t.Errorf("%+v", day)
	}
	dir := t.TempDir()
	for name, c := range map[string]struct {
		text string
		want error
		kept int
	}{
		"later":   {`{"muster_usage_history":2}`, ErrHistoryVersion, 0},
		"foreign": {"hello", nil, 0},
		"torn":    {`{"muster_usage_history":1}` + "\n" + `{"id":"x","last":"2026-01-01T12:00:00Z","steps":[null]}` + "\n" + `{"id":"y","st`, nil, 1},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		h := NewHistory(0, nil)
		err := h.Load(path)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || len(h.IDs()) != c.kept {
			t.Errorf("%s: %v, kept %v", name, err, h.IDs())
		}
	}
}

package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// steady is a Source whose containers use half a CPU and 1 kB/s, forever.
type steady struct {
	mu    sync.Mutex
	added map[string]time.Time
	err   error
	reads int
}

func (s *steady) Name() string { return "steady" }
func (s *steady) Close() error { return nil }

func (s *steady) Add(c Container) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(c.Cgroups) == 0 {
		return ErrVanished
	}
	s.added[c.ID] = time.Now()
	return nil
}

func (s *steady) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.added, id)
}

func (s *steady) Read() (map[string]Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	all := map[string]Sample{}
	for id, at := range s.added {
		all[id] = sampleAfter(time.Since(at))
	}
	return all, s.err
}

func (s *steady) ReadOne(id string) (Sample, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.added[id]
	return sampleAfter(time.Since(at)), ok
}

func sampleAfter(d time.Duration) Sample {
	s := Sample{At: time.Now(), CPU: d / 2, RunQueue: d / 10, TxBytes: uint64(1000 * d.Seconds()), MemWorkingSet: 42}
	s.Delays[DelayBucket(100*time.Microsecond)] = uint64(98 * d.Seconds())
	s.Delays[DelayBucket(5*time.Millisecond)] = uint64(2 * d.Seconds())
	return s
}

func running(t *testing.T, src Source, log *slog.Logger) *Monitor {
	m := NewMonitor(Config{}, src, log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return m
}

var someCgroup = map[string]string{"": "/somewhere"}

func TestUsageHasRatesOverTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := running(t, &steady{added: map[string]time.Time{}}, nil)
		if err := m.Add(Container{ID: "a", Cgroups: someCgroup}); err != nil {
			t.Fatal(err)
		}
		u, ok := m.Usage("a")
		if !ok || u.Rate.Window != 0 {
			t.Errorf("at first: %+v %v", u, ok)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		u, ok = m.Usage("a")
		if !ok || u.Source != "steady" || u.Final || u.MemWorkingSet != 42 || u.CPU != 15*time.Second {
			t.Errorf("usage %+v %v", u, ok)
		}
		r := u.Rate
		if r.Window != 10*time.Second || r.CPUs != .5 || r.RunQueue != .1 || r.TxBytes != 1000 {
			t.Errorf("rates %+v", r)
		}
		if r.WaitP50 != 128*time.Microsecond || r.WaitP99 != 8192*time.Microsecond {
			t.Errorf("waits of %v and %v", r.WaitP50, r.WaitP99)
		}
	})
}

func TestShortContainerHasFinalFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := running(t, &steady{added: map[string]time.Time{}}, nil)
		if err := m.Add(Container{ID: "short", Cgroups: someCgroup}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		m.Remove("short")
		m.Remove("short")
		u, ok := m.Usage("short")
		if !ok || !u.Final || u.CPU != 100*time.Millisecond || u.Rate.CPUs != .5 {
			t.Errorf("final usage %+v %v", u, ok)
		}
		if all := m.All(); len(all) != 0 {
			t.Errorf("still measured: %v", all)
		}
	})
}

func TestRemovedContainersAreForgottenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMonitor(Config{Kept: 2}, &steady{added: map[string]time.Time{}}, nil)
		for i := range 3 {
			id := fmt.Sprint(i)
			if err := m.Add(Container{ID: id, Cgroups: someCgroup}); err != nil {
				t.Fatal(err)
			}
			m.Remove(id)
		}
		for id, want := range map[string]bool{"0": false, "1": true, "2": true, "never": false} {
			if _, ok := m.Usage(id); ok != want {
				t.Errorf("usage of %s is kept: %v", id, ok)
			}
		}
	})
}

func TestAddAgainStartsANewWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := running(t, &steady{added: map[string]time.Time{}}, nil)
		c := Container{ID: "a", Cgroups: someCgroup}
		for range 2 {
			if err := m.Add(c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5*time.Second + time.Millisecond)
		}
		if u, _ := m.Usage("a"); u.Rate.Window != 5*time.Second-time.Millisecond || u.Rate.CPUs != .5 {
			t.Errorf("rates %+v", u.Rate)
		}
		if len(m.All()) != 1 {
			t.Error("not one container")
		}
	})
}

func TestVanishedContainerIsRefused(t *testing.T) {
	m := NewMonitor(Config{}, &steady{added: map[string]time.Time{}}, nil)
	if err := m.Add(Container{ID: "gone"}); !errors.Is(err, ErrVanished) {
		t.Errorf("got %v", err)
	}
	if _, ok := m.Usage("gone"); ok {
		t.Error("it has usage")
	}
}

func TestFailingSourceIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		src := &steady{added: map[string]time.Time{}, err: errors.New("no counters")}
		running(t, src, slog.New(slog.NewTextHandler(&text, nil)))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := strings.Count(text.String(), "no counters"); n != 1 || src.reads < 9 {
			t.Errorf("reported %d times in %d readings", n, src.reads)
		}
	})
}

func TestDelayBuckets(t *testing.T) {
	for wait, want := range map[time.Duration]int{
		-1: 0, 0: 0, 999: 0, time.Microsecond: 1, 2 * time.Microsecond: 2, 3 * time.Microsecond: 2,
		4 * time.Microsecond: 3, time.Millisecond: 10, time.Second: 20, time.Hour: 23,
	} {
		if got := DelayBucket(wait); got != want {
			t.Errorf("%v is in bucket %d, not %d", wait, got, want)
		}
	}
}

func TestResetCountersGiveNoRates(t *testing.T) {
	at := time.Now()
	first := Sample{At: at, CPU: time.Hour, TxBytes: 1 << 40, Delays: [24]uint64{3: 7}}
	r := ratesOf(first, Sample{At: at.Add(time.Second)})
	if r != (Rates{Window: time.Second}) {
		t.Errorf("rates %+v", r)
	}
}

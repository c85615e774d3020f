package sim

import (
	"context"
	"testing"
	"time"
)

var smallFailover = Failover{Agents: 150, Tasks: 3, Frameworks: 7, Ended: 2}

func TestAllAgentsComeBack(t *testing.T) {
	took, err := smallFailover.Run()
	if err != nil || took <= 0 {
		t.Fatal(took, err)
	}
}

func TestAgentsAreAdmittedByThreeVoters(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	took, err := Admission{Agents: 300, Under: 50, Dir: t.TempDir()}.Run(ctx)
	if err != nil || took <= 0 {
		t.Fatal(took, err)
	}
}

func TestStateIsReadWhole(t *testing.T) {
	s, err := State{Failover: smallFailover}.Start()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Reads {
		took, size, err := s.Read(r)
		if err != nil || took <= 0 || size < smallFailover.Agents*smallFailover.Tasks*20 {
			t.Errorf("%s: %d bytes in %v, %v", r.Name, size, took, err)
		}
	}
	if _, _, err := s.Read(Read{Name: "nothing", Method: "GET", Path: "/nothing"}); err == nil {
		t.Error("what is not there was read")
	}
}

func TestWhatIsDeclinedIsOfferedAgainWhileOthersRead(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	report, err := Interference{Failover: Failover{Agents: 100, Tasks: 2, Frameworks: 20}, Every: time.Millisecond, For: 200 * time.Millisecond}.Run(ctx)
	if err != nil || len(report.Alone) != 200 || len(report.Read) != 200 || report.Reads == 0 {
		t.Fatalf("%d and %d samples, %d reads, %v", len(report.Alone), len(report.Read), report.Reads, err)
	}
}

func TestWhatAnEventTakesInAClusterThatGrows(t *testing.T) {
	small, err := Growth{Agents: 100, Frameworks: 60, Events: 20}.Run()
	if err != nil {
		t.Fatal(err)
	}
	large, err := Growth{Agents: 2000, Frameworks: 60, Events: 20}.Run()
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range small.Events {
		l := large.Events[i]
		t.Logf("%-18s %6.1f and %6.1f allocations, %7.0f and %7.0f bytes", s.Name, s.Allocations, l.Allocations, s.Bytes, l.Bytes)
		if touchesMore := s.Name == "framework removed"; !touchesMore && (l.Allocations > 1.2*s.Allocations+5 || l.Bytes > 1.5*s.Bytes+2000) {
			t.Errorf("%s: %.1f allocations and %.0f bytes with 2000 agents, %.1f and %.0f with 100", s.Name, l.Allocations, l.Bytes, s.Allocations, s.Bytes)
		}
	}
}

// BenchmarkFailover is a failover of 40,000 agents with 10 tasks each.
func BenchmarkFailover(b *testing.B) {
	for name, w := range map[string]Failover{
		"40k": {Agents: 40_000, Tasks: 10, Frameworks: 100}, "40k-100-ended": {Agents: 40_000, Tasks: 10, Frameworks: 100, Ended: 100},
	} {
		b.Run(name, func(b *testing.B) {
			took := time.Duration(0)
			for range b.N {
				d, err := w.Run()
				if err != nil {
					b.Fatal(err)
				}
				took += d
			}
			b.ReportMetric(took.Seconds()/float64(b.N), "s/failover")
		})
	}
}

// BenchmarkState is reads of the state of 40,000 agents with 10 tasks each, a change
// before each. They are so far apart that none waits for the node to have rested.
func BenchmarkState(b *testing.B) {
	s, err := State{Failover{Agents: 40_000, Tasks: 10, Frameworks: 100}, time.Second}.Start()
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range Reads {
		b.Run(r.Name, func(b *testing.B) {
			took := time.Duration(0)
			for range b.N {
				d, size, err := s.Read(r)
				if err != nil {
					b.Fatal(err)
				}
				took += d
				b.SetBytes(int64(size))
			}
			b.ReportMetric(took.Seconds()/float64(b.N), "s/read")
		})
	}
}

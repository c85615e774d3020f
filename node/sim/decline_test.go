package sim

import (
	"fmt"
	"testing"
	"time"
)

func TestEveryAgentIsOfferedUntilAllFrameworksRefused(t *testing.T) {
	r, err := Decline{Agents: 40, Frameworks: 10}.Start()
	if err != nil {
		t.Fatal(err)
	}
	for range 9 {
		r.Decline()
		if _, err := r.Cycle(); err != nil {
			t.Fatal(err)
		}
	}
	r.Decline()
	if _, err := r.Cycle(); err == nil || len(r.offers) != 0 {
		t.Errorf("%d offers after all refused", len(r.offers))
	}
}

func TestDeclineReportsEveryRound(t *testing.T) {
	report, err := Decline{Agents: 100, Frameworks: 10}.Run()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(report.Rounds); n != 3 || report.Rounds[2].Filtered != 300 || report.Rounds[2].Offers != 100 {
		t.Errorf("%+v", report)
	}
}

// BenchmarkDecline measures the cycle; the declines before it are reported
// beside it. A run has three rounds, as the workload has.
func BenchmarkDecline(b *testing.B) {
	for _, w := range points {
		b.Run(w.name(), func(b *testing.B) {
			declines := time.Duration(0)
			benchmarkRounds(b, w, func(r *DeclineRun) {
				b.StopTimer()
				declines += r.Decline()
				b.StartTimer()
				if _, err := r.Cycle(); err != nil {
					b.Fatal(err)
				}
			})
			b.ReportMetric(float64(declines.Nanoseconds())/float64(b.N), "declines-ns/op")
		})
	}
}

// BenchmarkDeclineAtOnce measures a whole round in which every decline is
// followed by the next offer at once.
func BenchmarkDeclineAtOnce(b *testing.B) {
	for _, w := range points {
		b.Run(w.name(), func(b *testing.B) {
			benchmarkRounds(b, w, func(r *DeclineRun) {
				if _, err := r.DeclineAtOnce(); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkFreedToOffer measures what is freed until it is offered again, in a
// cluster where all is taken and three frameworks have refused each agent.
func BenchmarkFreedToOffer(b *testing.B) { benchmarkEvents(b, (*DeclineRun).FreeOne) }

// BenchmarkNewAgentToOffer measures an agent that joins until it is offered.
func BenchmarkNewAgentToOffer(b *testing.B) { benchmarkEvents(b, (*DeclineRun).AddOne) }

// BenchmarkAllRefused measures a batch, and an event on one agent, in a cluster
// where something is free on every agent and every framework has refused it.
func BenchmarkAllRefused(b *testing.B) {
	r := start(b, Decline{Agents: 2000, Frameworks: 500})
	for len(r.offers) > 0 {
		r.Decline()
		r.now = r.now.Add(time.Second)
		r.offers = r.allocator.Allocate(r.now)
	}
	b.Run("batch", func(b *testing.B) {
		for range b.N {
			if _, err := r.Cycle(); err == nil || len(r.offers) > 0 {
				b.Fatal("something was offered")
			}
		}
	})
	b.Run("event", func(b *testing.B) {
		for i := range b.N {
			id := fmt.Sprintf("agent%d", 1+i%r.workload.Agents)
			r.allocator.DeactivateAgent(r.now, id)
			r.allocator.ActivateAgent(r.now, id)
			if len(r.allocator.Allocate(r.now)) > 0 {
				b.Fatal("something was offered")
			}
		}
	})
}

var points = []Decline{
	{Agents: 1000, Frameworks: 100},
	{Agents: 10_000, Frameworks: 1000},
	{Agents: 20_000, Frameworks: 2000},
	{Agents: 50_000, Frameworks: 6000},
}

func (w Decline) name() string { return fmt.Sprintf("%dk-%d", w.Agents/1000, w.Frameworks) }

func benchmarkEvents(b *testing.B, event func(*DeclineRun, int) (time.Duration, error)) {
	for _, w := range points {
		b.Run(w.name(), func(b *testing.B) {
			r := start(b, w)
			for range 3 {
				r.Decline()
				if _, err := r.Cycle(); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			for i := range b.N {
				if _, err := event(r, i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchmarkRounds(b *testing.B, w Decline, round func(*DeclineRun)) {
	var r *DeclineRun
	for i := range b.N {
		if i%3 == 0 {
			b.StopTimer()
			r = start(b, w)
			b.StartTimer()
		}
		round(r)
	}
}

func start(b *testing.B, w Decline) *DeclineRun {
	r, err := w.Start()
	if err != nil {
		b.Fatal(err)
	}
	return r
}

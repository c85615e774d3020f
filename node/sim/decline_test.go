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
// beside it. Every fourth round starts anew, as the workload has three.
func BenchmarkDecline(b *testing.B) {
	for _, w := range []Decline{
		{Agents: 1000, Frameworks: 100},
		{Agents: 10_000, Frameworks: 1000},
		{Agents: 20_000, Frameworks: 2000},
		{Agents: 50_000, Frameworks: 6000},
	} {
		b.Run(fmt.Sprintf("%dk-%d", w.Agents/1000, w.Frameworks), func(b *testing.B) {
			var declines time.Duration
			benchmarkRounds(b, w, func(r *DeclineRun) {
				b.StopTimer()
				declines += r.Decline()
				b.StartTimer()
				if _, err := r.Cycle(); err != nil {
					b.Fatal(err)
				}
			})
			b.ReportMetric(float64(declines.Microseconds())/1000/float64(b.N), "declines-ms/op")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "cycle-ms/op")
		})
	}
}

// BenchmarkDeclineAtOnce measures a whole round in which every decline is
// followed by the next offer at once.
func BenchmarkDeclineAtOnce(b *testing.B) {
	benchmarkRounds(b, Decline{Agents: 10_000, Frameworks: 1000}, func(r *DeclineRun) {
		if _, err := r.DeclineAtOnce(); err != nil {
			b.Fatal(err)
		}
	})
}

func benchmarkRounds(b *testing.B, w Decline, round func(*DeclineRun)) {
	var r *DeclineRun
	for i := range b.N {
		if i%3 == 0 {
			b.StopTimer()
			var err error
			if r, err = w.Start(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		round(r)
	}
}

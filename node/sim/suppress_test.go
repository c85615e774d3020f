package sim

import (
	"testing"
	"time"
)

func TestSuppressedFrameworksAreNotOffered(t *testing.T) {
	for _, extreme := range []bool{false, true} {
		rounds, err := Suppress{Agents: 50, Frameworks: 10, Extreme: extreme}.Run()
		if err != nil || len(rounds) != 5 {
			t.Errorf("extreme %v: %+v, %v", extreme, rounds, err)
		}
	}
}

func TestWhatAgentsLendIsOffered(t *testing.T) {
	if r, err := (AddUpdate{Agents: 50, Frameworks: 10}).Run(); err != nil {
		t.Errorf("%+v, %v", r, err)
	}
}

// BenchmarkSuppress measures the cycle, the mean of five.
func BenchmarkSuppress(b *testing.B) {
	for name, extreme := range map[string]bool{"fifths": false, "extreme": true} {
		b.Run(name, func(b *testing.B) {
			cycles := time.Duration(0)
			for range b.N {
				rounds, err := Suppress{Agents: 10_000, Frameworks: 1000, Extreme: extreme}.Run()
				if err != nil {
					b.Fatal(err)
				}
				for _, r := range rounds {
					cycles += r.Cycle / 5
				}
			}
			b.ReportMetric(float64(cycles.Nanoseconds())/float64(b.N), "cycle-ns")
		})
	}
}

// BenchmarkAddUpdate measures all agents' updates, each with its offers.
func BenchmarkAddUpdate(b *testing.B) {
	updates := time.Duration(0)
	for range b.N {
		r, err := (AddUpdate{Agents: 10_000, Frameworks: 1000}).Run()
		if err != nil {
			b.Fatal(err)
		}
		updates += r.UpdateAgents
	}
	b.ReportMetric(float64(updates.Nanoseconds())/float64(b.N), "updates-ns")
}

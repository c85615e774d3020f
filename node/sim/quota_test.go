package sim

import "testing"

func TestEveryQuotaIsMet(t *testing.T) {
	for _, w := range []Quota{{Small: 25, Large: 5}, {Small: 25, Large: 5, PerRole: 3}} {
		report, err := w.Run()
		if err != nil || report.Offers < w.Small+2*w.Large {
			t.Errorf("%+v: %d offers, %v", w, report.Offers, err)
		}
	}
}

func TestQuotaOfWholeAgentsChangesNothing(t *testing.T) {
	for _, quota := range []bool{false, true} {
		w := NonQuota{Roles: 10, AgentsPerRole: 2, PerRole: 2, WithQuota: quota}
		if report, err := w.Run(); err != nil || report.Offers != 20 {
			t.Errorf("%+v: %d offers, %v", w, report.Offers, err)
		}
	}
}

// BenchmarkQuota measures the cycle that meets every quota; what else there is
// to measure is reported beside it.
func BenchmarkQuota(b *testing.B) {
	for name, w := range map[string]Quota{
		"30-agents": {Small: 25, Large: 5}, "300-agents": {Small: 250, Large: 50}, "3000-agents": {Small: 2500, Large: 500},
	} {
		b.Run(name, func(b *testing.B) { benchmarkQuota(b, w.Run) })
	}
}

// BenchmarkNonQuota measures the same without and with quotas that change
// nothing.
func BenchmarkNonQuota(b *testing.B) {
	for name, quota := range map[string]bool{"without": false, "with": true} {
		b.Run(name, func(b *testing.B) {
			benchmarkQuota(b, NonQuota{Roles: 1000, AgentsPerRole: 2, PerRole: 2, WithQuota: quota}.Run)
		})
	}
}

func benchmarkQuota(b *testing.B, run func() (QuotaReport, error)) {
	var sum QuotaReport
	for range b.N {
		r, err := run()
		if err != nil {
			b.Fatal(err)
		}
		sum.AddFrameworks += r.AddFrameworks
		sum.SetQuotas += r.SetQuotas
		sum.FullCycle += r.FullCycle
		sum.EmptyCycle += r.EmptyCycle
	}
	report := func(d float64, name string) { b.ReportMetric(d/1e6/float64(b.N), name) }
	report(float64(sum.AddFrameworks), "add-ms")
	report(float64(sum.SetQuotas), "set-ms")
	report(float64(sum.FullCycle), "cycle-ms")
	report(float64(sum.EmptyCycle), "empty-ms")
}

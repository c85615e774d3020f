package sim

import "testing"

// TestAllTasksOfManyFrameworksRun holds that nobody starves behind frameworks
// that have all they want and little of the cluster.
func TestAllTasksOfManyFrameworksRun(t *testing.T) {
	r, err := MultiFramework{}.Run()
	if err != nil || r.Wanted != 19_500 || r.Tasks != r.Wanted || r.Rounds > 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func BenchmarkMultiFramework(b *testing.B) {
	sum := MultiFrameworkReport{}
	for range b.N {
		r, err := MultiFramework{}.Run()
		if err != nil {
			b.Fatal(err)
		}
		sum.Total, sum.Tasks, sum.Offers = sum.Total+r.Total, sum.Tasks+r.Tasks, sum.Offers+r.Offers
	}
	b.ReportMetric(float64(sum.Tasks)/sum.Total.Seconds(), "placements/s")
	b.ReportMetric(float64(sum.Offers)/float64(b.N), "offers")
}

package estimate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var missing = math.NaN()

// start is a whole number of steps after the epoch.
var start = time.Unix(1_700_000_100, 0)

// replay observes one sample a step: rows of use by task, in CPUs; memory is the
// same in GB. The last row is of the step under way.
func replay(cfg Config, limits []float64, rows ...[]float64) *Node {
	n := NewNode(cfg)
	for i, row := range rows {
		var samples []Sample
		for t, used := range row {
			samples = append(samples, Sample{
				Task: fmt.Sprintf("task%d", t), Used: Amounts{used, used * 1e9}, Limit: Amounts{limits[t], limits[t] * 1e9},
			})
		}
		n.Observe(start.Add(time.Duration(i)*n.cfg.Step), samples)
	}
	return n
}

// known is a node of two tasks that are warm after four steps: of 4 and 6 CPUs.
func known() *Node {
	return replay(Config{Warm: 20 * time.Minute}, []float64{4, 6},
		[]float64{1, 2}, []float64{2, 2}, []float64{1, 4}, []float64{2, 0}, []float64{1, 1})
}

func TestClassicalEstimators(t *testing.T) {
	// Together: 3 4 5 2, so mean 3.5 and variance 1.25.
	sigma := 3.5 + 2*math.Sqrt(1.25)
	for name, c := range map[string]struct {
		of   Estimator
		want float64
	}{
		"noop":                  {Noop{}, 10},
		"fixed":                 {Fixed{Amounts{3, 3e9}}, 7},
		"fixed, more than is":   {Fixed{Amounts{30, 30e9}}, 2},
		"share":                 {Share{Of: .4}, 4},
		"share below the use":   {Share{Of: .1}, 2},
		"sigma":                 {Sigma{N: 2}, sigma},
		"sigma of ten minutes":  {Sigma{N: 1, Over: 10 * time.Minute}, 3.5 + 1.5},
		"sigma above the limit": {Sigma{N: 100}, 10},
		"median of each":        {Percentiles{Of: .5}, 1 + 2},
		"three quarters":        {Percentiles{Of: .75}, 2 + 2},
		"most of each":          {Percentiles{Of: 1}, 2 + 4},
		"max":                   {Max{Share{Of: .4}, Percentiles{Of: 1}, Sigma{N: 0}}, 6},
		"max of none":           {Max{}, 2},
	} {
		got := c.of.Predict(known())
		if math.Abs(got[CPU]-c.want) > 1e-6 || math.Abs(got[Mem]-c.want*1e9) > 1e3 {
			t.Errorf("%s: predicts %v, not %g", name, got, c.want)
		}
	}
}

func TestSamplesWithinAStepAreAveraged(t *testing.T) {
	n := NewNode(Config{Warm: 5 * time.Minute})
	for i, used := range []float64{1, missing, 3, 8} {
		at := start.Add(time.Duration(i) * 100 * time.Second)
		ended := n.Observe(at, []Sample{{Task: "a", Used: Amounts{used}, Limit: Amounts{10}}})
		if ended != (i == 3) {
			t.Errorf("sample %d ended a step: %v", i, ended)
		}
	}
	if got := n.past(CPU); !slices.Equal(got, []float64{2}) || n.Used(CPU) != 8 {
		t.Errorf("past %v, now %g", got, n.Used(CPU))
	}
}

func TestAColdTaskCountsWithItsLimit(t *testing.T) {
	rows := [][]float64{{1}, {1}, {1, 3}, {1, 3}, {1, 3}}
	cfg := Config{Warm: 15 * time.Minute}
	n := replay(cfg, []float64{4, 6}, rows...)
	if got := (Percentiles{Of: 1}).Predict(n)[CPU]; got != 1+6 || n.Cold(CPU) != 6 {
		t.Errorf("predicts %g, cold %g", got, n.Cold(CPU))
	}
	n = replay(cfg, []float64{4, 6}, append(rows, []float64{1, 3})...)
	if got := (Percentiles{Of: 1}).Predict(n)[CPU]; got != 1+3 || n.Cold(CPU) != 0 {
		t.Errorf("warm: predicts %g, cold %g", got, n.Cold(CPU))
	}
}

func TestATaskThatIsNotMeasuredBecomesCold(t *testing.T) {
	rows := [][]float64{{1}, {1}, {1}, {missing}, {missing}}
	cfg := Config{Warm: 10 * time.Minute}
	if n := replay(cfg, []float64{4}, rows...); n.Cold(CPU) != 0 || n.Used(CPU) != 1 {
		t.Errorf("cold %g, used %g after one step", n.Cold(CPU), n.Used(CPU))
	}
	if n := replay(cfg, []float64{4}, append(rows, []float64{missing}, []float64{missing})...); n.Cold(CPU) != 4 {
		t.Errorf("cold %g after three steps", n.Cold(CPU))
	}
	if n := replay(cfg, []float64{4}, []float64{missing}, []float64{missing}); n.Used(CPU) != 4 {
		t.Errorf("never measured: used %g", n.Used(CPU))
	}
}

func TestWhoeverEndsIsForgotten(t *testing.T) {
	n := known()
	n.Observe(start.Add(25*time.Minute), []Sample{{Task: "task1", Used: Amounts{1, 1e9}, Limit: Amounts{6, 6e9}}})
	if got := (Percentiles{Of: 1}).Predict(n); got != (Amounts{4, 4e9}) || len(n.tasks) != 1 {
		t.Errorf("predicts %v of %d tasks", got, len(n.tasks))
	}
}

func TestStepsThatNobodySawRepeatTheLast(t *testing.T) {
	n := known()
	n.Observe(start.Add(35*time.Minute), []Sample{{Task: "task0", Used: Amounts{2}, Limit: Amounts{4}}})
	if got := n.past(CPU); !slices.Equal(got, []float64{1, 1, 1, 2, 1, 2, 1}) {
		t.Errorf("past %v", got)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	n := NewNode(Config{})
	for i := range 400 {
		n.Observe(start.Add(time.Duration(i)*n.cfg.Step), []Sample{{Task: "a", Used: Amounts{float64(i % 7)}, Limit: Amounts{10}}})
	}
	w := &n.tasks[0].kinds[CPU].past
	if len(w.ring) != 288 || len(w.sorted) != 288 || cap(w.ring) > 600 {
		t.Errorf("%d values remembered, %d sorted", len(w.ring), len(w.sorted))
	}
	if w.last() != 398%7 || w.at(287) != 111%7 || !slices.IsSorted(w.sorted) {
		t.Errorf("last %g, first %g", w.last(), w.at(287))
	}
}

func TestNamed(t *testing.T) {
	for _, name := range append(Names, "") {
		e, err := Named(name, Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Predict(known()); got[CPU] < 2 || got[CPU] > 10 {
			t.Errorf("%q predicts %v", name, got)
		}
	}
	if _, err := Named("crystal ball", Config{}); err == nil {
		t.Error("a crystal ball is known")
	}
}

// all are the estimators that hold the properties below.
func all(t *testing.T) []Estimator {
	return []Estimator{NewLearned(model(t), Config{}), Noop{}, Fixed{Amounts{1, 1e9}}, Share{Of: .5}, Sigma{N: 3}, Percentiles{Of: .99}, Max{Sigma{N: 1}, Percentiles{Of: .9}}}
}

// wild makes samples of the kinds that go wrong: not measured, without a limit,
// above the limit, tasks that come and go, and no task at all.
func wild(r *rand.Rand, steps int) [][]Sample {
	odd := []float64{0, missing, math.Inf(1), -1, 1e-300, 1e18}
	value := func() float64 {
		if r.IntN(4) == 0 {
			return odd[r.IntN(len(odd))]
		}
		return r.ExpFloat64() * 3
	}
	var out [][]Sample
	for range steps {
		var row []Sample
		for t := range 6 {
			if r.IntN(5) > 0 {
				row = append(row, Sample{fmt.Sprint(t), Amounts{value(), value()}, Amounts{value(), value()}})
			}
		}
		if r.IntN(8) == 0 {
			row = nil
		}
		out = append(out, row)
	}
	return out
}

func TestPredictionsStayWithinUseAndLimit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		n, list := NewNode(Config{Warm: 10 * time.Minute}), all(t)
		for i, row := range wild(r, 60) {
			n.Observe(start.Add(time.Duration(i)*2*time.Minute), row)
			for _, e := range list {
				for k, p := range e.Predict(n) {
					limit := n.Limit(Kind(k))
					if !(p >= min(n.Used(Kind(k)), limit) && p <= limit) || math.IsNaN(p) {
						t.Fatalf("%T predicts %g, used %g, limit %g", e, p, n.Used(Kind(k)), limit)
					}
				}
			}
		}
	}
}

func TestTheOrderOfSamplesDoesNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	one, other := NewNode(Config{Warm: 10 * time.Minute}), NewNode(Config{Warm: 10 * time.Minute})
	these, those := all(t), all(t)
	for i, row := range wild(r, 300) {
		at := start.Add(time.Duration(i) * 5 * time.Minute)
		one.Observe(at, row)
		r.Shuffle(len(row), func(i, j int) { row[i], row[j] = row[j], row[i] })
		other.Observe(at, row)
		for e := range these {
			if a, b := these[e].Predict(one), those[e].Predict(other); a != b {
				t.Fatalf("%T predicts %v and %v", these[e], a, b)
			}
		}
	}
}

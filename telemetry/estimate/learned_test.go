package estimate

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func model(t testing.TB) *Model {
	t.Helper()
	m, err := DefaultModel()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// plain predicts an excess of a tenth at any target, times the margin of 2 at 1 %.
func plain() *Model {
	return &Model{Often: Forest{Base: .1}, Seldom: Forest{Base: .1}, Margins: []Margin{{.01, 2}, {.1, 1}}}
}

func TestLearnedPredictsUseColdLimitsAndMargin(t *testing.T) {
	n := known() // 2 of 10 CPUs are used, all tasks are warm
	want := 2 + 10*2*math.Pow(.1, dampened)
	if got := NewLearned(plain(), Config{}).Predict(n)[CPU]; math.Abs(got-want) > 1e-9 {
		t.Errorf("predicts %g, not %g", got, want)
	}
	n.Observe(start.Add(20*time.Minute), []Sample{
		{Task: "task0", Used: Amounts{1}, Limit: Amounts{4}}, {Task: "new", Used: Amounts{1}, Limit: Amounts{3}}})
	want = 3 + 1 + 4*2*math.Pow(.1, dampened)
	if got := NewLearned(plain(), Config{}).Predict(n)[CPU]; math.Abs(got-want) > 1e-9 {
		t.Errorf("with a cold task it predicts %g, not %g", got, want)
	}
}

func TestATreeLeadsToItsLeaves(t *testing.T) {
	tree := Tree{Feature: [7]int{0, 1, 1, 2, 2, 2, 2}, Cut: [7]float32{1, 1, 1, 1, 1, 1, 1}, Leaf: [8]float32{0, 1, 2, 3, 4, 5, 6, 7}}
	for want := range 8 {
		var x [featureCount]float64
		for i := range 3 {
			x[i] = float64(want>>(2-i)&1) * 2
		}
		f := Forest{Base: 10, Trees: []Tree{tree}}
		if got := f.At(&x); got != 10+float64(want) {
			t.Errorf("leaf %g, not %d", got-10, want)
		}
	}
}

func TestPredictionsFallWhileTheTargetRises(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	n := NewNode(Config{})
	for i, row := range wild(r, 400) {
		n.Observe(start.Add(time.Duration(i)*5*time.Minute), row)
		before := Amounts{math.Inf(1), math.Inf(1)}
		for _, target := range []float64{1e-4, .002, .003, .01, .015, .05, .1, .2, .5} {
			p := NewLearned(model(t), Config{Target: target}).Predict(n)
			if p[CPU] > before[CPU] || p[Mem] > before[Mem] {
				t.Fatalf("step %d, target %g: predicts %v after %v", i, target, p, before)
			}
			before = p
		}
	}
}

// TestTheTargetIsMetWhateverTheTasksDo lets tasks jump at random, by far more
// and more often than the model knows.
func TestTheTargetIsMetWhateverTheTasksDo(t *testing.T) {
	for _, target := range []float64{.01, .05} {
		r := rand.New(rand.NewPCG(7, 8))
		n, l := NewNode(Config{}), NewLearned(plain(), Config{Target: target})
		const steps, horizon = 20_000, 12
		used := make([]float64, steps)
		for i := range used {
			used[i] = 1 + math.Min(r.ExpFloat64(), 30)
		}
		short := 0
		for i := range steps - horizon {
			n.Observe(start.Add(time.Duration(i)*5*time.Minute), []Sample{{Task: "a", Used: Amounts{used[i]}, Limit: Amounts{40}}})
			p := l.Predict(n)[CPU]
			for _, next := range used[i+1 : i+1+horizon] {
				if next > p {
					short++
					break
				}
			}
		}
		if rate := float64(short) / steps; rate < .7*target || rate > 1.3*target {
			t.Errorf("target %g: %g fell short", target, rate)
		}
	}
}

func TestOnlyThoseWhoWereThereCountAgainstAPrediction(t *testing.T) {
	n, l := NewNode(Config{}), NewLearned(plain(), Config{})
	old := Sample{Task: "old", Used: Amounts{1}, Limit: Amounts{10}}
	for i := range 60 {
		row := []Sample{old}
		if i >= 20 {
			row = append(row, Sample{Task: "young", Used: Amounts{1000}, Limit: Amounts{1000}})
		}
		n.Observe(start.Add(time.Duration(i)*5*time.Minute), row)
		l.Predict(n)
	}
	if l.kinds[CPU].shift > 0 {
		t.Errorf("the margin grew by %g", l.kinds[CPU].shift)
	}
}

func TestAskingTwiceInAStepTeachesNothing(t *testing.T) {
	once, twice := NewLearned(plain(), Config{}), NewLearned(plain(), Config{})
	n := NewNode(Config{})
	for i := range 100 {
		n.Observe(start.Add(time.Duration(i)*5*time.Minute), []Sample{{Task: "a", Used: Amounts{float64(i % 9)}, Limit: Amounts{10}}})
		once.Predict(n)
		twice.Predict(n)
		if once.Predict(n) != twice.Predict(n) {
			t.Fatal("they differ")
		}
	}
	if once.kinds[CPU].seen != twice.kinds[CPU].seen || once.kinds[CPU].seen == 0 {
		t.Errorf("learned from %d and %d", once.kinds[CPU].seen, twice.kinds[CPU].seen)
	}
}

func TestStateOutlivesARestart(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	n, l := NewNode(Config{}), NewLearned(model(t), Config{})
	rows := wild(r, 500)
	for i, row := range rows {
		at := start.Add(time.Duration(i) * 5 * time.Minute)
		n.Observe(at, row)
		p := l.Predict(n)
		if i != 300 && i != 40 {
			continue
		}
		m, k := NewNode(Config{}), NewLearned(model(t), Config{})
		restore(t, n, m)
		restore(t, l, k)
		if got := k.Predict(m); got != p {
			t.Fatalf("step %d: predicts %v after the restart, %v before", i, got, p)
		}
		n, l = m, k
	}
}

type storable interface {
	MarshalBinary() ([]byte, error)
	UnmarshalBinary([]byte) error
}

func restore(t *testing.T, from, to storable) {
	t.Helper()
	text, err := from.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := to.UnmarshalBinary(text); err != nil {
		t.Fatal(err)
	}
	again, err := to.MarshalBinary()
	if err != nil || !bytes.Equal(text, again) {
		t.Fatalf("stored again it differs (%v)", err)
	}
	for _, cut := range []int{0, 1, 2, len(text) / 2, len(text) - 1} {
		if err := to.UnmarshalBinary(text[:cut]); !errors.Is(err, ErrState) {
			t.Errorf("cut to %d of %d bytes: %v", cut, len(text), err)
		}
	}
}

func TestStateOfOtherStepsIsRefused(t *testing.T) {
	text, err := known().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := NewNode(Config{Step: time.Minute}).UnmarshalBinary(text); !errors.Is(err, ErrState) {
		t.Error(err)
	}
	text[1] = stateVersion + 1
	if err := NewNode(Config{}).UnmarshalBinary(text); !errors.Is(err, ErrState) {
		t.Error(err)
	}
}

func FuzzState(f *testing.F) {
	text, err := known().MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		n := NewNode(Config{})
		if n.UnmarshalBinary(text) != nil {
			return
		}
		for i := range 3 {
			n.Observe(time.Unix(0, 0).Add(time.Duration(i)*5*time.Minute), []Sample{{Task: "task0", Used: Amounts{1}, Limit: Amounts{4}}})
			Percentiles{Of: 1}.Predict(n)
		}
	})
}

func TestWeightsAreChecked(t *testing.T) {
	for _, text := range []string{`{`, `{}`, `{"margins":[{"target":2,"factor":1}]}`, `{"margins":[{"target":0.1,"factor":1},{"target":0.2,"factor":2}]}`,
		`{"margins":[{"target":0.1,"factor":1}],"often":{"trees":[{"f":[99,0,0,0,0,0,0]}]}}`} {
		if _, err := ParseModel([]byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func BenchmarkPredict(b *testing.B) {
	m := model(b)
	n, l := NewNode(Config{}), NewLearned(m, Config{})
	r := rand.New(rand.NewPCG(1, 1))
	row := make([]Sample, 20)
	for i := range b.N {
		for t := range row {
			row[t] = Sample{Task: string(rune('a' + t)), Used: Amounts{r.Float64(), r.Float64()}, Limit: Amounts{2, 2}}
		}
		n.Observe(start.Add(time.Duration(i)*5*time.Minute), row)
		l.Predict(n)
	}
}

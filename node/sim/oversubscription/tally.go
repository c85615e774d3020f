package oversubscription

import (
	"math"
	"math/rand/v2"
	"slices"
)

// block is what one machine adds up to.
type block struct {
	saved, allocated float64
	short, steps     float64 // predictions that fell short, of how many
}

func (b *block) add(o block) {
	b.saved += o.saved
	b.allocated += o.allocated
	b.short += o.short
	b.steps += o.steps
}

func (b block) savings() float64    { return ratio(b.saved, b.allocated) }
func (b block) violations() float64 { return ratio(b.short, b.steps) }

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// tally is how a candidate fared with one resource of one trace.
type tally struct {
	tuning   block
	blocks   []block // of what is judged, by machine of each seed
	severity []float64
}

// count adds one prediction to the machine that is replayed last.
func (t *tally) count(limit, predicted, peak float64, tuning bool) {
	b := block{saved: limit - predicted, allocated: limit, steps: 1}
	if peak > predicted*(1+1e-6)+1e-9 { // beyond the rounding of what is remembered
		b.short = 1
	}
	if tuning {
		t.tuning.add(b)
		return
	}
	t.blocks[len(t.blocks)-1].add(b)
	if b.short > 0 {
		t.severity = append(t.severity, (peak-predicted)/peak)
	}
}

func (t *tally) total() block {
	var sum block
	for _, b := range t.blocks {
		sum.add(b)
	}
	return sum
}

// Figure is a value and the bounds of its bootstrap 95 % interval.
type Figure struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// resamples of the bootstrap.
const resamples = 1000

// bootstrap draws machines with replacement and returns the interval of a figure
// that is made of groups of machines. As many are drawn of each group as one seed
// has: the seeds place the same tasks anew and are not independent.
func bootstrap(groups [][][]block, seeds int, figure func(sums [][]block) float64) Figure {
	r := rand.New(rand.NewPCG(1, 95))
	sums := make([][]block, len(groups)) // by group, then candidate
	for g := range groups {
		sums[g] = make([]block, len(groups[g]))
	}
	all := func(pick func(n int) int, share int) float64 {
		for g, candidates := range groups {
			clear(sums[g])
			n := len(candidates[0])
			for i := range n / share {
				at := i
				if pick != nil {
					at = pick(n)
				}
				for c := range candidates {
					sums[g][c].add(candidates[c][at])
				}
			}
		}
		return figure(sums)
	}
	out := Figure{Value: all(nil, 1)}
	drawn := make([]float64, resamples)
	for i := range drawn {
		drawn[i] = all(r.IntN, seeds)
	}
	slices.Sort(drawn)
	out.Low, out.High = drawn[int(0.025*resamples)], drawn[int(math.Ceil(0.975*resamples))-1]
	return out
}

package oversubscription

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"

	"muster/telemetry/estimate"
)

// example is one resource of one machine at one step: what an estimator sees, and
// what then happened.
type example struct {
	outlook estimate.Outlook
	excess  float64 // of the real peak beyond the present use, as a share of what is allocated
	group   int     // trace and resource
	half    int     // of the tasks
}

// stride is how many steps lie between two examples of one machine.
const stride = 6

// minExamples is how many examples a model is made of at least.
const minExamples = 1000

// targets are those that margins are found for.
var targets = []float64{0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2}

// Train makes a model from traces. Forests are grown on all of them. The margins
// are found on tasks that the forests they are found for had not seen: those of
// either half of the tasks by forests grown on the other half.
func Train(ctx context.Context, traces []*Trace, p Placement, seeds []uint64) (*estimate.Model, error) {
	m := &estimate.Model{Made: estimate.Made{Files: map[string]string{}, Seeds: seeds}}
	var all []example
	for i, t := range traces {
		for _, f := range t.Files {
			m.Made.Files[f.Name] = f.SHA256
		}
		for half := range 2 {
			part := t.half(half, crossed)
			for _, seed := range seeds {
				p.Seed = seed
				some, err := examples(ctx, place(part, p), i, half)
				if err != nil {
					return nil, err
				}
				all = append(all, some...)
			}
		}
	}
	m.Made.Rows = len(all)
	if len(all) < minExamples {
		return nil, fmt.Errorf("train: %d examples are too few, %d are needed: give longer traces, or more seeds", len(all), minExamples)
	}
	ratios, err := unseen(ctx, all)
	if err != nil {
		return nil, err
	}
	m.Margins = margins(ratios)
	seen := newTable(all)
	m.Often, m.Seldom = grow(seen, often), grow(seen, seldom)
	return m, ctx.Err()
}

// often and seldom are the quantiles of a model's two forests.
const often, seldom = 0.95, 0.99

// Bits of the hash of a task's name by which traces are split in halves: two bits give
// two splits that know nothing of each other.
const (
	crossed = 8  // the margins of one half are found by forests of the other
	heldOut = 13 // one half is learned from, the other judged
)

// half is one half of a trace's tasks, 0 or 1, by a bit of the hash of their names.
func (t *Trace) half(half, bit int) *Trace {
	part := *t
	part.Tasks = nil
	for _, task := range t.Tasks {
		h := fnv.New32a()
		h.Write([]byte(task.Name)) // never fails
		if int(h.Sum32()>>bit&1) == half {
			part.Tasks = append(part.Tasks, task)
		}
	}
	return &part
}

func examples(ctx context.Context, w *world, group, half int) ([]example, error) {
	var out []example
	cfg := estimate.Config{}
	for i := range w.machines {
		m := newMachine(w, i, cfg)
		horizon := horizonSteps(cfg, w.trace.Step)
		for t := range w.steps - horizon {
			m.step(t)
			if t%stride != i%stride {
				continue
			}
			for _, k := range w.trace.Kinds {
				o, ok := m.node.Look(k)
				if !ok {
					continue
				}
				excess := (m.peak(k, t, horizon) - o.Cold - o.Now) / o.Warm
				out = append(out, example{o, excess, group*int(estimate.Kinds) + int(k), half})
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// unseen returns by group and target the ratios of the real excess to that which
// forests predict that were grown on the other half of the tasks.
func unseen(ctx context.Context, all []example) (map[int][][]float64, error) {
	ratios := map[int][][]float64{}
	for half := range 2 {
		var seen []example
		for _, e := range all {
			if e.half != half {
				seen = append(seen, e)
			}
		}
		if len(seen) == 0 {
			return nil, errors.New("too few tasks to train on")
		}
		t := newTable(seen)
		m := estimate.Model{Often: grow(t, often), Seldom: grow(t, seldom)}
		for i := range all {
			e := &all[i]
			if e.half != half {
				continue
			}
			if ratios[e.group] == nil {
				ratios[e.group] = make([][]float64, len(targets))
			}
			for j, target := range targets {
				ratios[e.group][j] = append(ratios[e.group][j], max(e.excess, 0)/m.Excess(&e.outlook.Features, target))
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return ratios, nil
}

// margins takes for each target the geometric mean of what the groups would need.
func margins(ratios map[int][][]float64) []estimate.Margin {
	out := make([]estimate.Margin, len(targets))
	highest := 0.0
	for j := len(targets) - 1; j >= 0; j-- {
		sum, n := 0.0, 0.0
		for group := range 100 * int(estimate.Kinds) {
			if r, ok := ratios[group]; ok {
				sum += math.Log(max(quantileOf(r[j], 1-targets[j]), 1e-3))
				n++
			}
		}
		highest = max(highest, rounded(math.Exp(sum/n)))
		out[j] = estimate.Margin{Target: targets[j], Factor: highest}
	}
	return out
}

package oversubscription

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"

	"muster/telemetry/estimate"
)

// Loop is what became of revocable tasks that really took what an estimator
// predicted to be free, as many as there was room for. They, how long they run
// and what they take are synthetic.
type Loop struct {
	Trace     string `json:"trace"`
	Estimator string `json:"estimator"`
	Parameter string `json:"parameter,omitempty"`
	// Overloads is the share of the machines' steps in which all tasks together
	// wanted more than was allocated, before that was corrected.
	Overloads Figure `json:"overloads"`
	// Excess is by how much, as a share of what was allocated.
	ExcessP50 float64 `json:"excess_p50"`
	ExcessP99 float64 `json:"excess_p99"`
	// Evictions of revocable tasks for each that came to its end.
	Evictions float64 `json:"evictions"`
	// Goodput is the work of the revocable tasks that came to their end, as a share
	// of what the others were allocated; Lost that of the evicted.
	Goodput Figure  `json:"goodput"`
	Lost    float64 `json:"lost"`
}

// Revocable tasks take one CPU, and 2 GB where the trace tells of memory, all the
// time; they run for 30 minutes in the mean, and more are always waiting.
var revocable = estimate.Amounts{estimate.CPU: 1, estimate.Mem: 2e9}

const revocableSteps = 6

// work is one revocable task.
type work struct{ begun, end int }

// shop is one machine with revocable tasks on it, in the order of their beginning.
type shop struct {
	*machine
	r     *rand.Rand
	tasks []work

	overloads, good, lost block // shares: saved of allocated, or short of steps
	evicted, done         int
	excess                []float64
}

func newShop(w *world, m int, cfg estimate.Config, seed uint64) *shop {
	return &shop{machine: newMachine(w, m, cfg), r: rand.New(rand.NewPCG(seed, uint64(m)))}
}

// step lets the machine's own tasks use what they do, corrects what does not fit
// by evicting the youngest, and places new ones in what is predicted to be free.
func (s *shop) step(t int, e estimate.Estimator, judged bool) {
	s.machine.step(t)
	worst := s.correct(t, judged)
	s.finish(t, judged)
	if judged {
		limit := s.node.Limit(estimate.CPU)
		s.overloads.steps++
		if worst > 0 {
			s.overloads.short++
			s.excess = append(s.excess, worst)
		}
		s.good.allocated += limit
		s.lost.allocated += limit
	}
	predicted := e.Predict(s.node)
	for s.fits(predicted) {
		s.tasks = append(s.tasks, work{t, t + 1 + int(s.r.ExpFloat64()*(revocableSteps-1))})
	}
}

// fits tells whether one more fits into what is predicted to be free.
func (s *shop) fits(predicted estimate.Amounts) bool {
	for _, k := range s.w.trace.Kinds {
		if predicted[k]+float64(len(s.tasks)+1)*revocable[k] > s.node.Limit(k) {
			return false
		}
	}
	return true
}

// correct evicts the youngest until all have what they use. It returns by how much
// it was too much, as a share of what was allocated.
func (s *shop) correct(t int, judged bool) float64 {
	worst := 0.0
	for first := true; ; first = false {
		over := 0.0
		for _, k := range s.w.trace.Kinds {
			if limit := s.node.Limit(k); limit > 0 {
				over = max(over, (s.node.Used(k)+float64(len(s.tasks))*revocable[k])/limit-1)
			}
		}
		if over <= 1e-9 || len(s.tasks) == 0 {
			return worst
		}
		if first {
			worst = over
		}
		last := s.tasks[len(s.tasks)-1]
		s.tasks = s.tasks[:len(s.tasks)-1]
		if judged {
			s.evicted++
			s.lost.saved += float64(t-last.begun) * revocable[estimate.CPU]
		}
	}
}

func (s *shop) finish(t int, judged bool) {
	s.tasks = slices.DeleteFunc(s.tasks, func(w work) bool {
		if w.end > t {
			return false
		}
		if judged {
			s.done++
			s.good.saved += float64(w.end-w.begun) * revocable[estimate.CPU]
		}
		return true
	})
}

// byKind asks another estimator for each resource.
type byKind [estimate.Kinds]estimate.Estimator

func (b byKind) Predict(n *estimate.Node) estimate.Amounts {
	var out estimate.Amounts
	for k, e := range b {
		if e != nil {
			out[k] = e.Predict(n)[k]
		}
	}
	return out
}

// closedLoop replays a trace with revocable tasks, by the classical estimator that
// was best on the tuning part of each resource and by the learned one.
func closedLoop(ctx context.Context, t *Trace, cfg Config, list []candidate, views []view) ([]Loop, error) {
	best := make([]int, len(t.Kinds))
	var names, params []string
	for i, v := range views {
		best[i] = v.best(v.chosen(), v.tuning)
		names, params = append(names, list[best[i]].name), append(params, list[best[i]].param)
	}
	muster := slices.IndexFunc(list, func(c candidate) bool { return c.name == learned })
	classical, err := loop(ctx, t, cfg, func() estimate.Estimator {
		var e byKind
		for i, k := range t.Kinds {
			e[k] = list[best[i]].make()
		}
		return e
	})
	if err != nil {
		return nil, err
	}
	classical.Estimator, classical.Parameter = strings.Join(slices.Compact(names), ", "), strings.Join(params, ", ")
	own, err := loop(ctx, t, cfg, list[muster].make)
	own.Estimator = learned
	return []Loop{classical, own}, err
}

func loop(ctx context.Context, t *Trace, cfg Config, estimator func() estimate.Estimator) (Loop, error) {
	out := Loop{Trace: t.Name}
	var overloads, good []block
	var lost block
	var excess []float64
	evicted, done := 0, 0
	p := cfg.Placement
	for run := range cfg.Runs {
		p.Seed = cfg.Placement.Seed + uint64(run)
		w := place(t, p)
		for i := range w.machines {
			s := newShop(w, i, cfg.Estimate, p.Seed)
			e := estimator()
			for step := range w.steps {
				s.step(step, e, step >= int(cfg.Tuning*float64(w.steps)))
			}
			overloads, good = append(overloads, s.overloads), append(good, s.good)
			lost.add(s.lost)
			excess = append(excess, s.excess...)
			evicted += s.evicted
			done += s.done
			if err := ctx.Err(); err != nil {
				return out, err
			}
		}
	}
	out.Overloads = bootstrap([][][]block{{overloads}}, cfg.Runs, func(s [][]block) float64 { return s[0][0].violations() })
	out.Goodput = bootstrap([][][]block{{good}}, cfg.Runs, func(s [][]block) float64 { return s[0][0].savings() })
	out.Lost, out.Evictions = lost.savings(), ratio(float64(evicted), float64(done))
	if len(excess) > 0 {
		out.ExcessP50, out.ExcessP99 = quantileOf(excess, 0.5), quantileOf(excess, 0.99)
	}
	return out, nil
}

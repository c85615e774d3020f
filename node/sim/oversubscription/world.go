package oversubscription

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"muster/telemetry/estimate"
)

// Placement is how a trace's tasks come to machines. All of it is synthetic, and not
// used for a trace that says where each of its tasks ran.
type Placement struct {
	Anew     bool          // place the tasks of such a trace, too
	Machines int           // [as many as hold all that is allocated at once]
	Cores    float64       // of each machine [48]
	Lasting  float64       // share of tasks that run as long as their series [0.5]
	Lifetime time.Duration // mean of the others, which are then followed by another somewhere else [72h]
	Seed     uint64
}

// Defaults that are named where they are chosen.
const (
	DefaultLifetime = 72 * time.Hour
	DefaultHorizon  = time.Hour
)

func (p Placement) withDefaults() Placement {
	if p.Cores <= 0 {
		p.Cores = 48
	}
	if p.Lasting <= 0 {
		p.Lasting = 0.5
	}
	if p.Lifetime <= 0 {
		p.Lifetime = DefaultLifetime
	}
	return p
}

// run is a part of a task's series that ran on one machine, in steps of the trace.
type run struct {
	id       string
	task     *Task
	from, to int
}

func (r *run) used(k estimate.Kind, step int) float64 {
	series := r.task.Used[k]
	if series == nil {
		return math.NaN()
	}
	return float64(series[step-r.task.Start])
}

// world is which machine runs what, and when.
type world struct {
	trace    *Trace
	machines [][]run // by machine, in the order of their beginning
	steps    int
	unplaced int
}

// place cuts the series of a trace into runs and puts each on a machine that has
// room for what it is allocated.
func place(t *Trace, p Placement) *world {
	if t.Placed() && !p.Anew {
		return recorded(t)
	}
	p = p.withDefaults()
	r := rand.New(rand.NewPCG(p.Seed, 0x6d7573746572))
	runs := cut(t, p, r)
	if p.Machines <= 0 {
		p.Machines = machinesFor(runs, t.Steps(), p.Cores)
	}
	w := &world{trace: t, machines: make([][]run, p.Machines), steps: t.Steps()}
	free := slices.Repeat([]float64{p.Cores}, p.Machines)
	running := make([][]run, p.Machines)
	ended := 0
	for _, next := range runs {
		if next.from > ended { // free what has ended by now
			ended = next.from
			for m := range running {
				running[m] = slices.DeleteFunc(running[m], func(o run) bool {
					if o.to <= ended {
						free[m] += o.task.Limit[estimate.CPU]
						return true
					}
					return false
				})
			}
		}
		fits := func(m int) bool { return free[m] >= next.task.Limit[estimate.CPU]-1e-9 }
		m := pick(r, p.Machines, fits)
		if m < 0 {
			w.unplaced++
			continue
		}
		free[m] -= next.task.Limit[estimate.CPU]
		running[m] = append(running[m], next)
		w.machines[m] = append(w.machines[m], next)
	}
	return w
}

// recorded has every task run where and when it did.
func recorded(t *Trace) *world {
	w := &world{trace: t, steps: t.Steps()}
	number := map[string]int{}
	for i := range t.Tasks {
		task := &t.Tasks[i]
		m, known := number[task.Node]
		if !known {
			m = len(w.machines)
			number[task.Node] = m
			w.machines = append(w.machines, nil)
		}
		w.machines[m] = append(w.machines[m], run{id: task.Name, task: task, from: task.Start, to: task.Start + task.Len()})
	}
	for _, runs := range w.machines {
		slices.SortStableFunc(runs, func(a, b run) int { return cmp.Compare(a.from, b.from) })
	}
	return w
}

// pick chooses one that fits at random; -1 if none does.
func pick(r *rand.Rand, n int, fits func(int) bool) int {
	for _, m := range r.Perm(n) {
		if fits(m) {
			return m
		}
	}
	return -1
}

// cut makes runs of all series, in the order of their beginning and otherwise
// at random.
func cut(t *Trace, p Placement, r *rand.Rand) []run {
	mean := float64(p.Lifetime) / float64(t.Step)
	var runs []run
	for i := range t.Tasks {
		task := &t.Tasks[i]
		from, end, lasting := task.Start, task.Start+task.Len(), r.Float64() < p.Lasting
		for part := 0; from < end; part++ {
			to := end
			if !lasting {
				to = min(end, from+1+int(r.ExpFloat64()*mean))
			}
			runs = append(runs, run{id: fmt.Sprintf("%s.%d", task.Name, part), task: task, from: from, to: to})
			from = to
		}
	}
	r.Shuffle(len(runs), func(i, j int) { runs[i], runs[j] = runs[j], runs[i] })
	slices.SortStableFunc(runs, func(a, b run) int { return cmp.Compare(a.from, b.from) })
	return runs
}

// machinesFor is how many machines hold what is allocated at the busiest step,
// with some room for what does not fit together.
func machinesFor(runs []run, steps int, cores float64) int {
	change := make([]float64, steps+1)
	for _, r := range runs {
		change[r.from] += r.task.Limit[estimate.CPU]
		change[r.to] -= r.task.Limit[estimate.CPU]
	}
	level, most := 0.0, 0.0
	for _, c := range change {
		level += c
		most = max(most, level)
	}
	return max(1, int(math.Ceil(most/cores/0.97)))
}

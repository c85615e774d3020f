package estimate

import (
	"slices"
	"strings"
	"time"
)

// A Node remembers what the tasks of one machine used. It is not safe for
// concurrent use.
type Node struct {
	cfg     Config
	started bool
	step    int64   // number of the step under way, since the epoch
	tasks   []*task // by ID
	totals  [Kinds][]float64
	weeks   [Kinds][]float64
	looks   [Kinds]*Outlook // Warm is 0 where there is nothing to learn from
}

// NewNode knows no task yet.
func NewNode(cfg Config) *Node { return &Node{cfg: cfg.withDefaults()} }

// Observe takes what all tasks of the node use at one moment. A task that is not
// among them has ended and is forgotten. It tells whether a step ended, so that
// there is something new to predict from and to learn. Of two samples of one
// task the latter counts; a moment before the latest step counts as in it.
func (n *Node) Observe(at time.Time, samples []Sample) bool {
	step := at.UnixNano() / int64(n.cfg.Step)
	ended := n.started && step > n.step
	if ended {
		n.closeStep(step - n.step)
	}
	if !n.started || ended {
		n.started, n.step = true, step
	}
	for _, t := range n.tasks {
		t.seen = false
	}
	for _, s := range samples {
		t := n.task(s.Task)
		t.seen = true
		for k := range t.kinds {
			t.kinds[k].observe(s.Used[k], s.Limit[k])
		}
	}
	n.tasks = slices.DeleteFunc(n.tasks, func(t *task) bool { return !t.seen })
	n.totals, n.weeks, n.looks = [Kinds][]float64{}, [Kinds][]float64{}, [Kinds]*Outlook{}
	return ended
}

// closeStep ends the step under way and those after it in which nobody looked.
func (n *Node) closeStep(steps int64) {
	remembered := int64(n.cfg.steps(History))
	for range min(steps, 2*remembered) {
		for _, t := range n.tasks {
			for k := range t.kinds {
				t.kinds[k].close()
			}
		}
	}
}

func (n *Node) task(id string) *task {
	i, found := slices.BinarySearchFunc(n.tasks, id, func(t *task, id string) int { return strings.Compare(t.id, id) })
	if !found {
		n.tasks = slices.Insert(n.tasks, i, n.newTask(id))
	}
	return n.tasks[i]
}

func (n *Node) newTask(id string) *task {
	t := &task{id: id, born: n.step}
	for k := range t.kinds {
		t.kinds[k].past.size = n.cfg.steps(History)
		t.kinds[k].week.size = n.cfg.steps(Week) / coarse
	}
	return t
}

// Limit is what the tasks were allocated.
func (n *Node) Limit(k Kind) float64 {
	sum := 0.0
	for _, t := range n.tasks {
		sum += t.kinds[k].limit
	}
	return sum
}

// Used is what the tasks used when they were last measured. A task that never
// was counts with its limit.
func (n *Node) Used(k Kind) float64 {
	sum := 0.0
	for _, t := range n.tasks {
		u := &t.kinds[k]
		switch {
		case u.count > 0:
			sum += u.now
		case u.past.len() > 0:
			sum += max(u.now, u.past.last())
		default:
			sum += u.limit
		}
	}
	return sum
}

// Cold is what those tasks were allocated of which too little is known.
func (n *Node) Cold(k Kind) float64 {
	sum := 0.0
	for u := range n.usages(k) {
		if u.cold(n.cfg.steps(n.cfg.Warm)) {
			sum += u.limit
		}
	}
	return sum
}

// lastOf is what those tasks used in the latest whole step that had been seen by
// a step.
func (n *Node) lastOf(k Kind, seen int64) float64 {
	sum := 0.0
	for _, t := range n.tasks {
		if u := &t.kinds[k]; t.born <= seen && u.past.len() > 0 {
			sum += u.past.last()
		}
	}
	return sum
}

// usages ranges over one resource of all tasks.
func (n *Node) usages(k Kind) func(yield func(*usage) bool) {
	return func(yield func(*usage) bool) {
		for _, t := range n.tasks {
			if !yield(&t.kinds[k]) {
				return
			}
		}
	}
}

// warm ranges over one resource of those tasks that are known well enough.
func (n *Node) warm(k Kind) func(yield func(*usage) bool) {
	steps := n.cfg.steps(n.cfg.Warm)
	return func(yield func(*usage) bool) {
		for u := range n.usages(k) {
			if !u.cold(steps) && !yield(u) {
				return
			}
		}
	}
}

// past is what the warm tasks that are there now used together, latest step
// first. Before its first step a task counts with its mean.
func (n *Node) past(k Kind) []float64 {
	if n.totals[k] != nil {
		return n.totals[k]
	}
	length := 0
	for u := range n.warm(k) {
		length = max(length, u.past.len())
	}
	total := make([]float64, length)
	for u := range n.warm(k) {
		for lag := range u.past.len() {
			total[lag] += u.past.at(lag)
		}
		if u.past.len() < length {
			mean := u.past.mean()
			for lag := u.past.len(); lag < length; lag++ {
				total[lag] += mean
			}
		}
	}
	n.totals[k] = total
	return total
}

// week is like past, of the highest in every coarse steps of seven days.
func (n *Node) week(k Kind) []float64 {
	if n.weeks[k] != nil {
		return n.weeks[k]
	}
	length := 0
	for u := range n.warm(k) {
		length = max(length, len(u.week.ring))
	}
	total := make([]float64, length)
	for u := range n.warm(k) {
		sum := 0.0
		for lag := range len(u.week.ring) {
			v := u.week.at(lag)
			total[lag] += v
			sum += v
		}
		mean := sum / float64(len(u.week.ring))
		for lag := len(u.week.ring); lag < length; lag++ {
			total[lag] += mean
		}
	}
	n.weeks[k] = total
	return total
}

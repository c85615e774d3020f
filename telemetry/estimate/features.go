package estimate

import (
	"math"
	"slices"
)

// Outlook is what a learned estimator sees of one resource of a node.
type Outlook struct {
	Cold     float64               // allocated to tasks of which too little is known
	Warm     float64               // allocated to the others
	Now      float64               // what the others use now
	Features [featureCount]float64 // shares of Warm, most of them beyond Now
}

// featureCount is how many figures describe a node's resource.
const featureCount = 35

// Look describes one resource of a node. It returns false where there is nothing
// to learn from: no task is warm, or none of the warm ones was allocated any.
func (n *Node) Look(k Kind) (Outlook, bool) {
	if n.looks[k] == nil {
		o := n.look(k)
		n.looks[k] = &o
	}
	return *n.looks[k], n.looks[k].Warm > 0
}

func (n *Node) look(k Kind) Outlook {
	o := Outlook{Cold: n.Cold(k)}
	for u := range n.warm(k) {
		o.Warm += u.limit
		o.Now += u.level()
	}
	if !(o.Warm > 0) {
		return o
	}
	l := look{node: n, kind: k, o: &o, day: n.cfg.steps(History), horizon: n.cfg.steps(n.cfg.Horizon)}
	l.hour = max(1, l.day/24)
	l.together()
	l.yesterday()
	l.rises()
	l.tasks()
	l.weekly()
	l.add(o.Cold * o.Warm / (o.Cold + o.Warm))
	l.add(float64(k) * o.Warm)
	for i, v := range o.Features {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			o.Features[i] = 0
		}
	}
	return o
}

// look gathers features in their order, which the weights depend on.
type look struct {
	node               *Node
	kind               Kind
	o                  *Outlook
	at                 int
	day, hour, horizon int // in steps
}

// add takes a figure as it is, beyond one above what is used now.
func (l *look) add(v float64) {
	l.o.Features[l.at] = v / l.o.Warm
	l.at++
}

func (l *look) beyond(v float64) { l.add(v - l.o.Now) }

// together tells how the tasks' common use has been for 1, 2, 10 and 24 hours.
func (l *look) together() {
	past := l.node.past(l.kind)
	l.add(l.o.Now)
	for _, hours := range []int{2, 10, 24} {
		part := past[:min(hours*l.hour, len(past))]
		mean, sd := moments(part)
		l.beyond(mean)
		l.add(sd)
		l.beyond(slices.Max(part))
	}
	l.beyond(slices.Max(past[:min(l.hour, len(past))]))
}

// yesterday tells the peak of the hour that now begins, a day ago.
func (l *look) yesterday() {
	past := l.node.past(l.kind)
	if len(past) < l.day {
		l.beyond(slices.Max(past))
		l.add(0)
		return
	}
	peak := slices.Max(past[max(0, l.day-1-l.horizon) : l.day-1])
	l.beyond(peak)
	l.add(peak - past[l.day-1])
}

// rises tells by how much the use rose within the horizon, from each step of the
// last day.
func (l *look) rises() {
	past := l.node.past(l.kind)
	rises := []float64{0}
	for i := l.horizon; i < len(past); i++ {
		rises = append(rises, slices.Max(past[i-l.horizon:i])-past[i])
	}
	slices.Sort(rises)
	for _, q := range []float64{0.5, 0.9, 0.99} {
		l.add(quantileOf(rises, q))
	}
}

// tasks tells what each task did by itself, and how few of them matter.
func (l *look) tasks() {
	var sums [4]float64 // of percentiles
	var first, second, slack, biggest, squares, young float64
	age := 1
	for u := range l.node.warm(l.kind) {
		for i, q := range []float64{0.5, 0.9, 0.99, 1} {
			sums[i] += u.past.quantile(q)
		}
		gap := u.past.quantile(1) - u.level()
		if gap > first {
			first, second = gap, first
		} else {
			second = max(second, gap)
		}
		slack = max(slack, u.limit-u.level())
		biggest = max(biggest, u.limit)
		squares += u.limit * u.limit
		if u.past.len() < l.day {
			young += u.limit
		}
		age = max(age, u.age)
	}
	for _, sum := range sums {
		l.beyond(sum)
	}
	for _, v := range []float64{first, second, slack, biggest, math.Sqrt(squares), young} {
		l.add(v)
	}
	l.add(math.Log(float64(age)) * l.o.Warm)
}

// weekly tells the highest hours of the last seven days, and those of this hour
// of the day.
func (l *look) weekly() {
	week := l.node.week(l.kind)
	per := max(1, l.hour/coarse)
	var hourly []float64
	for i := 0; i < len(week); i += per {
		hourly = append(hourly, slices.Max(week[i:min(i+per, len(week))]))
	}
	same := 0.0
	for day := 24; day <= 7*24; day += 24 {
		for i := day - 2; i <= day && i < len(hourly); i++ {
			same = max(same, hourly[i])
		}
	}
	slices.Sort(hourly)
	for _, rank := range []int{1, 2, 5, 10, 20} {
		l.beyond(hourly[max(0, len(hourly)-rank)])
	}
	l.beyond(same)
}

// quantileOf is the value of which the share q of a sorted list is below.
func quantileOf(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

package estimate

import (
	"math"
	"time"
)

// Noop frees nothing: every task may use all that it was allocated.
// Mesos: src/slave/resource_estimators/noop.cpp.
type Noop struct{}

func (Noop) Predict(n *Node) Amounts { return n.each(n.Limit) }

// Fixed frees the same amount at all times, as far as it is allocated.
// Mesos: src/resource_estimators/fixed.cpp.
type Fixed struct{ Free Amounts }

func (f Fixed) Predict(n *Node) Amounts {
	return n.each(func(k Kind) float64 { return n.Limit(k) - f.Free[k] })
}

// Share predicts the same share of what was allocated at all times: Borg's
// default before it learned to predict.
type Share struct{ Of float64 }

func (s Share) Predict(n *Node) Amounts {
	return n.each(func(k Kind) float64 { return s.Of * n.Limit(k) })
}

// Sigma predicts the mean and N standard deviations of what the tasks used
// together. Cold tasks count with their limits.
type Sigma struct {
	N    float64
	Over time.Duration // [10h]
}

func (s Sigma) Predict(n *Node) Amounts {
	over := s.Over
	if over <= 0 {
		over = 10 * time.Hour
	}
	return n.each(func(k Kind) float64 {
		past := n.past(k)
		mean, sd := moments(past[:min(len(past), n.cfg.steps(over))])
		return n.Cold(k) + mean + s.N*sd
	})
}

// Percentiles predicts the sum of a percentile of each task's use, as Resource
// Central does. Cold tasks count with their limits.
type Percentiles struct {
	Of float64 // share of its steps in which a task uses no more: 0.99
}

func (p Percentiles) Predict(n *Node) Amounts {
	return n.each(func(k Kind) float64 {
		sum := n.Cold(k)
		for u := range n.warm(k) {
			sum += u.past.quantile(p.Of)
		}
		return sum
	})
}

// Max predicts the highest of what others do.
type Max []Estimator

func (m Max) Predict(n *Node) Amounts {
	var highest Amounts
	for _, e := range m {
		for k, v := range e.Predict(n) {
			highest[k] = max(highest[k], v)
		}
	}
	return n.each(func(k Kind) float64 { return highest[k] })
}

func moments(values []float64) (mean, sd float64) {
	if len(values) == 0 {
		return 0, 0
	}
	for _, v := range values {
		mean += v
	}
	mean /= float64(len(values))
	for _, v := range values {
		sd += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sd / float64(len(values)))
}

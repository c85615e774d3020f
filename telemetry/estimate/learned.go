package estimate

import "math"

// Learned predicts by a Model and corrects its margin by what then really
// happens on the node. It belongs to one node and may be asked at any time; what
// it predicts first in a step is what it learns from.
type Learned struct {
	model  *Model
	target float64
	step   int64
	kinds  [Kinds]margin
}

// NewLearned has not learned anything of its node yet. The target and the horizon
// are those of the node's Config.
func NewLearned(m *Model, cfg Config) *Learned {
	return &Learned{model: m, target: cfg.withDefaults().Target}
}

// margin is what was learned of one resource.
type margin struct {
	seen    uint64  // predictions whose time is over
	shift   float64 // logarithm of a factor on the model's margin
	pending []forecast
}

// forecast is a prediction whose time is not over.
type forecast struct {
	step      int64   // in which it was made
	predicted float64 // for the tasks that were there then
	peak      float64 // so far
}

const (
	// steady is by how much one surprise widens the margin in the long run: 3.5 %,
	// so by half if all twelve predictions of an hour fall short. On the first day
	// it is early more: a new node soon finds out what kind it is.
	steady, early = 0.035, 0.06
	// day is after how many predictions half of early is left.
	day = 288
	// aim is which share of the target the correction aims at. Surprises come in
	// bursts, and what it learns from one is late by the horizon.
	aim = 0.85
	// widest and narrowest bound the correction.
	widest, narrowest = 2.5, -2.5
)

func pace(seen uint64) float64 { return steady + early/(1+float64(seen)/day) }

func (l *Learned) Predict(n *Node) Amounts {
	fresh := n.step != l.step
	l.step = n.step
	predicted := n.each(func(k Kind) float64 {
		if fresh {
			l.kinds[k].learn(n, k, l.target)
		}
		return l.predict(n, k)
	})
	if fresh {
		for k := range Kinds {
			l.kinds[k].pending = append(l.kinds[k].pending, forecast{step: n.step, predicted: predicted[k]})
		}
	}
	return predicted
}

func (l *Learned) predict(n *Node, k Kind) float64 {
	o, ok := n.Look(k)
	if !ok {
		return o.Cold
	}
	excess := l.model.margin(l.target) * l.model.Excess(&o.Features, l.target) * math.Exp(l.kinds[k].shift)
	return o.Cold + o.Now + o.Warm*excess
}

// learn compares what was predicted with what the tasks used since, and corrects
// the margin once for each prediction whose time is over: up by a lot if it fell
// short, down by a little if not, so that in the long run the target is met
// whatever the tasks do (adaptive conformal inference).
func (m *margin) learn(n *Node, k Kind, target float64) {
	horizon := int64(n.cfg.steps(n.cfg.Horizon))
	kept := m.pending[:0]
	for _, f := range m.pending {
		if latest := n.step - 1; latest > f.step {
			f.peak = max(f.peak, n.lastOf(k, f.step))
		}
		if n.step-1 < f.step+horizon {
			kept = append(kept, f)
			continue
		}
		short := 0.0
		if exceeds(f.peak, f.predicted) {
			short = 1
		}
		m.seen++
		m.shift = min(max(m.shift+pace(m.seen)*(short-aim*target), narrowest), widest)
	}
	m.pending = kept
}

// exceeds tells whether a peak is above what was predicted by more than the
// rounding of what is remembered.
func exceeds(peak, predicted float64) bool { return peak > predicted*(1+1e-6)+1e-9 }

package oversubscription

import (
	"time"

	"muster/telemetry/estimate"
)

// epoch is when step 0 of a trace is.
var epoch = time.Unix(0, 0)

// machine replays one machine step by step.
type machine struct {
	w       *world
	runs    []run // not begun yet
	live    []run
	node    *estimate.Node
	samples []estimate.Sample
}

func newMachine(w *world, m int, cfg estimate.Config) *machine {
	cfg.Step = w.trace.Step
	return &machine{w: w, runs: w.machines[m], node: estimate.NewNode(cfg)}
}

// step shows the node what is used in the next step of the trace. Until it is
// closed by done, that step is under way.
func (m *machine) step(t int) {
	live := m.live[:0]
	for _, r := range m.live {
		if r.to > t {
			live = append(live, r)
		}
	}
	m.live = live
	for len(m.runs) > 0 && m.runs[0].from <= t {
		m.live = append(m.live, m.runs[0])
		m.runs = m.runs[1:]
	}
	m.samples = m.samples[:0]
	for i := range m.live {
		r := &m.live[i]
		s := estimate.Sample{Task: r.id, Limit: r.task.Limit}
		for k := range estimate.Kinds {
			s.Used[k] = r.used(k, t)
		}
		m.samples = append(m.samples, s)
	}
	m.node.Observe(epoch.Add(time.Duration(t)*m.w.trace.Step), m.samples)
}

// peak is the most that those of the tasks that run now use together in any of
// the steps after t, up to the horizon.
func (m *machine) peak(k estimate.Kind, t, horizon int) float64 {
	most := 0.0
	for s := t + 1; s <= t+horizon; s++ {
		sum := 0.0
		for i := range m.live {
			r := &m.live[i]
			if s >= r.to {
				continue
			}
			if v := r.used(k, s); v >= 0 {
				sum += v
			}
		}
		most = max(most, sum)
	}
	return most
}

// horizonSteps is a Config's horizon in steps of a trace.
func horizonSteps(cfg estimate.Config, step time.Duration) int {
	horizon := cfg.Horizon
	if horizon <= 0 {
		horizon = DefaultHorizon
	}
	return max(1, int((horizon+step-1)/step))
}

package oversubscription

import (
	"context"
	"fmt"
	"time"

	"muster/telemetry/estimate"
)

// Config of a replay. The zero value is the default.
type Config struct {
	Placement Placement
	Runs      int // placements that are replayed, each by a seed of its own [1]
	Estimate  estimate.Config
	Tuning    float64         // share of each trace on which parameters are chosen and machines learn [1/3]
	Model     *estimate.Model // of the learned estimator [the one that muster brings along]
	Closed    bool            // run revocable tasks in what is predicted to be free
}

func (c Config) withDefaults() (Config, error) {
	if c.Runs <= 0 {
		c.Runs = 1
	}
	if c.Tuning <= 0 || c.Tuning >= 1 {
		c.Tuning = 1. / 3
	}
	if c.Estimate.Target <= 0 {
		c.Estimate.Target = 0.01
	}
	var err error
	if c.Model == nil {
		c.Model, err = estimate.DefaultModel()
	}
	return c, err
}

// judged is what the open loop found of one trace: tallies by candidate and
// resource. The last candidate is the oracle.
type judged struct {
	trace   *Trace
	tallies [][estimate.Kinds]tally
	shape   Shape
}

// Shape tells of what a trace's replay was.
type Shape struct {
	Tasks    int `json:"tasks"`
	Machines int `json:"machines"`
	Unplaced int `json:"unplaced"` // runs that no machine had room for, of all placements
	Steps    int `json:"steps"`
	// Recorded: machines, placement and lifetimes are the trace's own.
	Recorded bool `json:"recorded"`
}

// openLoop lets all candidates predict every machine's peak, step by step, and
// compares with what then happens. Nothing is done with the predictions.
func openLoop(ctx context.Context, t *Trace, cfg Config, list []candidate) (*judged, error) {
	j := &judged{trace: t, tallies: make([][estimate.Kinds]tally, len(list)+1)}
	p := cfg.Placement
	for run := range cfg.Runs {
		p.Seed = cfg.Placement.Seed + uint64(run)
		w := place(t, p)
		if judged := w.steps - horizonSteps(cfg.Estimate, t.Step) - int(cfg.Tuning*float64(w.steps)); judged < 1 {
			return nil, fmt.Errorf("trace %s is %v long: nothing is left to judge after the part that tunes and before the last horizon: "+
				"give a longer one, or a shorter horizon than %v", t.Name, time.Duration(w.steps)*t.Step, time.Duration(horizonSteps(cfg.Estimate, t.Step))*t.Step)
		}
		j.shape = Shape{Tasks: len(t.Tasks), Machines: len(w.machines), Unplaced: j.shape.Unplaced + w.unplaced, Steps: w.steps, Recorded: t.Placed() && !p.Anew}
		for m := range w.machines {
			j.replay(newMachine(w, m, cfg.Estimate), cfg, list)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
	}
	return j, nil
}

// replay lets all candidates predict one machine.
func (j *judged) replay(m *machine, cfg Config, list []candidate) {
	for c := range j.tallies {
		for k := range j.tallies[c] {
			j.tallies[c][k].blocks = append(j.tallies[c][k].blocks, block{})
		}
	}
	estimators := make([]estimate.Estimator, len(list))
	for c := range list {
		estimators[c] = list[c].make()
	}
	horizon := horizonSteps(cfg.Estimate, m.w.trace.Step)
	tuning := int(cfg.Tuning * float64(m.w.steps))
	for t := range m.w.steps - horizon {
		m.step(t)
		var peak, limit estimate.Amounts
		for _, k := range m.w.trace.Kinds {
			peak[k], limit[k] = m.peak(k, t, horizon), m.node.Limit(k)
		}
		count := func(c int, predicted estimate.Amounts) {
			for _, k := range m.w.trace.Kinds {
				if limit[k] > 0 {
					j.tallies[c][k].count(limit[k], predicted[k], peak[k], t < tuning)
				}
			}
		}
		for c, e := range estimators {
			count(c, e.Predict(m.node))
		}
		count(len(list), estimate.Amounts{min(peak[0], limit[0]), min(peak[1], limit[1])})
	}
}

// tuned returns of each family the candidate that saved most in the groups'
// tuning parts without falling short more often than the target; the most careful
// one if all did.
func tuned(list []candidate, family string, target float64, of func(c int) (savings, violations float64)) int {
	best, careful, most := -1, -1, -1.0
	for c := range list {
		if list[c].family != family {
			continue
		}
		savings, violations := of(c)
		if careful < 0 {
			careful = c
		}
		if _, least := of(careful); violations < least {
			careful = c
		}
		if violations <= target && savings > most {
			best, most = c, savings
		}
	}
	if best < 0 {
		return careful
	}
	return best
}

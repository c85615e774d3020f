package oversubscription

import (
	"context"
	"errors"
	"fmt"
)

// HoldOut learns from one half of the tasks in the first half of the time, and
// judges on the other half of the tasks in the second half of the time, in which
// nothing was learned from any of them; then the same with the halves exchanged. The
// classical estimators are tuned on the first half of the time of the very tasks that
// they are judged on. What is judged of both halves makes one Report.
func HoldOut(ctx context.Context, traces []*Trace, cfg Config, seeds []uint64) (*Report, error) {
	if cfg.Closed || cfg.Model != nil {
		return nil, errors.New("hold out: it learns weights of its own, and the loop stays open")
	}
	cfg.Tuning = 0.5
	var folds []fold
	for half := range 2 {
		var seen []*Trace
		judged := fold{cfg: cfg}
		for _, t := range traces {
			seen = append(seen, t.half(half, heldOut).first(cfg.Tuning))
			judged.traces = append(judged.traces, t.half(1-half, heldOut))
		}
		var err error
		if judged.cfg.Model, err = Train(ctx, seen, cfg.Placement, seeds); err != nil {
			return nil, fmt.Errorf("hold out: %w", err)
		}
		folds = append(folds, judged)
	}
	return replayFolds(ctx, folds)
}

// first is the first part of a trace's time.
func (t *Trace) first(share float64) *Trace {
	end := int(share * float64(t.Steps()))
	part := *t
	part.Tasks = nil
	for _, task := range t.Tasks {
		if task.Start >= end {
			continue
		}
		for k, series := range task.Used {
			if series != nil {
				task.Used[k] = series[:min(len(series), end-task.Start)]
			}
		}
		part.Tasks = append(part.Tasks, task)
	}
	return &part
}

// add takes up what another fold found of other tasks of the same trace.
func (j *judged) add(o *judged) {
	for c := range j.tallies {
		for k := range j.tallies[c] {
			t, more := &j.tallies[c][k], o.tallies[c][k]
			t.tuning.add(more.tuning)
			t.blocks = append(t.blocks, more.blocks...)
			t.severity = append(t.severity, more.severity...)
		}
	}
	j.shape.Tasks += o.shape.Tasks
	j.shape.Machines += o.shape.Machines
	j.shape.Unplaced += o.shape.Unplaced
	j.shape.Steps = max(j.shape.Steps, o.shape.Steps)
}

package oversubscription

import (
	"context"
	"slices"

	"muster/telemetry/estimate"
)

// Report of a replay.
type Report struct {
	Target float64  `json:"target"`
	Seeds  []uint64 `json:"seeds"`
	Groups []Group  `json:"groups"`
	Pooled Group    `json:"pooled"` // every group counts the same; one parameter for all
	Closed []Loop   `json:"closed_loop,omitempty"`
}

// Group is one resource of one trace, judged on what follows the tuning part.
type Group struct {
	Trace     string   `json:"trace"`
	Resource  string   `json:"resource,omitempty"`
	Shape     *Shape   `json:"shape,omitempty"`
	Synthetic []string `json:"synthetic,omitempty"`
	Files     []File   `json:"files,omitempty"`
	Rows      []Row    `json:"rows"`
	// Learned's savings beyond those of the classical estimator and parameter that
	// were best on the tuning part, and beyond those of the best in hindsight.
	OverTuned     Figure  `json:"over_tuned"`
	OverHindsight Figure  `json:"over_hindsight"`
	Curves        []Curve `json:"curves,omitempty"`
}

// Row is one estimator.
type Row struct {
	Estimator   string  `json:"estimator"`
	Parameter   string  `json:"parameter,omitempty"`
	Savings     Figure  `json:"savings"`
	Violations  Figure  `json:"violations"`
	SeverityP50 float64 `json:"severity_p50"` // of those predictions that fell short
	SeverityP99 float64 `json:"severity_p99"`
	Best        string  `json:"best,omitempty"` // "tuned" or "hindsight": the best classical one so found
}

// Curve is what a family's parameters trade.
type Curve struct {
	Estimator string  `json:"estimator"`
	Points    []Point `json:"points"`
}

// Point of a Curve.
type Point struct {
	Parameter  string  `json:"parameter"`
	Savings    float64 `json:"savings"`
	Violations float64 `json:"violations"`
}

// fold is what is judged with one model.
type fold struct {
	traces []*Trace
	cfg    Config
}

// Run replays traces.
func Run(ctx context.Context, traces []*Trace, cfg Config) (*Report, error) {
	return replayFolds(ctx, []fold{{traces, cfg}})
}

// replayFolds replays the same traces in all folds, other tasks of them in each.
func replayFolds(ctx context.Context, folds []fold) (*Report, error) {
	lists := make([][]candidate, len(folds))
	for i := range folds {
		f := &folds[i]
		var err error
		if f.cfg, err = f.cfg.withDefaults(); err != nil {
			return nil, err
		}
		lists[i] = candidates(f.cfg.Model, f.cfg.Estimate)
	}
	cfg, list := folds[0].cfg, lists[0]
	report := &Report{Target: cfg.Estimate.Target}
	for run := range cfg.Runs {
		report.Seeds = append(report.Seeds, cfg.Placement.Seed+uint64(run))
	}
	var views []view
	for n, t := range folds[0].traces {
		j, err := openLoop(ctx, t, cfg, list)
		if err != nil {
			return nil, err
		}
		for i := 1; i < len(folds); i++ {
			other, err := openLoop(ctx, folds[i].traces[n], folds[i].cfg, lists[i])
			if err != nil {
				return nil, err
			}
			j.add(other)
		}
		for _, k := range t.Kinds {
			v := view{list: list, cfg: cfg, groups: [][]*tally{j.of(k)}}
			g := v.group()
			g.Trace, g.Resource, g.Shape, g.Synthetic, g.Files = t.Name, resourceName(k), &j.shape, t.Synthetic, t.Files
			report.Groups = append(report.Groups, g)
			views = append(views, v)
		}
		if cfg.Closed {
			loops, err := closedLoop(ctx, t, cfg, list, views[len(views)-len(t.Kinds):])
			if err != nil {
				return nil, err
			}
			report.Closed = append(report.Closed, loops...)
		}
	}
	pooled := view{list: list, cfg: cfg}
	for _, v := range views {
		pooled.groups = append(pooled.groups, v.groups...)
	}
	report.Pooled = pooled.group()
	report.Pooled.Trace = "pooled"
	return report, nil
}

func resourceName(k estimate.Kind) string { return [...]string{"cpu", "mem"}[k] }

// of returns one resource's tallies by candidate.
func (j *judged) of(k estimate.Kind) []*tally {
	out := make([]*tally, len(j.tallies))
	for c := range j.tallies {
		out[c] = &j.tallies[c][k]
	}
	return out
}

// view looks at one or more groups as one.
type view struct {
	list   []candidate
	cfg    Config
	groups [][]*tally // by candidate; the last is the oracle
}

// mean is the mean over the groups of a figure of one candidate.
func (v view) mean(c int, figure func(*tally) float64) float64 {
	sum := 0.0
	for _, g := range v.groups {
		sum += figure(g[c])
	}
	return sum / float64(len(v.groups))
}

func (v view) tuning(c int) (savings, violations float64) {
	return v.mean(c, func(t *tally) float64 { return t.tuning.savings() }), v.mean(c, func(t *tally) float64 { return t.tuning.violations() })
}

func (v view) judged(c int) (savings, violations float64) {
	return v.mean(c, func(t *tally) float64 { return t.total().savings() }), v.mean(c, func(t *tally) float64 { return t.total().violations() })
}

// chosen returns by family the candidate that was best on the tuning part.
func (v view) chosen() []int {
	out := make([]int, len(families))
	for i, family := range families {
		out[i] = tuned(v.list, family, v.cfg.Estimate.Target, v.tuning)
	}
	return out
}

// best returns the candidate that saves most without falling short more often
// than the target; the one that falls short least if all do.
func (v view) best(among []int, of func(int) (float64, float64)) int {
	target := v.cfg.Estimate.Target
	return slices.MaxFunc(among, func(a, b int) int {
		sa, va := of(a)
		sb, vb := of(b)
		switch {
		case va > target && vb > target:
			return compare(vb, va)
		case va > target:
			return -1
		case vb > target:
			return 1
		}
		return compare(sa, sb)
	})
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// group judges every family with the parameter it was tuned to, and what learns.
func (v view) group() Group {
	chosen := v.chosen()
	byTuning := v.best(chosen, v.tuning)
	var classical []int
	for c := range v.list {
		if v.list[c].family != "" {
			classical = append(classical, c)
		}
	}
	inHindsight := v.best(classical, v.judged)
	muster := slices.IndexFunc(v.list, func(c candidate) bool { return c.name == learned })

	var g Group
	g.Rows = append(g.Rows, v.row(0))
	for _, c := range chosen {
		r := v.row(c)
		if c == byTuning {
			r.Best = "tuned"
		}
		g.Rows = append(g.Rows, r)
	}
	hindsight := v.row(inHindsight)
	hindsight.Best = "hindsight"
	g.Rows = append(g.Rows, hindsight, v.row(muster), v.row(len(v.list)))
	g.OverTuned, g.OverHindsight = v.over(muster, byTuning), v.over(muster, inHindsight)
	for _, family := range families {
		g.Curves = append(g.Curves, v.curve(family))
	}
	return g
}

func (v view) row(c int) Row {
	r := Row{Estimator: oracle}
	if c < len(v.list) {
		r.Estimator, r.Parameter = v.list[c].name, v.list[c].param
	}
	r.Savings = v.bootstrap([]int{c}, func(b []block) float64 { return b[0].savings() })
	r.Violations = v.bootstrap([]int{c}, func(b []block) float64 { return b[0].violations() })
	var severity []float64
	for _, g := range v.groups {
		severity = append(severity, g[c].severity...)
	}
	if len(severity) > 0 {
		r.SeverityP50, r.SeverityP99 = quantileOf(severity, 0.5), quantileOf(severity, 0.99)
	}
	return r
}

// over is by how much one candidate saves more than another on the same machines.
func (v view) over(one, other int) Figure {
	return v.bootstrap([]int{one, other}, func(b []block) float64 { return b[0].savings() - b[1].savings() })
}

func (v view) bootstrap(list []int, figure func([]block) float64) Figure {
	groups := make([][][]block, len(v.groups))
	for i, g := range v.groups {
		for _, c := range list {
			groups[i] = append(groups[i], g[c].blocks)
		}
	}
	return bootstrap(groups, v.cfg.Runs, func(sums [][]block) float64 {
		sum := 0.0
		for _, s := range sums {
			sum += figure(s)
		}
		return sum / float64(len(sums))
	})
}

func (v view) curve(family string) Curve {
	out := Curve{Estimator: family}
	for c := range v.list {
		if v.list[c].family == family {
			savings, violations := v.judged(c)
			out.Points = append(out.Points, Point{v.list[c].param, savings, violations})
		}
	}
	return out
}

// Learned is the row of the estimator that learns.
func (g *Group) Learned() Row {
	i := slices.IndexFunc(g.Rows, func(r Row) bool { return r.Estimator == learned })
	return g.Rows[i]
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"muster/node/sim/oversubscription"
	"muster/telemetry/estimate"
)

func simulateCommand() *cobra.Command {
	c := &cobra.Command{Use: "simulate", Short: "Replay real traces of usage, without a cluster", GroupID: "use"}
	c.AddCommand(simulateOversubscription())
	return c
}

// simulation is what the flags of the replay say.
type simulation struct {
	cfg        oversubscription.Config
	traces     []string
	svg        string
	weights    string
	train      string
	trainSeeds int
	holdOut    bool
}

func simulateOversubscription() *cobra.Command {
	var s simulation
	c := &cobra.Command{
		Use:   "oversubscription --trace FILE…",
		Short: "Compare what estimators would have freed of what tasks were allocated, and how often they would have erred",
		Long: `Replays what tasks really used. At each step every estimator predicts what the
tasks of each machine will use at most within the horizon:
  savings     Σ(limit − predicted) / Σ limit
  violation   the real peak within the horizon exceeds what was predicted
  severity    (peak − predicted) / peak, of violations
The first part of each trace tunes the classical estimators; the rest judges all.

Traces are the published files of Azure V1, Bitbrains and PlanetLab, or CSV with
the columns task,[node,]time,cpu_used,cpu_limit[,mem_used,mem_limit], gzip'd or
not: see deploy/docs/oversubscription.md; ` + "`muster usage export`" + ` writes that of your
nodes. Unless the trace says on which node each task ran, machines, placement,
arrivals and lifetimes are made up, by the seed.`,
		Example: "  muster simulate oversubscription --trace usage.csv --machines 20 --cores 48 --closed-loop --svg savings.svg",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return s.run(c) },
	}
	f := c.Flags()
	f.StringSliceVar(&s.traces, "trace", nil, "file of usage; may be repeated")
	f.IntVar(&s.cfg.Placement.Machines, "machines", 0, "machines (default: as many as hold all tasks)")
	f.Float64Var(&s.cfg.Placement.Cores, "cores", 48, "CPUs of each machine")
	f.Float64Var(&s.cfg.Placement.Lasting, "lasting", 0.5, "share of tasks that run as long as their series")
	f.DurationVar(&s.cfg.Placement.Lifetime, "lifetime", oversubscription.DefaultLifetime, "mean lifetime of the other tasks")
	f.BoolVar(&s.cfg.Placement.Anew, "anew", false, "make up machines and placement also where the trace names the node of each task")
	f.Uint64Var(&s.cfg.Placement.Seed, "seed", 1, "of the placement")
	f.IntVar(&s.cfg.Runs, "runs", 1, "placements to replay, by successive seeds")
	f.DurationVar(&s.cfg.Estimate.Horizon, "horizon", oversubscription.DefaultHorizon, "how far ahead the peak is predicted")
	f.Float64Var(&s.cfg.Estimate.Target, "target", 0.01, "share of predictions that the real peak may exceed")
	f.Float64Var(&s.cfg.Tuning, "tuning", 1./3, "share of each trace that tunes and is not judged")
	f.BoolVar(&s.cfg.Closed, "closed-loop", false, "also run revocable tasks in what is predicted to be free")
	f.StringVar(&s.svg, "svg", "", "file for a drawing of savings against violations")
	f.StringVar(&s.weights, "weights", "", "file of weights for the learned estimator (default: those inside)")
	f.StringVar(&s.train, "train", "", "learn weights from all of the traces, write them to this file, and replay nothing")
	f.BoolVar(&s.holdOut, "hold-out", false, "learn weights from half of the tasks in the first half of the time, judge on the others in the second, and the other way round")
	f.IntVar(&s.trainSeeds, "train-seeds", 3, "placements to learn from")
	addOutput(c)
	return c
}

func (s *simulation) run(c *cobra.Command) error {
	if len(s.traces) == 0 {
		return fmt.Errorf("trace: name at least one file: see `%s --help`", c.CommandPath())
	}
	if err := s.check(); err != nil {
		return err
	}
	traces, err := oversubscription.Read(s.traces)
	if err != nil {
		return err
	}
	if s.train != "" {
		return s.learn(c, traces)
	}
	if s.weights != "" {
		text, err := os.ReadFile(s.weights)
		if err != nil {
			return err
		}
		if s.cfg.Model, err = estimate.ParseModel(text); err != nil {
			return fmt.Errorf("%s: %w", s.weights, err)
		}
	}
	var report *oversubscription.Report
	if s.holdOut {
		report, err = oversubscription.HoldOut(c.Context(), traces, s.cfg, s.seeds())
	} else {
		report, err = oversubscription.Run(c.Context(), traces, s.cfg)
	}
	if err != nil {
		return err
	}
	if s.svg != "" {
		if err := writeFile(s.svg, report.WriteSVG); err != nil {
			return err
		}
	}
	return show(c, report, func(out *printer) { printSimulation(out, report) })
}

func (s *simulation) check() error {
	switch {
	case !(s.cfg.Estimate.Target > 0 && s.cfg.Estimate.Target < 1):
		return fmt.Errorf("target: %g is not between 0 and 1", s.cfg.Estimate.Target)
	case s.cfg.Estimate.Horizon <= 0 || s.cfg.Estimate.Horizon > estimate.History/2:
		return fmt.Errorf("horizon: %v is not between 0 and %v", s.cfg.Estimate.Horizon, estimate.History/2)
	case !(s.cfg.Tuning > 0 && s.cfg.Tuning < 1):
		return fmt.Errorf("tuning: %g is not between 0 and 1", s.cfg.Tuning)
	case !(s.cfg.Placement.Cores > 0):
		return fmt.Errorf("cores: %g is not above 0", s.cfg.Placement.Cores)
	case s.cfg.Placement.Machines < 0:
		return fmt.Errorf("machines: %d is below 0", s.cfg.Placement.Machines)
	case s.cfg.Runs < 1 || s.trainSeeds < 1:
		return errors.New("runs and train-seeds must be at least 1")
	case !(s.cfg.Placement.Lasting > 0 && s.cfg.Placement.Lasting <= 1):
		return fmt.Errorf("lasting: %g is not between 0 and 1", s.cfg.Placement.Lasting)
	case s.cfg.Placement.Lifetime <= 0:
		return fmt.Errorf("lifetime: %v is not above 0", s.cfg.Placement.Lifetime)
	}
	return nil
}

// seeds are of the placements that are learned from.
func (s *simulation) seeds() (seeds []uint64) {
	for i := range s.trainSeeds {
		seeds = append(seeds, s.cfg.Placement.Seed+uint64(i))
	}
	return seeds
}

// learn writes weights; the same traces and flags make the same file.
func (s *simulation) learn(c *cobra.Command, traces []*oversubscription.Trace) error {
	model, err := oversubscription.Train(c.Context(), traces, s.cfg.Placement, s.seeds())
	if err != nil {
		return err
	}
	model.Made.By = fmt.Sprintf("muster simulate oversubscription --train, --seed %d --train-seeds %d, each --trace named below", s.cfg.Placement.Seed, s.trainSeeds)
	return writeFile(s.train, func(w io.Writer) error { return json.NewEncoder(w).Encode(model) })
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func printSimulation(out *printer, r *oversubscription.Report) {
	head := []string{"ESTIMATOR", "PARAMETER", "SAVINGS", "95 %", "VIOLATIONS", "95 %", "SEVERITY P50", "P99", ""}
	for _, g := range append(r.Groups, r.Pooled) {
		if g.Shape != nil {
			out.line("%s %s: %d tasks on %d machines, %d steps", g.Trace, g.Resource, g.Shape.Tasks, g.Shape.Machines, g.Shape.Steps)
			if n := g.Shape.Unplaced; n > 0 {
				out.line("Not placed, for want of room: %d runs of tasks", n)
			}
			if g.Shape.Recorded {
				out.line("As recorded: machines, placement, lifetimes")
			} else {
				out.line("Synthetic: %s", strings.Join(append([]string{"machines, placement, lifetimes"}, g.Synthetic...), "; "))
			}
		} else {
			out.line("Pooled: the mean of all of the above, one parameter for all")
		}
		var rows [][]string
		for _, row := range g.Rows {
			note := ""
			if row.Best != "" {
				note = "best classical, " + map[string]string{"tuned": "as tuned", "hindsight": "in hindsight"}[row.Best]
			}
			rows = append(rows, []string{row.Estimator, row.Parameter,
				fmt.Sprintf("%.3f", row.Savings.Value), fmt.Sprintf("%.3f to %.3f", row.Savings.Low, row.Savings.High),
				percent(row.Violations.Value), percent(row.Violations.Low) + " to " + percent(row.Violations.High),
				fmt.Sprintf("%.2f", row.SeverityP50), fmt.Sprintf("%.2f", row.SeverityP99), note})
		}
		out.table(head, rows)
		out.line("Learned saves %+.1f points (%+.1f to %+.1f) on the best as tuned, %+.1f (%+.1f to %+.1f) on the best in hindsight.\n",
			100*g.OverTuned.Value, 100*g.OverTuned.Low, 100*g.OverTuned.High, 100*g.OverHindsight.Value, 100*g.OverHindsight.Low, 100*g.OverHindsight.High)
	}
	if len(r.Closed) > 0 {
		printLoops(out, r.Closed)
	}
}

func printLoops(out *printer, loops []oversubscription.Loop) {
	out.line("Closed loop: revocable tasks (synthetic) in all that is predicted to be free")
	var rows [][]string
	for _, l := range loops {
		rows = append(rows, []string{l.Trace, l.Estimator, l.Parameter,
			percent(l.Overloads.Value), percent(l.Overloads.Low) + " to " + percent(l.Overloads.High), percent(l.ExcessP50), percent(l.ExcessP99),
			percent(l.Evictions), fmt.Sprintf("%.3f", l.Goodput.Value), fmt.Sprintf("%.3f to %.3f", l.Goodput.Low, l.Goodput.High), percent(l.Lost)})
	}
	out.table([]string{"TRACE", "ESTIMATOR", "PARAMETER", "OVERLOADS", "95 %", "EXCESS P50", "P99", "EVICTED", "GOODPUT", "95 %", "LOST"}, rows)
}

func percent(v float64) string { return fmt.Sprintf("%.2f%%", 100*v) }

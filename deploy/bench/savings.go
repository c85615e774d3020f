package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"muster/node/sim/oversubscription"
)

// sampleTraces are what the repository carries along.
const sampleTraces = "node/sim/oversubscription/testdata"

// placements of the tasks on machines that are replayed.
const placements = 5

// savings replays the traces in the directory that TRACES names. It measures what
// the learned estimator frees of what is allocated, pooled over the traces.
func savings(ctx context.Context, _ *machine) (outcome, error) {
	dir := os.Getenv("TRACES")
	which := dir
	if dir == "" {
		dir, which = sampleTraces, "the sample in the repository alone; TRACES=DIR for others"
	}
	files, err := filepath.Glob(filepath.Join(dir, "*csv*"))
	if err != nil {
		return outcome{}, err
	}
	if len(files) == 0 {
		return outcome{}, cannot("no *csv* file in %s", dir)
	}
	traces, err := oversubscription.Read(files)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{notes: []string{"traces: " + which}}
	rates := map[string]float64{}
	var names []string
	var tuned, hindsight float64
	for seed := range placements {
		cfg := oversubscription.Config{}
		cfg.Placement.Seed = uint64(seed + 1)
		report, err := oversubscription.Run(ctx, traces, cfg)
		if err != nil {
			return outcome{}, err
		}
		o.samples = append(o.samples, report.Pooled.Learned().Savings.Value)
		tuned += report.Pooled.OverTuned.Value / placements
		hindsight += report.Pooled.OverHindsight.Value / placements
		for _, g := range report.Groups {
			name := g.Trace + " " + g.Resource
			if seed == 0 {
				names = append(names, name)
			}
			rates[name] += g.Learned().Violations.Value / placements
		}
	}
	worst := 0.0
	for i, name := range names {
		worst = max(worst, math.Abs(rates[name]/0.01-1))
		names[i] = fmt.Sprintf("%s %.2f %%", name, 100*rates[name])
	}
	o.notes = append(o.notes, fmt.Sprintf("%+.1f points on the best tuned classical estimator (goal +3), %+.1f on the best in hindsight; violations %s, at most %.0f %% off the target of 1 %% (goal 30 %%)",
		100*tuned, 100*hindsight, strings.Join(names, ", "), 100*worst))
	return o, nil
}

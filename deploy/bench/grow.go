package main

import (
	"context"
	"fmt"
	"time"

	"muster/node/sim"
)

// growth are the sizes at which it is looked at how cost grows. The first one is
// what the others are compared with.
var growth = []sim.Growth{
	{Agents: 1000, Frameworks: 1000}, {Agents: 5000, Frameworks: 1000}, {Agents: 10_000, Frameworks: 1000}, {Agents: 50_000, Frameworks: 1000},
	{Agents: 1000, Frameworks: 6000}, {Agents: 50_000, Frameworks: 6000},
}

func growthName(w sim.Growth) string {
	return fmt.Sprintf("%dk agents, %dk frameworks", w.Agents/1000, w.Frameworks/1000)
}

// growthWorkloads are the workloads of the growth rows by name.
func growthWorkloads() map[string]func() (taken, error) {
	out := map[string]func() (taken, error){}
	for _, w := range growth {
		out["events: "+growthName(w)] = func() (taken, error) { return growthEvents(w) }
		out["cycle: "+growthName(w)] = func() (taken, error) {
			return growthCycle(sim.Decline{Agents: w.Agents, Frameworks: w.Frameworks})
		}
	}
	return out
}

// growthEvents says of each kind of event how long it took, in µs, how many
// allocations it made and of how many bytes.
func growthEvents(w sim.Growth) (taken, error) {
	report, err := w.Run()
	if err != nil {
		return taken{}, err
	}
	out := taken{Samples: []float64{float64(report.Memory) / 1e6}}
	for _, e := range report.Events {
		took := make([]float64, len(e.Took))
		for i, d := range e.Took {
			took[i] = float64(d) / float64(time.Microsecond)
		}
		out.Also = append(out.Also, figure{e.Name, []float64{median(took), e.Allocations, e.Bytes}})
	}
	out.Peak, err = peakMemory()
	return out, err
}

// growthCycle says how long the cycle over all agents takes, by agent, in µs.
func growthCycle(w sim.Decline) (taken, error) {
	out, err := decline(w)
	for i := range out.Samples {
		out.Samples[i] *= 1e3 / float64(w.Agents)
	}
	out.Also = nil
	return out, err
}

// growEvents compares how long single events take in the largest cluster with the
// smallest: a sample is the ratio of one kind. A framework that ends has more there,
// and more frameworks are told that an agent is lost: of these two it gives figures
// and no ratio.
func growEvents(ctx context.Context, _ *machine) (outcome, error) {
	var all outcome
	first := map[string]float64{}
	for i, w := range growth {
		t, err := startWorkload(ctx, "events: "+growthName(w))
		if err != nil {
			return outcome{}, err
		}
		note := fmt.Sprintf("%s: heap %s MB, peak %s MB", growthName(w), number(t.Samples[0]), number(t.Peak))
		for _, f := range t.Also {
			note += fmt.Sprintf("; %s %s µs, %s allocations, %s kB", f.Name, number(f.Samples[0]), number(f.Samples[1]), number(f.Samples[2]/1e3))
			if i == 0 {
				first[f.Name] = f.Samples[0]
			}
			if i == len(growth)-1 && f.Name != "framework removed" && f.Name != "agent lost" {
				all.samples = append(all.samples, f.Samples[0]/first[f.Name])
			}
		}
		all.notes = append(all.notes, note)
	}
	return all, nil
}

// growCycle compares what an agent costs in a cycle over the largest cluster with
// what it costs in one over the smallest.
func growCycle(ctx context.Context, _ *machine) (outcome, error) {
	var all outcome
	first := 0.0
	for _, w := range growth {
		t, err := startWorkload(ctx, "cycle: "+growthName(w))
		if err != nil {
			return outcome{}, err
		}
		an := median(t.Samples)
		if first == 0 {
			first = an
		}
		all.samples = []float64{an / first}
		all.notes = append(all.notes, fmt.Sprintf("%s: %s ms, %s µs an agent, peak %s MB",
			growthName(w), number(an*float64(w.Agents)/1e3), number(an), number(t.Peak)))
	}
	return all, nil
}

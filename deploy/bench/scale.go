package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"muster/node/sim"
)

// failover measures a new leader to which 40,000 agents come back.
func failover() (taken, error) {
	w := sim.Failover{Agents: 40_000, Tasks: 10, Frameworks: 100}
	took, err := w.Run()
	if err != nil {
		return taken{}, err
	}
	out := taken{Samples: []float64{took.Seconds()}}
	if out.Peak, err = peakMemory(); err != nil { // of the workload as it is defined
		return taken{}, err
	}
	w.Ended = 100
	if took, err = w.Run(); err != nil {
		return taken{}, err
	}
	out.Also = []figure{{"with 100 ended tasks each", []float64{took.Seconds() * 1e3}}}
	return out, nil
}

// admission measures 10,000 new agents, in agents a second.
func admission() (taken, error) {
	dir, err := os.MkdirTemp("", "muster-bench-")
	if err != nil {
		return taken{}, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), rowPatience)
	defer cancel()
	const agents = 10_000
	took, err := sim.Admission{Agents: agents, Dir: dir}.Run(ctx)
	if err != nil {
		return taken{}, err
	}
	peak, err := peakMemory()
	return taken{Samples: []float64{agents / took.Seconds()}, Peak: peak}, err
}

// state measures reads of the whole state of 40,000 agents with 10 tasks each: the
// slowest format is what the row tells of. The first read of a kind encodes everything
// and is told apart. They are so far apart that none waits for the node to have rested.
func state() (taken, error) {
	s, err := sim.State{Failover: sim.Failover{Agents: 40_000, Tasks: 10, Frameworks: 100}, Every: time.Second}.Start()
	if err != nil {
		return taken{}, err
	}
	const times = 3
	slowest := make([]time.Duration, times)
	var out taken
	for _, r := range sim.Reads {
		f := figure{Name: r.Name}
		for i := range times {
			took, size, err := s.Read(r)
			if err != nil {
				return taken{}, err
			}
			if i == 0 {
				f.Name = fmt.Sprintf("%s (%d MB)", r.Name, size/1e6)
				out.Also = append(out.Also, figure{"first " + r.Name, []float64{took.Seconds() * 1e3}})
			} else {
				f.Samples = append(f.Samples, took.Seconds()*1e3)
			}
			slowest[i] = max(slowest[i], took)
		}
		out.Also = append(out.Also, f)
	}
	for _, d := range slowest {
		out.Samples = append(out.Samples, d.Seconds())
	}
	out.Peak, err = peakMemory()
	return out, err
}

// interference compares the 99th percentiles of how long what is declined takes to be
// offered again: alone, and while somebody reads the state of 10,000 agents in a loop.
func interference() (taken, error) {
	ctx, cancel := context.WithTimeout(context.Background(), rowPatience)
	defer cancel()
	report, err := sim.Interference{Failover: sim.Failover{Agents: 10_000, Tasks: 10, Frameworks: 100}}.Run(ctx)
	if err != nil {
		return taken{}, err
	}
	in := func(list []time.Duration) []float64 {
		out := make([]float64, len(list))
		for i, d := range list {
			out[i] = d.Seconds() * 1e3
		}
		return out
	}
	alone, read := in(report.Alone), in(report.Read)
	peak, err := peakMemory()
	return taken{
		Samples: []float64{quantile(read, 0.99) / quantile(alone, 0.99)}, Peak: peak,
		Also: []figure{
			{"99th percentile alone", []float64{quantile(alone, 0.99)}}, {"with a reader", []float64{quantile(read, 0.99)}},
			{"median alone", []float64{median(alone)}}, {"median with a reader", []float64{median(read)}},
			{"a read", []float64{report.For.Seconds() * 1e3 / float64(max(report.Reads, 1))}},
		},
	}, err
}

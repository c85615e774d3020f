package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"muster/node/sim"
)

// taken is what one run of a workload took. Times are in milliseconds.
type taken struct {
	Samples []float64 // what the row tells of
	Also    []figure
	Peak    float64 // MB
}

type figure struct {
	Name    string
	Samples []float64
}

// workloads of the core. Each run is a process of its own with one core: peaks
// of memory do not mix, and garbage is collected within what is measured.
var workloads = map[string]func() (taken, error){
	"decline-10k-1k":     func() (taken, error) { return decline(sim.Decline{Agents: 10_000, Frameworks: 1000}) },
	"decline-20k-2k":     func() (taken, error) { return decline(sim.Decline{Agents: 20_000, Frameworks: 2000}) },
	"decline-50k-6k":     func() (taken, error) { return decline(sim.Decline{Agents: 50_000, Frameworks: 6000}) },
	"freed-to-offer-10k": func() (taken, error) { return freed(sim.Decline{Agents: 10_000, Frameworks: 1000}, 1000) },
	"quota-3000-cycle":   func() (taken, error) { return quotas(func(r sim.QuotaReport) time.Duration { return r.FullCycle }) },
	"quota-3000-add":     func() (taken, error) { return quotas(func(r sim.QuotaReport) time.Duration { return r.AddFrameworks }) },
	"multiframework":     multiFramework,
	"reregister-40k":     failover,
	"register-10k":       admission,
	"state-40k":          state,
	"read-interference":  interference,
}

// parallel are the workloads of more than the core: they have all of the machine's.
var parallel = []string{"register-10k", "read-interference"}

// decline measures the cycle after each round of declines, and then a round in
// which what is declined is offered to the next at once.
func decline(w sim.Decline) (taken, error) {
	report, err := w.Run()
	if err != nil {
		return taken{}, err
	}
	var out taken
	declines := figure{Name: "all declines"}
	for _, r := range report.Rounds {
		out.Samples = append(out.Samples, r.Cycle.Seconds()*1e3)
		declines.Samples = append(declines.Samples, r.Declines.Seconds()*1e3)
	}
	out.Peak, err = peakMemory() // of the workload as it is defined
	if err != nil {
		return taken{}, err
	}
	again, err := w.Start()
	if err != nil {
		return taken{}, err
	}
	whole, err := again.DeclineAtOnce()
	if err != nil {
		return taken{}, err
	}
	out.Also = []figure{
		{"adding frameworks", []float64{report.AddFrameworks.Seconds() * 1e3}},
		{"adding agents", []float64{report.AddAgents.Seconds() * 1e3}},
		declines,
		{"all declines, each offered again at once", []float64{whole.Seconds() * 1e3}},
	}
	return out, nil
}

// quotas measures one part of the workload in which 3,000 roles have quotas.
func quotas(part func(sim.QuotaReport) time.Duration) (taken, error) {
	r, err := sim.Quota{Small: 2500, Large: 500}.Run()
	if err != nil {
		return taken{}, err
	}
	ms := func(d time.Duration) []float64 { return []float64{d.Seconds() * 1e3} }
	peak, err := peakMemory()
	return taken{Samples: ms(part(r)), Peak: peak, Also: []figure{
		{"adding frameworks", ms(r.AddFrameworks)}, {"setting quotas", ms(r.SetQuotas)},
		{"the cycle that meets all quotas", ms(r.FullCycle)}, {"a cycle with nothing to give", ms(r.EmptyCycle)},
	}}, err
}

// multiFramework measures placements a second until all tasks run.
func multiFramework() (taken, error) {
	r, err := sim.MultiFramework{}.Run()
	if err == nil && r.Tasks < r.Wanted {
		err = fmt.Errorf("%d of %d tasks run", r.Tasks, r.Wanted)
	}
	if err != nil {
		return taken{}, err
	}
	peak, err := peakMemory()
	return taken{Samples: []float64{float64(r.Tasks) / r.Total.Seconds()}, Peak: peak, Also: []figure{
		{"the whole", []float64{r.Total.Seconds() * 1e3}}, {"allocating alone", []float64{r.Allocating.Seconds() * 1e3}},
	}}, err
}

// freed measures single events, after each framework was given time to refuse.
func freed(w sim.Decline, events int) (taken, error) {
	r, err := w.Start()
	if err != nil {
		return taken{}, err
	}
	for range 3 {
		r.Decline()
		if _, err := r.Cycle(); err != nil {
			return taken{}, err
		}
	}
	var out taken
	for i := range events {
		d, err := r.FreeOne(i)
		if err != nil {
			return taken{}, err
		}
		out.Samples = append(out.Samples, d.Seconds()*1e3)
	}
	out.Peak, err = peakMemory()
	return out, err
}

// workload measures a row by runs of one workload.
func workload(name string, runs int) func(context.Context, *machine) (outcome, error) {
	return func(ctx context.Context, _ *machine) (outcome, error) {
		var all outcome
		var peaks []float64
		var names []string
		also := map[string][]float64{}
		for range runs {
			t, err := startWorkload(ctx, name)
			if err != nil {
				return outcome{}, err
			}
			all.samples = append(all.samples, t.Samples...)
			peaks = append(peaks, t.Peak)
			for _, f := range t.Also {
				if also[f.Name] == nil {
					names = append(names, f.Name)
				}
				also[f.Name] = append(also[f.Name], f.Samples...)
			}
		}
		notes := []string{"peak memory " + quantity(median(peaks), "MB")}
		for _, n := range names {
			notes = append(notes, n+" "+quantity(median(also[n]), "ms"))
		}
		if len(all.samples) >= 100 { // single events, not rounds
			notes = append(notes, "99th percentile "+quantity(quantile(all.samples, 0.99), "ms"))
		}
		all.notes = []string{strings.Join(notes, ", ")}
		return all, nil
	}
}

func startWorkload(ctx context.Context, name string) (taken, error) {
	self, err := os.Executable()
	if err != nil {
		return taken{}, err
	}
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, self, "-workload", name)
	if cmd.Env = os.Environ(); !slices.Contains(parallel, name) {
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	}
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return taken{}, fmt.Errorf("workload %s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	var t taken
	if err := json.Unmarshal(out.Bytes(), &t); err != nil {
		return taken{}, fmt.Errorf("workload %s: %w", name, err)
	}
	return t, nil
}

// runWorkload is the process of one run.
func runWorkload(name string) error {
	do := workloads[name]
	if do == nil {
		do = growthWorkloads()[name]
	}
	if do == nil {
		return fmt.Errorf("no workload is named %q", name)
	}
	runtime.LockOSThread()
	t, err := do()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(t)
}

// peakMemory is this process's largest resident memory so far, in MB.
func peakMemory() (float64, error) { return statusMB("/proc/self/status", "VmHWM") }

// statusMB reads one of the kernel's figures, which are in KiB, from a file of
// /proc. A MB is a million bytes, as in the references.
func statusMB(file, key string) (float64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == key+":" {
			kib, err := strconv.ParseFloat(f[1], 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, key)
}

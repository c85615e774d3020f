package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	out := flag.String("o", "bench.json", "file for the results")
	muster := flag.String("muster", "bin/muster", "the program that is measured")
	child := flag.String("workload", "", "run one workload of the core and print what it took (used by this program itself)")
	flag.Usage = help
	flag.Parse()
	if *child != "" {
		return runWorkload(*child)
	}
	chosen, err := choose(rows(), flag.Args())
	if err != nil {
		return err
	}
	program, err := filepath.Abs(*muster)
	if err != nil {
		return err
	}
	m := &machine{muster: program}
	fmt.Fprintln(os.Stderr, m.describe())
	results := measureAll(ctx, m, chosen)
	if len(results) == 0 {
		return context.Cause(ctx) // interrupted before anything was measured
	}
	printTable(os.Stdout, results)
	if err := writeJSON(*out, results); err != nil {
		return err
	}
	if n := failures(results); n > 0 {
		return fmt.Errorf("%d of %d rows failed", n, len(results))
	}
	return context.Cause(ctx)
}

func help() {
	fmt.Fprintln(flag.CommandLine.Output(), "usage: bench [flags] [PATTERN…], such as 'decide/*'; the rows are:")
	for _, r := range rows() {
		fmt.Fprintln(flag.CommandLine.Output(), "  "+r.name)
	}
	flag.PrintDefaults()
}

// choose returns the rows that match any of the patterns, all if there is none.
// One argument may hold several patterns, as make hands them over.
func choose(all []row, args []string) ([]row, error) {
	patterns := strings.Fields(strings.Join(args, " "))
	if len(patterns) == 0 {
		return all, nil
	}
	used := map[string]bool{}
	var out []row
	for _, r := range all {
		fits := false
		for _, p := range patterns {
			ok, err := path.Match(p, r.name)
			if err != nil {
				return nil, fmt.Errorf("pattern %q: %w", p, err)
			}
			if ok {
				fits, used[p] = true, true
			}
		}
		if fits {
			out = append(out, r)
		}
	}
	for _, p := range patterns {
		if !used[p] {
			return nil, fmt.Errorf("no row is named %q", p)
		}
	}
	return out, nil
}

// measureAll measures one row at a time, so that none disturbs another. It stops
// when ctx ends.
func measureAll(ctx context.Context, m *machine, chosen []row) []result {
	var out []result
	for _, r := range chosen {
		if ctx.Err() != nil {
			break
		}
		start := time.Now()
		fmt.Fprintf(os.Stderr, "%-28s ", r.name)
		res := measureOne(ctx, m, r)
		switch {
		case ctx.Err() != nil:
			fmt.Fprintln(os.Stderr, "interrupted")
			return out
		case errors.Is(res.err, errCannot):
			fmt.Fprintln(os.Stderr, "left out:", res.err)
		case res.err != nil:
			fmt.Fprintln(os.Stderr, "FAILED:", res.err)
		default:
			fmt.Fprintf(os.Stderr, "%s (measured in %.0f s)\n", quantity(res.value, r.unit), time.Since(start).Seconds())
		}
		out = append(out, res)
	}
	return out
}

func measureOne(ctx context.Context, m *machine, r row) result {
	if r.root && os.Geteuid() != 0 {
		return result{row: r, err: cannot("it needs root, for containers or eBPF")}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, rowPatience, fmt.Errorf("not done within %v", rowPatience))
	defer cancel()
	o, err := r.measure(ctx, m)
	if err == nil && len(o.samples) == 0 {
		err = errors.New("nothing was measured")
	}
	if err != nil {
		return result{row: r, err: err}
	}
	value := median(o.samples)
	if r.worst {
		value = extreme(o.samples, r.better)
	}
	low, high := bounds(o.samples)
	return result{row: r, value: value, low: low, high: high, runs: len(o.samples), notes: o.notes}
}

// rowPatience bounds one row on a machine that is busy with something else.
const rowPatience = 10 * time.Minute

// errCannot marks rows that this machine, or this user, cannot measure.
var errCannot = errors.New("cannot be measured here")

func cannot(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errCannot, fmt.Sprintf(format, args...))
}

// machine is what is measured, and on what.
type machine struct {
	muster string
	idle   *idleUse // measured once for the rows that tell of it
}

// describe says what the figures depend on.
func (m *machine) describe() string {
	var uts syscall.Utsname
	release := ""
	if syscall.Uname(&uts) == nil {
		for _, c := range uts.Release {
			if c != 0 {
				release += string(rune(c))
			}
		}
	}
	cpus := runtime.NumCPU()
	text := fmt.Sprintf("Linux %s %s, %d CPUs, %s", release, runtime.GOARCH, cpus, runtime.Version())
	var load float64
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return text
	}
	if _, err := fmt.Sscan(string(raw), &load); err != nil {
		return text
	}
	text += fmt.Sprintf(", load %.1f", load)
	if load > float64(cpus)/2 {
		text += ": the machine is busy, these figures are no more than a hint"
	}
	return text
}

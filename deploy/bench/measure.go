package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"muster/deploy/e2e/cluster"
	"muster/offers/mesos"
)

// cpuAccuracy compares what muster says of tasks that have computed for a while
// with what the kernel's own accounting says, once they are at rest.
func cpuAccuracy(ctx context.Context, m *machine) (o outcome, err error) {
	const count = 6
	err = onOneNode(ctx, m, func(d *cluster.Daemon, f *framework) error {
		ids, _, err := f.launch(ctx, tasks{prefix: "spin", n: count, cpus: 1, argv: []string{"/bin/sh", "-c",
			"i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done; exec sleep 100000"}})
		if err != nil {
			return err
		}
		if _, err := f.reach(ctx, mesos.TaskState_TASK_RUNNING, ids...); err != nil {
			return err
		}
		pids, err := running(ctx, d, count)
		if err != nil {
			return err
		}
		if err := cluster.Await(ctx, "the tasks to rest", func() bool { return allSleep(pids) }); err != nil {
			return err
		}
		u, err := readAfter(ctx, d, time.Now(), count)
		if err != nil {
			return err
		}
		if u.Source != "ebpf" {
			return cannot("eBPF is not available, and the kernel's accounting agrees with itself")
		}
		var total float64
		for _, t := range u.Tasks {
			kernel, err := accounted(t.PID)
			if err != nil {
				return err
			}
			total += kernel.Seconds()
			o.samples = append(o.samples, 100*math.Abs(t.CPUSeconds/kernel.Seconds()-1))
		}
		o.notes = []string{fmt.Sprintf("the worst of %d tasks, which used %s each; their median is off by %s", count,
			quantity(total/count, "s"), quantity(median(o.samples), "%"))}
		return nil
	})
	return o, err
}

// allSleep tells whether every task has become the program sleep.
func allSleep(pids map[string]int) bool {
	for _, pid := range pids {
		dir, _, err := cgroup(pid)
		if err != nil || !holds(dir, "sleep") {
			return false
		}
	}
	return true
}

// holds tells whether a program runs in a cgroup.
func holds(dir, program string) bool {
	pids, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return false
	}
	for _, pid := range strings.Fields(string(pids)) {
		name, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		if err == nil && strings.TrimSpace(string(name)) == program {
			return true
		}
	}
	return false
}

// readAfter waits for readings of all tasks that were taken after a time.
func readAfter(ctx context.Context, d *cluster.Daemon, after time.Time, count int) (u usage, err error) {
	err = cluster.Await(ctx, "fresh readings", func() bool {
		u = usage{}
		if err := d.JSON(ctx, "/muster/v1/usage", &u); err != nil {
			return false
		}
		fresh := 0
		for _, t := range u.Tasks {
			if t.At.After(after) {
				fresh++
			}
		}
		return fresh == count
	})
	return u, err
}

// accounted is the CPU time of a process's cgroup by the kernel's accounting.
func accounted(pid int) (time.Duration, error) {
	dir, unified, err := cgroup(pid)
	if err != nil {
		return 0, err
	}
	if !unified {
		text, err := os.ReadFile(filepath.Join(dir, "cpuacct.usage"))
		if err != nil {
			return 0, err
		}
		ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return time.Duration(ns), err
	}
	text, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "usage_usec "); ok {
			us, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return time.Duration(us) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("%s/cpu.stat tells no usage", dir)
}

// cgroup returns the directory that accounts for a process's CPU time, in either
// version of cgroups.
func cgroup(pid int) (dir string, unified bool, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", false, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		if slices.Contains(strings.Split(f[1], ","), "cpuacct") {
			return filepath.Join("/sys/fs/cgroup", "cpuacct", f[2]), false, nil
		}
		if f[0] == "0" {
			dir = filepath.Join("/sys/fs/cgroup", f[2])
		}
	}
	return dir, true, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"muster/deploy/e2e/cluster"
)

// plenty is what each node claims to have, so that all tasks of a row may run at
// once. The tasks of these rows hardly use anything.
const plenty = "cpus:128;mem:131072;disk:65536"

// withCluster runs do with a cluster that is up, and ends it and all it ran.
func withCluster(ctx context.Context, m *machine, nodes int, do func(c *cluster.Cluster) error) (err error) {
	return withClusterOf(ctx, m, cluster.Config{Nodes: nodes, Resources: plenty}, do)
}

// withClusterOf is withCluster with more to say about the nodes.
func withClusterOf(ctx context.Context, m *machine, cfg cluster.Config, do func(c *cluster.Cluster) error) (err error) {
	if _, err := os.Stat(m.muster); err != nil {
		return cannot("the program is not built: run make build (%v)", err)
	}
	dir, err := os.MkdirTemp("", "muster-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg.Muster, cfg.Dir = m.muster, dir
	c, err := cluster.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && !errors.Is(err, errCannot) {
			err = errors.Join(err, c.Logs())
		}
		err = errors.Join(err, c.Stop())
	}()
	return do(c)
}

// withFramework runs do with a framework subscribed at a daemon of the cluster.
func withFramework(ctx context.Context, d *cluster.Daemon, do func(f *framework) error) (err error) {
	f, err := subscribe(ctx, d.API())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	return do(f)
}

// onOneNode is both, with one daemon.
func onOneNode(ctx context.Context, m *machine, do func(d *cluster.Daemon, f *framework) error) error {
	return withCluster(ctx, m, 1, func(c *cluster.Cluster) error {
		return withFramework(ctx, c.Daemons[0], func(f *framework) error { return do(c.Daemons[0], f) })
	})
}

// usage is /muster/v1/usage: the tasks that a node runs and measures.
type usage struct {
	Source string `json:"source"`
	Tasks  []struct {
		TaskID     string    `json:"task_id"`
		PID        int       `json:"pid"`
		At         time.Time `json:"at"`
		CPUSeconds float64   `json:"cpu_seconds"`
	} `json:"tasks"`
}

// processes returns the PIDs of a daemon's running tasks, by task.
func processes(ctx context.Context, d *cluster.Daemon) (map[string]int, error) {
	var u usage
	if err := d.JSON(ctx, "/muster/v1/usage", &u); err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, t := range u.Tasks {
		out[t.TaskID] = t.PID
	}
	return out, nil
}

// running waits until a daemon runs n tasks, and returns their PIDs.
func running(ctx context.Context, d *cluster.Daemon, n int) (pids map[string]int, err error) {
	err = cluster.Await(ctx, fmt.Sprintf("%d tasks that run and are measured", n), func() bool {
		pids, err = processes(ctx, d)
		return err == nil && len(pids) == n
	})
	return pids, err
}

// clock is the unit of CPU time in /proc, by the ABI of all architectures of ours.
const clock = 10 * time.Millisecond

// cpuTime is what a process has used, and its ended children if asked for.
func cpuTime(pid int, children bool) (time.Duration, error) {
	f, err := stat(pid)
	if err != nil {
		return 0, err
	}
	fields := f[11:13] // utime and stime, see proc_pid_stat(5)
	if children {
		fields = f[11:15] // and those of the children
	}
	var total time.Duration
	for _, s := range fields {
		ticks, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(ticks) * clock
	}
	return total, nil
}

func parent(pid int) (int, error) {
	f, err := stat(pid)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(f[1])
}

// stat returns the fields of /proc/PID/stat from the state on.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The name before them may hold anything, also parentheses.
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(f) < 15 {
		return nil, fmt.Errorf("/proc/%d/stat: %q", pid, text)
	}
	return f, nil
}

// pause waits for the system to come to rest, or to be idle for a while.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

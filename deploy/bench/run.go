package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"muster/deploy/e2e/cluster"
	"muster/offers/mesos"
)

// acceptToRunning starts one task at a time on an idle node.
func acceptToRunning(ctx context.Context, m *machine) (o outcome, err error) {
	const launches, warm = 30, 3
	err = onOneNode(ctx, m, func(_ *cluster.Daemon, f *framework) error {
		for i := range warm + launches {
			ids, begin, err := f.launch(ctx, sleeping(fmt.Sprintf("one%d", i), 1))
			if err != nil {
				return err
			}
			at, err := f.reach(ctx, mesos.TaskState_TASK_RUNNING, ids...)
			if err != nil {
				return err
			}
			if i >= warm {
				o.samples = append(o.samples, ms(at.Sub(begin)))
			}
			if err := f.kill(ctx, ids...); err != nil {
				return err
			}
		}
		o.notes = []string{"95th percentile " + quantity(quantile(o.samples, 0.95), "ms")}
		return nil
	})
	return o, err
}

// sleeping are tasks that run until they are killed.
func sleeping(prefix string, n int) tasks {
	return tasks{prefix: prefix, n: n, argv: []string{"/bin/sleep", "100000"}}
}

// tasks1000 submits all tasks with one call and waits for the end of the last.
func tasks1000(ctx context.Context, m *machine) (o outcome, err error) {
	const count, runs = 1000, 3
	err = onOneNode(ctx, m, func(d *cluster.Daemon, f *framework) error {
		var costs []float64
		for i := range runs {
			before, err := cpuTime(d.PID(), true)
			if err != nil {
				return err
			}
			ids, begin, err := f.launch(ctx, tasks{prefix: fmt.Sprintf("many%d", i), n: count, argv: []string{"/bin/true"}})
			if err != nil {
				return err
			}
			at, err := f.reach(ctx, mesos.TaskState_TASK_FINISHED, ids...)
			if err != nil {
				return err
			}
			after, err := cpuTime(d.PID(), true)
			if err != nil {
				return err
			}
			o.samples = append(o.samples, count/at.Sub(begin).Seconds())
			costs = append(costs, ms(after-before)/count)
		}
		o.notes = []string{"CPU time of daemon, shim and container " + quantity(median(costs), "ms a task")}
		return nil
	})
	return o, err
}

// memoryPerTask reads what belongs alone to the processes that stay beside a
// task: the shim, and the container's init if it is of the same program.
func memoryPerTask(ctx context.Context, m *machine) (o outcome, err error) {
	const count = 20
	err = onOneNode(ctx, m, func(d *cluster.Daemon, f *framework) error {
		ids, _, err := f.launch(ctx, sleeping("stay", count))
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
		var shares []float64
		for _, pid := range pids {
			beside, err := beside(d, pid)
			if err != nil {
				return err
			}
			private, share, err := memory(beside)
			if err != nil {
				return err
			}
			o.samples, shares = append(o.samples, private), append(shares, share)
		}
		o.notes = []string{"with its share of the program, which all have in common, " + quantity(median(shares), "MB")}
		return nil
	})
	return o, err
}

// beside returns the processes beside a task, of which first is the parent or
// the task's own.
func beside(d *cluster.Daemon, first int) ([]int, error) {
	shim, err := parent(first)
	if err != nil {
		return nil, err
	}
	if shim <= 1 || shim == d.PID() {
		return nil, fmt.Errorf("the parent of process %d is no shim but process %d", first, shim)
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", shim))
	if err != nil {
		return nil, err
	}
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", first))
	if err != nil || own != program {
		return []int{shim}, err
	}
	return []int{shim, first}, nil
}

// memory sums what is private to processes, and their shares of all they have, in MB.
func memory(pids []int) (private, share float64, err error) {
	for _, pid := range pids {
		file := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
		var figures [3]float64
		for i, key := range []string{"Private_Clean", "Private_Dirty", "Pss"} {
			if figures[i], err = statusMB(file, key); err != nil {
				return 0, 0, err
			}
		}
		private, share = private+figures[0]+figures[1], share+figures[2]
	}
	return private, share, nil
}

// commandLine runs a read command against an idle node.
func commandLine(ctx context.Context, m *machine) (o outcome, err error) {
	const runs, warm = 20, 2
	err = withCluster(ctx, m, 1, func(c *cluster.Cluster) error {
		var nothing []float64
		for i := range warm + runs {
			read, err := timed(ctx, m.muster, "nodes", "--api", c.Daemons[0].API())
			if err != nil {
				return err
			}
			start, err := timed(ctx, m.muster, "version")
			if err != nil {
				return err
			}
			if i >= warm {
				o.samples, nothing = append(o.samples, ms(read)), append(nothing, ms(start))
			}
		}
		o.notes = []string{"`muster version`, which asks nobody, " + quantity(median(nothing), "ms")}
		return nil
	})
	return o, err
}

// timed runs a program to its end.
func timed(ctx context.Context, program string, args ...string) (time.Duration, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = &stderr
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return time.Since(begin), nil
}

// idleUse is what the daemons of an idle cluster use.
type idleUse struct {
	rss, cpu []float64 // MB, percent of a core
	err      error
}

const (
	idleNodes  = 3
	idleSettle = 15 * time.Second // after the start
	idleWindow = 30 * time.Second
)

// idling measures it once for both rows.
func (m *machine) idling(ctx context.Context) (*idleUse, error) {
	if m.idle == nil {
		u := &idleUse{}
		u.err = withCluster(ctx, m, idleNodes, func(c *cluster.Cluster) error { return u.watch(ctx, c) })
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		m.idle = u
	}
	return m.idle, m.idle.err
}

func (u *idleUse) watch(ctx context.Context, c *cluster.Cluster) error {
	if err := pause(ctx, idleSettle); err != nil {
		return err
	}
	before, begin := make([]time.Duration, len(c.Daemons)), time.Now()
	var err error
	for i, d := range c.Daemons {
		if before[i], err = cpuTime(d.PID(), false); err != nil {
			return err
		}
	}
	if err := pause(ctx, idleWindow); err != nil {
		return err
	}
	for i, d := range c.Daemons {
		after, err := cpuTime(d.PID(), false)
		if err != nil {
			return err
		}
		u.cpu = append(u.cpu, 100*(after-before[i]).Seconds()/time.Since(begin).Seconds())
		rss, err := statusMB(fmt.Sprintf("/proc/%d/status", d.PID()), "VmRSS")
		if err != nil {
			return err
		}
		u.rss = append(u.rss, rss)
	}
	return nil
}

func idleRSS(ctx context.Context, m *machine) (outcome, error) {
	u, err := m.idling(ctx)
	if err != nil {
		return outcome{}, err
	}
	return outcome{samples: u.rss, notes: []string{fmt.Sprintf("the worst of three daemons; the median has %s", quantity(median(u.rss), "MB"))}}, nil
}

func idleCPU(ctx context.Context, m *machine) (outcome, error) {
	u, err := m.idling(ctx)
	if err != nil {
		return outcome{}, err
	}
	return outcome{samples: u.cpu, notes: []string{fmt.Sprintf("the worst of three daemons, over %v; the median uses %s", idleWindow, quantity(median(u.cpu), "%"))}}, nil
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }

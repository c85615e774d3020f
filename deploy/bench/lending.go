package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"muster/deploy/e2e/cluster"
	"muster/offers/mesos"
)

const (
	p99Rounds = 3               // more would wait for minutes: who has disturbed again and again is lent nothing for longer each time
	p99Window = 2 * time.Second // 10,000 requests or so: short, so that the two of a pair meet the same machine
	p99Tries  = 40              // until the server is alone
	quiet     = .1              // of the server's CPU is what all else may use while it is alone
)

// p99Ratio is what revocable tasks cost a server that has reserved most of the
// machine: the 99th percentile of its answers beside them, against alone. The
// server is nginx on the first CPU, which compresses a page for each request of
// wrk, which has the second before all others, so that it measures and does not
// wait. The batch is two busy loops for each CPU.
func p99Ratio(ctx context.Context, m *machine) (o outcome, err error) {
	for _, tool := range []string{"nginx", "wrk", "taskset", "chrt"} {
		if _, err := exec.LookPath(tool); err != nil {
			return o, cannot("%s is missing: run deploy/deps.sh bench", tool)
		}
	}
	cpus := runtime.NumCPU()
	if cpus < 2 {
		return o, cannot("one CPU is too few: the server and its load need one each")
	}
	has := func(n int) string { return fmt.Sprintf("cpus:%d;mem:2048;disk:1024", n) }
	managed := cluster.Config{Resources: has(cpus), Args: []string{"--oversubscription", "on", "--oversubscription-estimator", "share",
		"--oversubscription-step", "1s", "--oversubscription-horizon", "10s", "--oversubscription-warm", "2s",
		"--oversubscribed-resources-interval", "1s", "--oversubscription-system-cpus", "0"}}
	lent, err := m.beside(ctx, managed, true)
	if err != nil {
		return o, err
	}
	// A node that claims twice what it has takes the same batch as tasks like any other.
	blind, err := m.beside(ctx, cluster.Config{Resources: has(2 * cpus)}, false)
	if err != nil {
		return o, err
	}
	o.samples = lent.ratios
	o.notes = append([]string{
		fmt.Sprintf("p99 alone %s, beside revocable tasks %s; beside the same as ordinary tasks %s, alone then %s: %s×",
			quantity(median(lent.alone), "ms"), quantity(median(lent.beside), "ms"), quantity(median(blind.beside), "ms"), quantity(median(blind.alone), "ms"), number(median(blind.ratios))),
		fmt.Sprintf("tasks keep %s of the CPUs busy alone, %s with revocable ones, %s with ordinary ones",
			quantity(100*median(lent.useAlone), "%"), quantity(100*median(lent.use), "%"), quantity(100*median(blind.use), "%")),
	}, lent.reactions...)
	return o, nil
}

// neighbours is what was seen of a server with and without batch tasks beside it.
type neighbours struct {
	alone, beside, ratios []float64 // ms, ms, and each pair's
	useAlone, use         []float64 // share of all CPUs that tasks kept busy
	reactions             []string
}

func (m *machine) beside(ctx context.Context, cfg cluster.Config, lent bool) (n neighbours, err error) {
	err = withClusterOf(ctx, m, cfg, func(c *cluster.Cluster) error {
		d := c.Daemons[0]
		return withFramework(ctx, d, func(owner *framework) error { return n.measure(ctx, d, owner, lent) })
	})
	return n, err
}

func (n *neighbours) measure(ctx context.Context, d *cluster.Daemon, owner *framework, lent bool) (err error) {
	cpus := float64(runtime.NumCPU())
	server, _, err := owner.launch(ctx, tasks{prefix: "server", n: 1, cpus: .8 * cpus, argv: []string{"/bin/sh", "-c", nginx(d.IP)}})
	if err != nil {
		return err
	}
	if _, err := owner.reach(ctx, mesos.TaskState_TASK_RUNNING, server...); err != nil {
		return err
	}
	restore, err := cluster.Outweigh()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	batch, err := subscribe(ctx, d.API(), mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, batch.close()) }()
	loops := strings.Repeat("while :; do :; done & ", 2*runtime.NumCPU()) + "wait"
	for i := range p99Rounds {
		alone, err := quietLoad(ctx, d)
		if err != nil {
			return err
		}
		n.alone, n.useAlone = append(n.alone, alone.p99), append(n.useAlone, alone.use)
		ids, _, err := batch.launch(ctx, tasks{prefix: fmt.Sprintf("batch%d", i), n: 1, cpus: .3 * cpus, lent: lent, argv: []string{"/bin/sh", "-c", loops}})
		if err != nil {
			return err
		}
		began, err := batch.reach(ctx, mesos.TaskState_TASK_RUNNING, ids...)
		if err != nil {
			return err
		}
		beside, err := load(ctx, d, 2)
		if err != nil {
			return err
		}
		n.beside, n.use, n.ratios = append(n.beside, beside.p99), append(n.use, beside.use), append(n.ratios, beside.p99/alone.p99)
		if err := n.corrected(ctx, d, began); err != nil {
			return err
		}
		if err := batch.kill(ctx, ids...); err != nil {
			return err
		}
	}
	return nil
}

// corrected notes what was done to revocable tasks since they began, and when.
func (n *neighbours) corrected(ctx context.Context, d *cluster.Daemon, began time.Time) error {
	var v struct {
		Corrections []struct {
			Time   time.Time
			Action string
			Reason string
		}
	}
	if err := d.JSON(ctx, "/muster/v1/oversubscription", &v); err != nil {
		return err
	}
	for _, c := range v.Corrections {
		if c.Time.After(began) {
			n.reactions = append(n.reactions, fmt.Sprintf("%s after %s: %s", c.Action, c.Time.Sub(began).Round(10*time.Millisecond), c.Reason))
		}
	}
	return nil
}

// nginx starts the server in its sandbox.
func nginx(ip string) string {
	conf := `daemon off; master_process off; user root; pid nginx.pid; error_log stderr; events {}
http { access_log off; gzip on; gzip_min_length 1; gzip_types text/plain; default_type text/plain;
client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; scgi_temp_path t; uwsgi_temp_path t;
server { listen ` + ip + `:8080; root .; } }`
	return `printf %s '` + conf + `' > nginx.conf; i=0; while [ $i -lt 150 ]; do echo "$i: a line of forty letters, compressed each"; i=$((i+1)); done > page;
exec taskset -c 0 nginx -p . -c nginx.conf`
}

var percentile99 = regexp.MustCompile(`(?m)^\s*99%\s+([\d.]+)(us|ms|s)$`)

// quietLoad is load while the server is alone, which may take some tries.
func quietLoad(ctx context.Context, d *cluster.Daemon) (w window, err error) {
	for range p99Tries {
		if w, err = load(ctx, d, 1); err != nil || w.strangers <= quiet {
			return w, err
		}
	}
	return w, cannot("in %d windows of %s the server was never alone: what is no task kept %s of its CPU busy", p99Tries, p99Window, quantity(100*w.strangers, "%"))
}

// window is what was seen while wrk asked the server.
type window struct {
	p99       float64 // ms
	use       float64 // share of all CPUs that the tasks kept busy
	strangers float64 // share of the first CPU that the tasks did not keep busy, but something did; while the server is the only one
}

// load has wrk ask the server: 16 clients that each think for 2.5 ms on average.
// So many tasks run.
func load(ctx context.Context, d *cluster.Daemon, count int) (w window, err error) {
	dir, err := os.MkdirTemp("", "muster-bench-")
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	think := filepath.Join(dir, "think.lua")
	if err := os.WriteFile(think, []byte("function delay() return math.random(0, 5) end\n"), 0o644); err != nil {
		return w, err
	}
	pids, err := running(ctx, d, count)
	if err != nil {
		return w, err
	}
	tasks, err1 := allAccounted(pids)
	all, err2 := busy()
	begin := time.Now()
	if err := errors.Join(err1, err2); err != nil {
		return w, err
	}
	wrk := exec.CommandContext(ctx, "taskset", "-c", "1", "chrt", "-f", "1", "wrk", "-t1", "-c16", "-d", strconv.Itoa(int(p99Window.Seconds())), "--latency",
		"-H", "Accept-Encoding: gzip", "-s", think, "http://"+d.IP+":8080/page")
	out, err := wrk.CombinedOutput()
	if err != nil {
		return w, fmt.Errorf("wrk: %w:\n%s", err, out)
	}
	tasksAfter, err1 := allAccounted(pids)
	allAfter, err2 := busy()
	if err := errors.Join(err1, err2); err != nil {
		return w, err
	}
	took, used := time.Since(begin).Seconds(), (tasksAfter - tasks).Seconds()
	w.use = used / took / float64(runtime.NumCPU())
	w.strangers = max(0, (allAfter-all).Seconds()-used) / took
	w.p99, err = slowest(string(out))
	return w, err
}

// busy is how long the first CPU has worked: see proc_stat(5).
func busy() (sum time.Duration, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	_, line, _ := strings.Cut(string(text), "\ncpu0 ")
	f := strings.Fields(line)
	if len(f) < 7 {
		return 0, fmt.Errorf("/proc/stat: no line cpu0")
	}
	for _, i := range []int{0, 1, 2, 5, 6} { // user, nice, system, irq, softirq; neither idle nor waiting for disks
		ticks, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += time.Duration(ticks) * clock
	}
	return sum, nil
}

// slowest reads the 99th percentile, in ms, from what wrk printed.
func slowest(text string) (float64, error) {
	found := percentile99.FindStringSubmatch(text)
	if found == nil || strings.Contains(text, "Non-2xx") || strings.Contains(text, "Socket errors") {
		return 0, fmt.Errorf("wrk was not answered all it asked:\n%s", text)
	}
	v, err := strconv.ParseFloat(found[1], 64)
	return v * map[string]float64{"us": 1e-3, "ms": 1, "s": 1e3}[found[2]], err
}

// allAccounted sums the CPU time of tasks.
func allAccounted(pids map[string]int) (sum time.Duration, err error) {
	for _, pid := range pids {
		used, err := accounted(pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

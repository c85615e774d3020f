package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"muster/telemetry"
)

// Group is the cgroup of one container in every hierarchy it belongs to.
type Group struct {
	unified string // directory on cgroup2; holds controllers only if v2
	cpu     string // throttling: v1 cpu, or unified
	cpuacct string // v1 only
	memory  string
	io      string // v1 blkio, or unified
	pids    string
	v2      bool // the controllers are those of cgroup v2
}

// Open finds the files of c. ErrVanished if none of its directories exist.
func Open(c telemetry.Container) (*Group, error) {
	there := map[string]string{}
	for controller, dir := range c.Cgroups {
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			there[controller] = dir
		}
	}
	if len(there) == 0 {
		return nil, telemetry.ErrVanished
	}
	g := &Group{unified: there[""]}
	if g.unified != "" && len(there) == 1 {
		g.v2 = true
		g.cpu, g.memory, g.io, g.pids = g.unified, g.unified, g.unified, g.unified
		return g, nil
	}
	g.cpu, g.cpuacct, g.memory = there["cpu"], there["cpuacct"], there["memory"]
	g.io, g.pids = there["blkio"], there["pids"]
	return g, nil
}

// Unified is the container's directory on cgroup2, "" if there is none.
func (g *Group) Unified() string { return g.unified }

// Read fills in what the files tell and leaves the rest of s alone. A missing
// controller leaves its figures at 0. ErrVanished if the container is gone.
func (g *Group) Read(s *telemetry.Sample) error {
	if err := g.alive(); err != nil {
		return err
	}
	g.readUse(s)
	if g.v2 {
		g.readMemory2(s)
		g.readIO2(s)
	} else {
		g.readMemory1(s)
		g.readIO1(s)
	}
	if n, ok := number(g.pids, "pids.current"); ok {
		s.Processes = n
	} else {
		s.Processes = g.countProcesses()
	}
	return nil
}

// readUse fills in CPU time and throttling.
func (g *Group) readUse(s *telemetry.Sample) {
	stat := g.readCPU(s)
	if g.cpu != g.unified {
		stat = keyed(g.cpu, "cpu.stat")
	}
	g.readThrottling(stat, s)
}

func (g *Group) alive() error {
	for _, dir := range []string{g.unified, g.cpu, g.cpuacct, g.memory, g.pids, g.io} {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return telemetry.ErrVanished
		}
		return nil
	}
	return telemetry.ErrVanished
}

// CPU is the CPU time since the cgroup was made, as the kernel accounts it.
func (g *Group) CPU() time.Duration {
	var s telemetry.Sample
	g.readCPU(&s)
	return s.CPU
}

// readCPU returns also what it read in cpu.stat of cgroup2, which has the CPU
// time even where no controller is enabled.
func (g *Group) readCPU(s *telemetry.Sample) map[string]uint64 {
	stat := keyed(g.unified, "cpu.stat")
	if _, ok := stat["usage_usec"]; ok {
		s.CPU, s.CPUUser, s.CPUSys = micros(stat["usage_usec"]), micros(stat["user_usec"]), micros(stat["system_usec"])
		return stat
	}
	total, _ := number(g.cpuacct, "cpuacct.usage") // ns
	user, _ := number(g.cpuacct, "cpuacct.usage_user")
	sys, _ := number(g.cpuacct, "cpuacct.usage_sys")
	s.CPU, s.CPUUser, s.CPUSys = time.Duration(total), time.Duration(user), time.Duration(sys)
	return stat
}

func (g *Group) readThrottling(stat map[string]uint64, s *telemetry.Sample) {
	s.Periods, s.ThrottledPeriods = stat["nr_periods"], stat["nr_throttled"]
	if g.v2 {
		s.Throttled = micros(stat["throttled_usec"])
	} else {
		s.Throttled = time.Duration(stat["throttled_time"])
	}
}

func (g *Group) countProcesses() uint64 {
	for _, dir := range []string{g.unified, g.memory, g.cpu} {
		if text := read(dir, "cgroup.procs"); text != "" {
			return uint64(strings.Count(text, "\n"))
		}
	}
	return 0
}

func micros(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }

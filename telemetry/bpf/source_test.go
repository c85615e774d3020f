package bpf

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"muster/telemetry"
	"muster/telemetry/cgroup"
)

func add(t testing.TB, s telemetry.Source, c telemetry.Container) {
	t.Helper()
	if err := s.Add(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Remove(c.ID) })
}

func one(t testing.TB, s telemetry.Final, id string) telemetry.Sample {
	t.Helper()
	sample, ok := s.ReadOne(id)
	if !ok {
		t.Fatalf("%s is not measured", id)
	}
	return sample
}

// kernelCPU is the kernel's own account of a cgroup, in ns.
func (b *box) kernelCPU() time.Duration {
	b.t.Helper()
	if dir := b.Cgroups["cpuacct"]; dir != "" {
		text, err := os.ReadFile(filepath.Join(dir, "cpuacct.usage"))
		if err != nil {
			b.t.Fatal(err)
		}
		ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			b.t.Fatal(err)
		}
		return time.Duration(ns)
	}
	text, err := os.ReadFile(filepath.Join(b.Cgroups[""], "cpu.stat"))
	if err != nil {
		b.t.Fatal(err)
	}
	var us int64
	if _, err := fmt.Sscanf(string(text), "usage_usec %d", &us); err != nil {
		b.t.Fatal(err)
	}
	return time.Duration(us) * time.Microsecond
}

func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	off := got/want - 1
	t.Logf("%s: %.4g, expected %.4g (%+.3f %%)", what, got, want, 100*off)
	if math.IsNaN(off) || math.Abs(off) > tolerance {
		t.Errorf("%s: %v, expected %v (%+.2f %%)", what, got, want, 100*off)
	}
}

// sameCPU compares with what account tells before and after: a worker that
// sleeps may still wake for a moment.
func sameCPU(t testing.TB, s *Source, id string, account func() time.Duration) {
	t.Helper()
	before := account()
	got := one(t, s, id).CPU
	after := account()
	near(t, "cpu time", got.Seconds(), max(before, min(got, after)).Seconds(), .005)
}

func TestCPUTimeIsWhatTheKernelAccounts(t *testing.T) {
	s := opened(t)
	for _, workers := range []int{1, 2, 6} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			b := newBox(t, "cpu")
			var ps []*process
			for range workers {
				ps = append(ps, b.start("spin 300"))
			}
			add(t, s, b.Container)
			for _, p := range ps {
				p.begin()
			}
			for _, p := range ps {
				p.line()
			}
			sameCPU(t, s, "cpu", b.kernelCPU)
			got := one(t, s, "cpu")
			for _, p := range ps {
				p.done()
			}
			// No tick may have found a spinning worker in the kernel: its system time may be 0.
			if got.CPUUser+got.CPUSys != got.CPU || got.CPUUser <= 0 || got.CPUSys < 0 {
				t.Errorf("user %v and system %v of %v", got.CPUUser, got.CPUSys, got.CPU)
			}
		})
	}
}

func TestCPUTimeOfARunningTaskIsNotLate(t *testing.T) {
	s := opened(t)
	b := newBox(t, "running")
	p := b.start("spin 60000")
	add(t, s, b.Container)
	p.begin()
	defer p.end()
	defer p.cmd.Process.Kill()
	for b.kernelCPU() < 200*time.Millisecond {
	}
	// Both are up to date as of the last tick of the clock.
	before := b.kernelCPU()
	got := one(t, s, "running").CPU
	after := b.kernelCPU()
	if slack := 10 * time.Millisecond; got < before-slack || got > after+slack {
		t.Errorf("cpu time %v, the kernel says %v to %v", got, before, after)
	}
}

func TestCPUTimeBeforeAddCounts(t *testing.T) {
	s := opened(t)
	b := newBox(t, "before")
	p, q := b.start("spin 200"), b.start("spin 200")
	p.begin().line()
	q.begin()
	add(t, s, b.Container) // in the middle of q's work
	q.line()
	sameCPU(t, s, "before", b.kernelCPU)
	p.done()
	q.done()
}

func TestRunQueueShowsContention(t *testing.T) {
	s := opened(t)
	b := newBox(t, "contended")
	var ps []*process
	for range 3 {
		ps = append(ps, b.start("spin 200"))
	}
	add(t, s, b.Container)
	var want time.Duration
	for _, p := range ps {
		waited, _ := p.schedstat()
		want -= waited
		p.begin()
	}
	for _, p := range ps {
		p.line()
	}
	got := one(t, s, "contended")
	for _, p := range ps {
		waited, _ := p.schedstat()
		want += waited
		p.done()
	}
	t.Logf("delays %v", got.Delays)
	near(t, "run-queue delay", got.RunQueue.Seconds(), want.Seconds(), .02)
	var long uint64
	for _, n := range got.Delays[telemetry.DelayBucket(2*time.Millisecond):] {
		long += n
	}
	if long == 0 {
		t.Error("no wait of milliseconds was seen")
	}
}

func TestSwitchesAreCounted(t *testing.T) {
	s := opened(t)
	b := newBox(t, "switches")
	p := b.start("pingpong 5000")
	add(t, s, b.Container)
	_, before := p.schedstat()
	p.begin().line()
	got := one(t, s, "switches")
	_, after := p.schedstat()
	p.done()
	near(t, "switches", float64(got.Switches), float64(after-before), .02)
}

func TestFaultsAndMemoryShow(t *testing.T) {
	s := opened(t)
	b := newBox(t, "faults")
	p := b.start("touch 64")
	add(t, s, b.Container)
	p.begin().line()
	got := one(t, s, "faults")
	pages := uint64(64<<20) / uint64(os.Getpagesize())
	if got.MinorFlt < pages || got.MinorFlt > pages+pages/4 {
		t.Errorf("%d faults, touched %d pages", got.MinorFlt, pages)
	}
	if got.MemTotal < 64<<20 || got.MemRSS < 64<<20 || got.MemWorkingSet < 64<<20 || got.MemTotal > 128<<20 {
		t.Errorf("memory: %d total, %d rss, %d working set", got.MemTotal, got.MemRSS, got.MemWorkingSet)
	}
	if got.Processes == 0 {
		t.Error("no process was seen")
	}
	p.done()
}

func TestBlockIOIsCounted(t *testing.T) {
	s := opened(t)
	b := newBox(t, "disk")
	needDisk(t, "/var/tmp")
	dir, err := os.MkdirTemp("/var/tmp", "muster-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := b.start("disk 16 " + filepath.Join(dir, "file"))
	add(t, s, b.Container)
	p.begin().line()
	p.done()
	got := one(t, s, "disk")
	near(t, "written", float64(got.WriteBytes), 16<<20, .1)
	near(t, "read", float64(got.ReadBytes), 16<<20, .2)
}

// needDisk skips where dir lies in memory.
func needDisk(t *testing.T, dir string) {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC {
		t.Skip("needs a disk")
	}
}

func TestNetworkTrafficIsCounted(t *testing.T) {
	s := opened(t)
	b := newBox(t, "net")
	p := b.start("net 16")
	add(t, s, b.Container)
	p.begin().line()
	p.done()
	got := one(t, s, "net")
	t.Logf("sent %d in %d packets, received %d in %d", got.TxBytes, got.TxPackets, got.RxBytes, got.RxPackets)
	near(t, "sent", float64(got.TxBytes), 16<<20, .05)
	near(t, "received", float64(got.RxBytes), 16<<20, .05)
	if got.RxPackets == 0 || got.TxPackets == 0 {
		t.Error("no packets were seen")
	}
}

func TestOOMKillIsCounted(t *testing.T) {
	s := opened(t)
	b := newBox(t, "oom")
	limit, swap := "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
	dir := b.Cgroups["memory"]
	if b.v2() {
		limit, swap, dir = "memory.max", "memory.swap.max", b.Cgroups[""]
	}
	if err := os.WriteFile(filepath.Join(dir, limit), []byte("33554432"), 0); err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(filepath.Join(dir, swap), []byte("33554432"), 0) // where there is swap
	p := b.start("touch 256")
	add(t, s, b.Container)
	p.begin()
	if st := p.end(); !st.Signaled() {
		t.Fatalf("the worker was not killed: %v", p.cmd.ProcessState)
	}
	got := one(t, s, "oom")
	if got.OOMKills != 1 || got.MemLimit != 32<<20 {
		t.Errorf("%d oom kills at a limit of %d", got.OOMKills, got.MemLimit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	counted, err := s.reader.one(s.all["oom"].key)
	if err != nil {
		t.Fatal(err)
	}
	if s.p.oom && counted.OOMKills != 1 {
		t.Errorf("the program counted %d oom kills", counted.OOMKills)
	}
}

func TestNestedCgroupsCountForTheirContainer(t *testing.T) {
	s := opened(t)
	b := newBox(t, "nested")
	inner := filepath.Join(b.Cgroups[""], "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(inner); os.Remove(filepath.Dir(inner)) })
	p, q := b.start("spin 200", inner), b.start("net 4", inner)
	add(t, s, b.Container)
	p.begin().line()
	q.begin().line()
	sameCPU(t, s, "nested", b.kernelCPU)
	near(t, "sent", float64(one(t, s, "nested").TxBytes), 4<<20, .05)
	p.done()
	q.done()
}

func TestSourcesDoNotDisturbEachOther(t *testing.T) {
	s1, s2 := opened(t), opened(t)
	b1, b2 := newBox(t, "first"), newBox(t, "second")
	p1, p2 := b1.start("spin 150"), b2.start("spin 300")
	add(t, s1, b1.Container)
	add(t, s2, b2.Container)
	p1.begin().line()
	sameCPU(t, s1, "first", b1.kernelCPU)
	if err := s1.Close(); err != nil {
		t.Fatal(err)
	}
	p2.begin().line()
	sameCPU(t, s2, "second", b2.kernelCPU)
	p1.done()
	p2.done()
	if _, ok := s2.ReadOne("first"); ok {
		t.Error("one source tells of the other's container")
	}
}

func TestFilesTellTheSameCPUTime(t *testing.T) {
	s, files := opened(t), cgroup.New()
	b := newBox(t, "both")
	p := b.start("spin 300")
	add(t, s, b.Container)
	add(t, files, b.Container)
	p.begin().line()
	sameCPU(t, s, "both", func() time.Duration { return one(t, files, "both").CPU })
	p.done()
}

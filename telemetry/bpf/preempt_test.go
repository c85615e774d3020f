package bpf

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pin has a worker run on the first CPU alone. It has not begun and has no more
// threads than it will have.
func (p *process) pin() *process {
	p.t.Helper()
	var first unix.CPUSet
	first.Set(0)
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		p.t.Fatal("worker has gone")
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err == nil {
			err = unix.SchedSetaffinity(tid, &first)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return p
}

// contended runs workers on one CPU and returns which share of its waits the
// container waited for others, and which share of the CPU it had meanwhile.
func contended(t *testing.T, s *Source, id string, starts ...func() *process) (others, had float64) {
	t.Helper()
	var ps []*process
	for _, start := range starts {
		ps = append(ps, start().pin())
	}
	before := one(t, s, id)
	for _, p := range ps {
		p.begin()
	}
	for _, p := range ps {
		p.line()
	}
	after := one(t, s, id)
	for _, p := range ps {
		p.done()
	}
	return (after.Preempted - before.Preempted).Seconds() / (after.RunQueue - before.RunQueue).Seconds(),
		(after.CPU - before.CPU).Seconds() / after.At.Sub(before.At).Seconds()
}

// tellApart wants waits for others to be seen, and its own not to be: as far as
// the rest of the machine leaves it the CPU, for it has its part in both.
func tellApart(t *testing.T, own, had, foreign float64) {
	t.Helper()
	t.Logf("waits for others: %.2f of all beside its own, with %.2f of the CPU; %.2f beside another container", own, had, foreign)
	if foreign < .75 || own >= foreign || had > .8 && own > .4 {
		t.Errorf("waits for others: %.2f of all beside its own, with %.2f of the CPU; %.2f beside another container", own, had, foreign)
	}
}

// TestWaitingForOthersIsToldFromWaitingForOnesOwn: beside whatever else the
// machine does, most waits of threads that share a container are its own doing,
// and all waits of two containers on one CPU are the other's.
func TestWaitingForOthersIsToldFromWaitingForOnesOwn(t *testing.T) {
	s := opened(t)
	a, b := newBox(t, "a"), newBox(t, "b")
	add(t, s, a.Container)
	add(t, s, b.Container)
	ours, theirs := func() *process { return a.start("spin 300") }, func() *process { return b.start("spin 300") }
	own, had := contended(t, s, "a", ours, ours, ours, ours, ours, ours)
	foreign, _ := contended(t, s, "a", ours, theirs, theirs)
	tellApart(t, own, had, foreign)
}

// TestNestedCgroupIsNoOther: a container's threads in a cgroup below its own
// take the CPU from its other threads.
func TestNestedCgroupIsNoOther(t *testing.T) {
	s := opened(t)
	a, b := newBox(t, "outer"), newBox(t, "beside")
	nested := filepath.Join(a.Cgroups[""], "inner", "most")
	if err := os.MkdirAll(nested, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(nested); err != nil {
			t.Error(err)
		}
		if err := os.Remove(filepath.Dir(nested)); err != nil {
			t.Error(err)
		}
	})
	add(t, s, a.Container)
	add(t, s, b.Container)
	inner := func() *process { return a.start("spin 200", nested) }
	outer := func() *process { return a.start("spin 200") }
	beside := func() *process { return b.start("spin 200") }
	own, had := contended(t, s, "outer", outer, inner, outer, inner, inner, outer)
	foreign, _ := contended(t, s, "outer", inner, beside, beside)
	tellApart(t, own, had, foreign)
}

// TestOwnQuotaIsNoOther: a container that its quota stops waits for nobody else.
func TestOwnQuotaIsNoOther(t *testing.T) {
	s := opened(t)
	b := newBox(t, "quota")
	file, text := filepath.Join(b.Cgroups["cpu"], "cpu.cfs_quota_us"), "2000"
	if b.v2() {
		file, text = filepath.Join(b.Cgroups[""], "cpu.max"), "2000 100000"
	}
	if err := os.WriteFile(file, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
	add(t, s, b.Container)
	p := b.start("spin 40").pin()
	p.begin().line()
	got := one(t, s, "quota")
	p.done()
	t.Logf("throttled %v, waited %v, for others %v", got.Throttled, got.RunQueue, got.Preempted)
	if got.Throttled < 500*time.Millisecond {
		t.Fatalf("it was throttled for %v only", got.Throttled)
	}
	if most := got.RunQueue - got.Throttled*8/10; got.Preempted > most {
		t.Errorf("throttled for %v, it is said to have waited %v for others, of %v in all", got.Throttled, got.Preempted, got.RunQueue)
	}
}

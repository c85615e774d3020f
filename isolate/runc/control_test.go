package runc_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"muster/isolate"
	"muster/isolate/runc/state"
)

// quota reads a container's CPU quota in either layout.
func quota(t *testing.T, s isolate.Status) string {
	t.Helper()
	file := filepath.Join(s.Cgroups["cpu"], "cpu.cfs_quota_us")
	if state.Unified() {
		file = filepath.Join(s.Cgroups[""], "cpu.max")
	}
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(body)), " ")
	return first
}

// cpuTime reads what the kernel's accounting says of a container.
func cpuTime(t *testing.T, s isolate.Status) string {
	t.Helper()
	file := filepath.Join(s.Cgroups["cpuacct"], "cpuacct.usage")
	if state.Unified() {
		file = filepath.Join(s.Cgroups[""], "cpu.stat")
	}
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(body), "\n")
	return first
}

func TestCPULimitChangesWhileItRuns(t *testing.T) {
	b := newBench(t)
	free, own := b.shell("exec sleep 1000"), b.shell("exec sleep 1000")
	free.Revocable, own.Revocable = true, true
	own.Limits = map[string]float64{"cpus": 0.7, "mem": math.Inf(1)}
	for _, c := range []struct {
		spec isolate.Spec
		none string
	}{{free, pick(state.Unified(), "max", "-1")}, {own, "70000"}} {
		s, err := b.Start(t.Context(), c.spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			cpus float64
			want string
		}{{0.25, "25000"}, {0.25, "25000"}, {1.5, "150000"}, {0, "1000"}, {math.Inf(1), c.none}, {math.Inf(1), c.none}} {
			if err := b.open().LimitCPU(c.spec.ID, step.cpus); err != nil { // any daemon can
				t.Fatal(err)
			}
			if got := quota(t, s); got != step.want {
				t.Errorf("limited to %v: quota %s, want %s", step.cpus, got, step.want)
			}
		}
	}
}

func TestFrozenContainerStandsStillUntilItThaws(t *testing.T) {
	b := newBench(t)
	spec := b.shell("while :; do :; done")
	spec.Revocable = true
	s, err := b.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	used := func() bool {
		from := cpuTime(t, s)
		time.Sleep(50 * time.Millisecond) // what the kernel does meanwhile is the test
		return cpuTime(t, s) != from
	}
	for range 2 { // by a daemon, and again by the next
		if err := b.open().Freeze(spec.ID); err != nil {
			t.Fatal(err)
		}
		if used() || !state.Frozen(s.Cgroups) {
			t.Error("frozen, it went on")
		}
	}
	for range 2 {
		if err := b.open().Thaw(spec.ID); err != nil {
			t.Fatal(err)
		}
	}
	if !used() || state.Frozen(s.Cgroups) {
		t.Error("thawed, it stands still")
	}
}

func TestFrozenContainerCanBeEnded(t *testing.T) {
	b := newBench(t)
	for name, end := range map[string]func(isolate.ID) error{
		"SIGTERM": func(id isolate.ID) error { return b.Signal(id, int(syscall.SIGTERM), true) },
		"SIGKILL": func(id isolate.ID) error { return b.Signal(id, int(syscall.SIGKILL), true) },
		"Destroy": func(id isolate.ID) error { return b.Destroy(t.Context(), id) },
	} {
		t.Run(name, func(t *testing.T) {
			spec := b.shell("exec sleep 1000")
			if _, err := b.Start(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			if err := b.Freeze(spec.ID); err != nil {
				t.Fatal(err)
			}
			if err := end(spec.ID); err != nil {
				t.Fatal(err)
			}
			exit, err := b.Wait(t.Context(), spec.ID)
			if name == "Destroy" {
				if !errors.Is(err, isolate.ErrUnknownContainer) {
					t.Fatalf("after Destroy: %+v, %v", exit, err)
				}
			} else if err != nil || exit.Signal == 0 {
				t.Fatalf("exit %+v, %v", exit, err)
			}
			if err := b.Thaw("nosuch"); !errors.Is(err, isolate.ErrUnknownContainer) {
				t.Fatalf("an unknown container thaws: %v", err)
			}
		})
	}
}

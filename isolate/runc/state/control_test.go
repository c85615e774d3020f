package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/isolate/isolatetest"
)

// unified is a cgroup of version 2, on the machine whose controllers may be of version 1.
func unified(t *testing.T) string {
	t.Helper()
	isolatetest.NeedRoot(t)
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err != nil {
			continue
		}
		dir := filepath.Join(mount, "muster", fmt.Sprintf("test-state-%d", os.Getpid()))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
			_ = os.Remove(filepath.Dir(dir)) // works for the last user of it
		})
		return dir
	}
	t.Fatal("cgroup2 is mounted neither at /sys/fs/cgroup nor below it: every machine that runs containers has it")
	return ""
}

// frozen is what the kernel says of a cgroup: all that is in it stands still.
func frozen(t *testing.T, dir string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "frozen 1")
}

func TestFreezeOfVersion2StopsWhatRuns(t *testing.T) {
	dir := unified(t)
	cgroups := map[string]string{"": dir}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // also a frozen one ends
		_ = cmd.Wait()         // by that signal
	}()
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, cmd.Process.Pid), 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, true, false} { // doing it again changes nothing
		if err := Freeze(cgroups, want); err != nil {
			t.Fatal(err)
		}
		if Frozen(cgroups) != want {
			t.Errorf("told to be frozen: %v", !want)
		}
		for end := time.Now().Add(10 * time.Second); frozen(t, dir) != want; {
			if time.Now().After(end) {
				t.Fatalf("the kernel does not say frozen: %v", want)
			}
		}
	}
}

func TestQuotaOfVersion2(t *testing.T) {
	dir := t.TempDir()
	for quota, want := range map[int64]string{50_000: "50000 100000", -1: "max 100000"} {
		if err := LimitCPU(map[string]string{"": dir}, quota); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "cpu.max")); err != nil || string(got) != want {
			t.Errorf("%d: %q, %v", quota, got, err)
		}
	}
	// A kernel takes it too, where the CPU controller is of version 2.
	dir = unified(t)
	_ = os.WriteFile(filepath.Join(filepath.Dir(dir), "cgroup.subtree_control"), []byte("+cpu"), 0) // refused where it is of version 1
	if _, err := os.Stat(filepath.Join(dir, "cpu.max")); errors.Is(err, fs.ErrNotExist) && !Unified() {
		t.Skip("the CPU controller is of version 1 here")
	}
	if err := LimitCPU(map[string]string{"": dir}, 50_000); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "cpu.max")); err != nil || string(got) != "50000 100000\n" {
		t.Errorf("%q, %v", got, err)
	}
}

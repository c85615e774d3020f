package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPUPeriod is the kernel's own default, in microseconds; quotas are per period.
const CPUPeriod = 100_000

// LimitCPU sets a container's CPU quota, in microseconds per CPUPeriod; -1 is none.
func LimitCPU(cgroups map[string]string, quota int64) error {
	text := strconv.FormatInt(quota, 10)
	if dir, ok := cgroups["cpu"]; ok {
		return writeCgroup(dir, "cpu.cfs_quota_us", text)
	}
	if quota < 0 {
		text = "max"
	}
	return writeCgroup(cgroups[""], "cpu.max", fmt.Sprintf("%s %d", text, CPUPeriod))
}

// freezeTime is how long the kernel may take until the last process has stopped.
// One in an uninterruptible sleep stops when it wakes up; the request stands.
const freezeTime = 500 * time.Millisecond

// Freeze stops the processes of a container, or lets them go on.
func Freeze(cgroups map[string]string, frozen bool) error {
	dir, v1 := cgroups["freezer"]
	if !v1 {
		return writeCgroup(cgroups[""], "cgroup.freeze", map[bool]string{true: "1", false: "0"}[frozen])
	}
	want := map[bool]string{true: "FROZEN", false: "THAWED"}[frozen]
	for deadline := time.Now().Add(freezeTime); ; time.Sleep(time.Millisecond) {
		// Written again until it holds: a process that was just forked may have been missed.
		if err := writeCgroup(dir, "freezer.state", want); err != nil {
			return err
		}
		now, err := os.ReadFile(filepath.Join(dir, "freezer.state"))
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(now)) == want {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is still %s: %w", dir, strings.TrimSpace(string(now)), os.ErrDeadlineExceeded)
		}
	}
}

// Frozen reports whether the container was told to stop.
func Frozen(cgroups map[string]string) bool {
	dir, file, not := cgroups[""], "cgroup.freeze", "0"
	if v1, ok := cgroups["freezer"]; ok {
		dir, file, not = v1, "freezer.state", "THAWED"
	}
	body, err := os.ReadFile(filepath.Join(dir, file))
	return err == nil && strings.TrimSpace(string(body)) != not
}

// writeCgroup writes a cgroup's file. A cgroup that is being removed answers ENODEV:
// it is gone like one that is not there.
func writeCgroup(dir, file, text string) error {
	if dir == "" {
		return fmt.Errorf("%s: the container has no such cgroup: %w", file, errors.ErrUnsupported)
	}
	err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0)
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%s: %w", dir, os.ErrNotExist)
	}
	return err
}

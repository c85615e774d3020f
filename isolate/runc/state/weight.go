package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Join makes the cgroup that the containers below parent share, and weighs it.
// One that is there is left as it is: see Weigh.
func Join(parent string, cpus int) error {
	roots, err := Hierarchies()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(cpuRoot(roots), parent)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return weigh(roots, parent, cpus)
}

// Weigh gives the containers below parent together the weight of so many CPUs
// against all else on the machine, and makes the cgroup that they share if it
// has to. Otherwise all of them would weigh as much as any other group or thread
// that is their sibling.
// Kubernetes: pkg/kubelet/cm/node_container_manager_linux.go, enforceNodeAllocatableCgroups.
func Weigh(parent string, cpus int) error {
	roots, err := Hierarchies()
	if err != nil {
		return err
	}
	return weigh(roots, parent, cpus)
}

func cpuRoot(roots map[string]string) string {
	if root, ok := roots["cpu"]; ok {
		return root
	}
	return roots[""]
}

// weigh writes 1024 shares per CPU, or what the kernel takes that for on version
// 2: weight = shares × 100 / 1024. The bounds are the kernel's.
// Linux: kernel/sched/sched.h, MAX_SHARES and sched_weight_from_cgroup.
func weigh(roots map[string]string, parent string, cpus int) error {
	file, value := "cpu.shares", min(cpus*1024, 1<<18)
	_, v1 := roots["cpu"]
	if !v1 {
		file, value = "cpu.weight", min(cpus*100, 10_000)
	}
	dir := cpuRoot(roots)
	for name := range strings.SplitSeq(strings.Trim(parent, "/"), "/") {
		if !v1 {
			if err := writeCgroup(dir, "cgroup.subtree_control", "+cpu"); err != nil {
				return fmt.Errorf("weight of all containers: %w", err)
			}
		}
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("weight of all containers: %w", err)
		}
	}
	if err := writeCgroup(dir, file, strconv.Itoa(value)); err != nil {
		return fmt.Errorf("weight of all containers: %w", err)
	}
	return nil
}

package bpf

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// maxLevels is LEVELS of usage.bpf.c.
const maxLevels = 4

// ErrLevels: containers would lie at more different depths of the cgroup tree
// than the programs look at.
var ErrLevels = errors.New("containers at too many depths of the cgroup tree")

// hierarchy is the cgroup2 tree as this process sees it.
type hierarchy struct {
	mount string // where it is mounted
	root  string // which part of it, as a path in this cgroup namespace
	above int    // levels above the root of the namespace
}

// findHierarchy reads the mount table. The level above is known only once a
// program has told how deep in the tree we really are: see locate.
func findHierarchy() (hierarchy, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return hierarchy{}, fmt.Errorf("find cgroup2: %w", err)
	}
	return parseMounts(string(text))
}

// parseMounts wants the mount that shows most of the tree.
// A line: "36 35 0:30 /root /mount options … - cgroup2 device options".
func parseMounts(text string) (hierarchy, error) {
	best := hierarchy{}
	for scan := bufio.NewScanner(strings.NewReader(text)); scan.Scan(); {
		before, after, ok := strings.Cut(scan.Text(), " - ")
		f := strings.Fields(before)
		if !ok || len(f) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		if best.mount == "" || depth(f[3]) < depth(best.root) {
			best = hierarchy{mount: f[4], root: f[3]}
		}
	}
	if best.mount == "" {
		return best, errors.New("cgroup2 is not mounted")
	}
	return best, nil
}

// locate asks the kernel how deep this thread's cgroup is, compares that with
// what its path says, and so learns what the namespace hides.
func (h *hierarchy) locate(level *ebpf.Program) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	text, err := os.ReadFile("/proc/thread-self/cgroup")
	if err != nil {
		return fmt.Errorf("find own cgroup: %w", err)
	}
	real, err := level.Run(&ebpf.RunOptions{})
	if err != nil {
		return fmt.Errorf("find own cgroup level: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			h.above = int(real) - depth(strings.TrimSuffix(path, " (deleted)"))
			return nil
		}
	}
	return errors.New("own cgroup2 path is unknown")
}

// level of a directory below the mount.
func (h *hierarchy) level(dir string) (int, error) {
	rel, err := filepath.Rel(h.mount, dir)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return 0, fmt.Errorf("%s is not below %s", dir, h.mount)
	}
	l := h.above + depth(h.root) + depth(rel)
	if l <= 0 {
		return 0, fmt.Errorf("%s is the root of all cgroups", dir)
	}
	return l, nil
}

// depth of a path; one that leads out of the namespace has a negative one.
func depth(path string) int {
	n := 0
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "", ".":
		case "..":
			n--
		default:
			n++
		}
	}
	return n
}

// levels counts containers by their depth in the tree.
type levels map[int]int

// deepestFirst is what the programs look at: a nested container that is measured
// itself comes before the one around it.
func (l levels) deepestFirst() (list [maxLevels]uint32, err error) {
	var all []uint32
	for level := range l {
		all = append(all, uint32(level))
	}
	if len(all) > maxLevels {
		return list, ErrLevels
	}
	slices.Sort(all)
	slices.Reverse(all)
	copy(list[:], all)
	return list, nil
}

func (l levels) remove(level int) {
	if l[level]--; l[level] <= 0 {
		delete(l, level)
	}
}

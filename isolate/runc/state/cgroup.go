package state

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// Unified reports whether the machine has only the unified cgroup hierarchy.
func Unified() bool {
	var s unix.Statfs_t
	return unix.Statfs(cgroupRoot, &s) == nil && s.Type == unix.CGROUP2_SUPER_MAGIC
}

// Hierarchies returns where each cgroup hierarchy is mounted: "" is the unified
// one, "cpu" and so on those of version 1.
func Hierarchies() (map[string]string, error) {
	if Unified() {
		return map[string]string{"": cgroupRoot}, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, fmt.Errorf("cgroup hierarchies: %w", err)
	}
	roots := make(map[string]string)
	for _, e := range entries {
		path := filepath.Join(cgroupRoot, e.Name())
		if _, err := os.Stat(filepath.Join(path, "cgroup.procs")); err != nil {
			continue
		}
		switch name := e.Name(); name {
		case "unified":
			roots[""] = path
		default:
			roots[name] = path
		}
	}
	return roots, nil
}

// Processes returns the PIDs of all processes in the container's cgroups and
// below, each once.
func Processes(cgroup string) ([]int, error) {
	roots, err := Hierarchies()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, root := range roots {
		err := filepath.WalkDir(filepath.Join(root, cgroup), func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() {
				return ignoreGone(err)
			}
			more, err := procs(path)
			pids = append(pids, more...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

func procs(dir string) ([]int, error) {
	f, err := os.Open(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, ignoreGone(err)
	}
	defer f.Close()
	var pids []int
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if pid, err := strconv.Atoi(lines.Text()); err == nil && pid > 0 { // 0: not in our PID namespace
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// Kill sends SIGKILL to everything in the container's cgroups, thawed first:
// a frozen process dies only when it thaws.
func Kill(cgroup string) error {
	roots, err := Hierarchies()
	if err != nil {
		return err
	}
	// A cgroup that has gone, or a kernel without the file, is no failure.
	for name, file := range map[string]string{"": "cgroup.freeze", "freezer": "freezer.state"} {
		if root, ok := roots[name]; ok {
			text := map[string]string{"": "0", "freezer": "THAWED"}[name]
			_ = os.WriteFile(filepath.Join(root, cgroup, file), []byte(text), 0)
		}
	}
	if root, ok := roots[""]; ok {
		_ = os.WriteFile(filepath.Join(root, cgroup, "cgroup.kill"), []byte("1"), 0)
	}
	pids, err := Processes(cgroup)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill %d: %w", pid, err)
		}
	}
	return nil
}

// Remove removes the container's empty cgroups from all hierarchies. The
// kernel may count a process that has just been reaped for a moment yet: it
// tries until deadline.
func Remove(cgroup string, deadline time.Time) error {
	roots, err := Hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
			err := removeTree(filepath.Join(root, cgroup))
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("remove cgroup: %w", err)
			}
			time.Sleep(wait)
		}
	}
	return nil
}

// ShimCgroup is where the shims of the containers below parent live.
func ShimCgroup(parent string) string { return filepath.Join(parent, ".shims") }

// Leave removes the cgroups that containers shared, unless some still do.
func Leave(parent string) error {
	roots, err := Hierarchies()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(time.Second)
	for _, root := range roots {
		for path := ShimCgroup(parent); path != "/"; path = filepath.Dir(path) {
			gone, err := removeIdle(filepath.Join(root, path), deadline)
			if err != nil {
				return fmt.Errorf("remove cgroup %s: %w", path, err)
			}
			if !gone {
				break
			}
		}
	}
	return nil
}

// removeIdle removes a cgroup in which nothing lives. Since Linux 6.18 the
// kernel may count a process for a moment after it has been waited for.
func removeIdle(dir string, deadline time.Time) (gone bool, err error) {
	for {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return true, nil
		}
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			return false, err
		}
		pids, err := procs(dir)
		if err != nil {
			return false, err
		}
		below, err := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs")) // Go's * matches a leading dot, too
		if err != nil {
			return false, err
		}
		living := slices.ContainsFunc(pids, func(pid int) bool {
			_, alive := StartTime(pid)
			return alive
		})
		if living || len(below) > 0 || time.Now().After(deadline) {
			return false, nil
		}
		time.Sleep(time.Millisecond)
	}
}

func removeTree(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	entries, readErr := os.ReadDir(dir)
	if readErr != nil {
		return ignoreGone(readErr)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

// OOM returns how often the kernel killed a process of the container for its
// memory limit, and the most memory it used, in bytes. Both are 0 if unknown.
func OOM(cgroups map[string]string) (kills, peak uint64) {
	if dir, ok := cgroups["memory"]; ok {
		return field(dir, "memory.oom_control", "oom_kill"), field(dir, "memory.max_usage_in_bytes", "")
	}
	dir := cgroups[""]
	return field(dir, "memory.events", "oom_kill"), field(dir, "memory.peak", "")
}

// field reads the number after key in a cgroup's file; "" reads the only one.
func field(dir, file, key string) uint64 {
	body, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(body)) {
		words := strings.Fields(line)
		if len(words) == 2 && words[0] == key || len(words) == 1 && key == "" {
			n, err := strconv.ParseUint(words[len(words)-1], 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// StartTime returns when a process started, in clock ticks since boot, and
// whether it lives: is there, and neither a zombie nor about to be one.
func StartTime(pid int) (uint64, bool) {
	body, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	_, rest, ok := strings.Cut(string(body), ") ")
	words := strings.Fields(rest)
	if !ok || len(words) < 20 {
		return 0, false
	}
	const exiting = 0x4 // PF_EXITING
	flags, flagsErr := strconv.ParseUint(words[6], 10, 64)
	ticks, err := strconv.ParseUint(words[19], 10, 64)
	return ticks, errors.Join(err, flagsErr) == nil && flags&exiting == 0 && words[0] != "Z" && words[0] != "X"
}

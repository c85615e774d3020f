package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	leaving = 20 * time.Second // how long the traces of other tests on the machine may take to vanish
	glance  = 20 * time.Millisecond
)

// TestMain fails the run if it left anything on the machine that was not there before.
func TestMain(m *testing.M) {
	if os.Getenv(withoutPrograms) != "" {
		fmt.Fprintln(os.Stderr, becomeWithoutPrograms(os.Args[1:]))
		os.Exit(1)
	}
	before := traces()
	code := m.Run()
	for what := range remaining(before) {
		fmt.Println("left behind:", what)
		code = max(code, 1)
	}
	os.Exit(code)
}

// remaining is what was not there before and stays.
func remaining(before map[string]bool) map[string]bool {
	left := traces()
	for what := range before {
		delete(left, what)
	}
	for end := time.Now().Add(leaving); len(left) > 0 && time.Now().Before(end); time.Sleep(glance) {
		now := traces()
		for what := range left {
			if !now[what] {
				delete(left, what)
			}
		}
	}
	return left
}

// traces lists what muster may leave on a machine.
func traces() map[string]bool {
	found := map[string]bool{}
	processes(found)
	mounts(found)
	cgroups(found)
	names := func(what, pattern string) {
		list, _ := filepath.Glob(pattern) // the pattern is good
		for _, name := range list {
			found[what+" "+name] = true
		}
	}
	names("interface", "/sys/class/net/muster*")
	names("network namespace", "/run/netns/*")
	names("directory", filepath.Join(os.TempDir(), "muster-dev-*"))
	if rules, err := exec.Command("nft", "list", "ruleset").Output(); err == nil { // where there is nft
		for line := range strings.Lines(string(rules)) {
			if strings.Contains(line, "muster") {
				found["nftables "+strings.TrimSpace(line)] = true
			}
		}
	}
	return found
}

// tests is where the directories of this and other tests lie.
var tests = filepath.Join(os.TempDir(), "Test")

// processes finds the daemons of this checkout, and the shims of tests.
func processes(found map[string]bool) {
	own, err := filepath.Abs(binary)
	if err != nil {
		panic(err) // no working directory: nothing can be tested
	}
	list, _ := filepath.Glob("/proc/[0-9]*") // a process may end meanwhile
	for _, p := range list {
		exe, _ := os.Readlink(filepath.Join(p, "exe"))
		args := arguments(p)
		if strings.HasPrefix(exe, own) || strings.Contains(args, tests) && strings.Contains(args, "muster") {
			found["process "+filepath.Base(p)+" "+args] = true
		}
	}
}

// arguments are those of the process in /proc, "" if it has ended.
func arguments(process string) string {
	text, _ := os.ReadFile(filepath.Join(process, "cmdline"))
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
}

// others are the arguments of all processes that are not about tests.
func others() string {
	var all strings.Builder
	list, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range list {
		if args := arguments(p); !strings.Contains(args, tests) {
			all.WriteString(args + "\n")
		}
	}
	return all.String()
}

func mounts(found map[string]bool) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "muster") || strings.Contains(line, tests) {
			found["mount "+strings.TrimSpace(line)] = true
		}
	}
}

// cgroups finds the cgroups of containers, but those of other packages' tests and
// those that the shim of another cluster on this machine holds, and the one that
// contains them where it is empty: it is to go with the last of them.
func cgroups(found map[string]bool) {
	held := others()
	_ = filepath.WalkDir("/sys/fs/cgroup", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // cgroups of others come and go
		}
		name := filepath.Base(p)
		container := filepath.Base(filepath.Dir(p)) == "muster" && name != ".shims" && !strings.HasPrefix(name, "test-")
		if container && !strings.Contains(held, "/containers/"+name) || (name == "muster" || name == ".shims") && empty(p) {
			found["cgroup "+p] = true
		}
		return nil
	})
}

// empty reports whether a cgroup has neither children nor processes.
func empty(cgroup string) bool {
	children, _ := filepath.Glob(filepath.Join(cgroup, "*", "cgroup.procs"))
	hidden, _ := filepath.Glob(filepath.Join(cgroup, ".shims", "cgroup.procs"))
	pids, err := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	return err == nil && len(pids) == 0 && len(children)+len(hidden) == 0
}

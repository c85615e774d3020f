package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain fails the run if it left anything on the machine that was not there before.
func TestMain(m *testing.M) {
	before := traces()
	code := m.Run()
	for what := range traces() {
		if !before[what] {
			fmt.Println("left behind:", what)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// traces lists what muster may leave on a machine: processes, mounts, cgroups
// and network interfaces.
func traces() map[string]bool {
	found := map[string]bool{}
	programs, _ := filepath.Glob("/proc/[0-9]*/exe") // a process may end meanwhile
	for _, p := range programs {
		if exe, err := os.Readlink(p); err == nil && strings.Contains(filepath.Base(exe), "muster") {
			found["process "+filepath.Base(filepath.Dir(p))+" "+exe] = true
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err == nil {
		for line := range strings.Lines(string(mounts)) {
			if strings.Contains(line, "muster") {
				found["mount "+strings.TrimSpace(line)] = true
			}
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(p, "/muster/") {
			found["cgroup "+p] = true
		}
		return nil // cgroups of others come and go
	})
	links, _ := os.ReadDir("/sys/class/net") // absent without sysfs
	for _, l := range links {
		if strings.HasPrefix(l.Name(), "muster") {
			found["interface "+l.Name()] = true
		}
	}
	return found
}

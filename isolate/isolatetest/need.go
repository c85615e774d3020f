package isolatetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// NeedRoot skips the test unless it runs as root with CAP_SYS_ADMIN. Where it
// does, namespaces and cgroups must work: if they do not, the test fails,
// because a suite that silently skips its containers proves nothing.
func NeedRoot(t testing.TB) {
	t.Helper()
	Need(t, unix.CAP_SYS_ADMIN, unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_CHOWN)
	if err := canUseCgroups(); err != nil {
		t.Fatalf("this machine should have been able to run containers: %v", err)
	}
}

// Need skips the test unless it runs as root and holds all the capabilities,
// which are numbers such as unix.CAP_BPF.
func Need(t testing.TB, capabilities ...int) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	held, err := effective()
	if err != nil {
		t.Fatalf("read own capabilities: %v", err)
	}
	for _, c := range capabilities {
		if held&(1<<uint(c)) == 0 {
			t.Skipf("needs capability %d of linux/capability.h", c)
		}
	}
}

// effective returns this process's effective capabilities as a bit set.
func effective() (uint64, error) {
	var data [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&head, &data[0]); err != nil {
		return 0, err
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective), nil
}

// canUseCgroups makes and removes a cgroup where containers need one.
func canUseCgroups() error {
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); errors.Is(err, fs.ErrNotExist) {
		root = filepath.Join(root, "memory")
	}
	dir, err := os.MkdirTemp(root, "muster-probe-")
	if err != nil {
		return err
	}
	return os.Remove(dir)
}

// Processes returns the PIDs whose command line contains text: for tests that
// must show that nothing of theirs is left.
func Processes(text string) ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []string
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") != "" {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue // it ended while we looked
		}
		if strings.Contains(strings.ReplaceAll(string(line), "\x00", " "), text) {
			pids = append(pids, e.Name())
		}
	}
	return pids, nil
}

package e2e

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"muster/isolate/isolatetest"
)

// A whole cluster by one command, in a network of its own: it takes addresses
// that may be in use on this machine.
func TestDevelopmentCluster(t *testing.T) {
	isolatetest.NeedRoot(t)
	ownNetwork(t)
	dir := t.TempDir()
	var seen string
	for range 2 { // the second time it goes on where it was
		dev := begin(t, "dev", "--nodes", "2", "--dir", dir)
		await(t, "two nodes", func() bool {
			select {
			case <-dev.done:
				t.Fatalf("dev ended: %s%s", dev.out.String(), dev.err.String())
			default:
			}
			return strings.Contains(dev.out.String(), "127.0.0.2:5050") && strings.Contains(dev.out.String(), "Ctrl-C")
		})
		var view struct {
			Cluster string `json:"cluster_id"`
			Nodes   []struct{ Name string }
		}
		parse(t, output(t, "nodes", "-o", "json"), &view)
		if len(view.Nodes) != 2 || seen != "" && seen != view.Cluster {
			t.Errorf("%+v, was %s", view, seen)
		}
		seen = view.Cluster
		if out := output(t, "run", "--follow", "--api", "127.0.0.2:5050", "--", "echo", "hello"); string(out) != "hello\n" {
			t.Errorf("run: %q", out)
		}
		output(t, "run", "--api", "127.0.0.1:5050", "--", "true")
		left := begin(t, "run", "--shell", "--", "echo up; sleep 1000")
		await(t, "a task that stays", func() bool { return strings.Contains(left.err.String(), "RUNNING") })
		if err := dev.cmd.Process.Signal(unix.SIGINT); err != nil {
			t.Fatal(err)
		}
		if code := dev.exit(); code != 0 {
			t.Errorf("exit code %d: %s%s", code, dev.out.String(), dev.err.String())
		}
		if found := about(dir); len(found) > 0 {
			t.Errorf("left behind: %v", found)
		}
		if err := left.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := command("dev", "--nodes", "0"); err == nil || !strings.Contains(err.Error(), "not between") {
		t.Errorf("no nodes: %v", err)
	}
}

func output(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := command(args...)
	if err != nil {
		t.Fatalf("muster %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// about lists the processes and mounts that name a directory.
func about(dir string) (found []string) {
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline") // some end meanwhile
	for _, p := range processes {
		if text, err := os.ReadFile(p); err == nil && strings.Contains(string(text), dir) {
			found = append(found, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err == nil && strings.Contains(string(mounts), dir) {
		found = append(found, "a mount")
	}
	return found
}

// ownNetwork moves this goroutine's thread, and what it starts, into a network
// namespace of its own. The thread ends with the test.
func ownNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("network namespace: %v", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatalf("loopback: %v", err)
	}
}

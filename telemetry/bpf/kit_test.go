package bpf

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"muster/isolate/isolatetest"
	"muster/telemetry"
)

// The test binary is also what runs inside the cgroups: see worker_test.go.
func TestMain(m *testing.M) {
	if job := os.Getenv("MUSTER_WORKER"); job != "" {
		os.Exit(work(strings.Fields(job)))
	}
	goleak.VerifyTestMain(m)
}

// opened loads the programs, which must work where the machine has what they take.
func opened(t testing.TB) *Source {
	t.Helper()
	isolatetest.Need(t, unix.CAP_SYS_ADMIN, unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN)
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs a kernel with BTF")
	}
	s, err := Open(nil)
	if err != nil {
		t.Fatalf("this machine should have been able to run eBPF programs: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// box is a cgroup in every hierarchy of this machine, without a container.
type box struct {
	telemetry.Container
	t testing.TB
}

var controllers = []string{"cpu", "cpuacct", "memory", "blkio", "pids"}

func newBox(t testing.TB, name string) *box {
	t.Helper()
	isolatetest.NeedRoot(t)
	tree, err := findHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, Container: telemetry.Container{ID: name, Cgroups: map[string]string{}}}
	path := filepath.Join("muster", fmt.Sprintf("test-bpf-%d-%s", os.Getpid(), name))
	b.mkdir("", filepath.Join(tree.mount, path))
	for _, c := range controllers {
		hierarchy := filepath.Join("/sys/fs/cgroup", c)
		if _, err := os.Stat(filepath.Join(hierarchy, "cgroup.procs")); err == nil {
			b.mkdir(c, filepath.Join(hierarchy, path))
		}
	}
	return b
}

func (b *box) v2() bool { return len(b.Cgroups) == 1 }

func (b *box) mkdir(controller, dir string) {
	b.t.Helper()
	parent := filepath.Dir(dir)
	err := os.MkdirAll(dir, 0o755)
	for tries := 0; errors.Is(err, fs.ErrNotExist) && tries < 10; tries++ {
		err = os.MkdirAll(dir, 0o755) // another test removed the parent under us
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if controller == "" {
		for _, p := range []string{filepath.Dir(parent), parent} {
			for _, c := range []string{"cpu", "memory", "io", "pids"} {
				// Not there on a hybrid machine, where v1 has the controllers.
				_ = os.WriteFile(filepath.Join(p, "cgroup.subtree_control"), []byte("+"+c), 0)
			}
		}
	}
	b.Cgroups[controller] = dir
	b.t.Cleanup(func() {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.t.Errorf("cgroup remains: %v", err)
		}
		_ = os.Remove(parent) // works for the last user of it
	})
}

// process is a worker that waits inside a box to be told to begin.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   *os.File
	out  *bufio.Scanner
	from *os.File
}

// start puts a worker into the box, or into the cgroup2 directory nested in it.
func (b *box) start(job string, nested ...string) *process {
	b.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "MUSTER_WORKER="+job, "GOMAXPROCS=2")
	cmd.Stderr = os.Stderr
	inR, inW, err1 := os.Pipe()
	outR, outW, err2 := os.Pipe()
	if err := errors.Join(err1, err2); err != nil {
		b.t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout = inR, outW
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	inR.Close()
	outW.Close()
	p := &process{b.t, cmd, inW, bufio.NewScanner(outR), outR}
	if p.line() != "ready" {
		b.t.Fatal("worker does not start")
	}
	for controller, dir := range b.Cgroups {
		if controller == "" && len(nested) > 0 {
			dir = nested[0]
		}
		pid := fmt.Sprint(cmd.Process.Pid)
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(pid), 0); err != nil {
			b.t.Fatal(err)
		}
	}
	return p
}

// begin lets the worker work.
func (p *process) begin() *process {
	if _, err := p.in.WriteString("go\n"); err != nil {
		p.t.Fatal(err)
	}
	return p
}

// line waits for what the worker says next, and until it sleeps: then all that
// it used is accounted, everywhere.
func (p *process) line() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("worker said nothing: %v", p.out.Err())
	}
	for p.busy() {
	}
	return p.out.Text()
}

func (p *process) busy() bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
	if err != nil || len(stats) == 0 {
		p.t.Fatal("worker has gone")
	}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if _, after, ok := strings.Cut(string(text), ") "); err == nil && ok && after[0] != 'S' {
			return true
		}
	}
	return false
}

// schedstat sums what the kernel keeps of the worker's threads, which sleep now:
// how long they have waited for a CPU, and how often they have got one.
func (p *process) schedstat() (waited time.Duration, times uint64) {
	p.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		p.t.Fatal("worker has gone")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			p.t.Fatal(err)
		}
		var on, wait, n uint64
		if _, err := fmt.Sscan(string(text), &on, &wait, &n); err != nil {
			p.t.Fatal(err)
		}
		waited, times = waited+time.Duration(wait), times+n
	}
	return waited, times
}

// end waits until the worker has gone, and tells how.
func (p *process) end() syscall.WaitStatus {
	p.in.Close()
	p.cmd.Wait()
	p.from.Close()
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// done ends a worker that must have succeeded.
func (p *process) done() {
	p.t.Helper()
	if st := p.end(); st.ExitStatus() != 0 {
		p.t.Fatalf("worker failed: %v", p.cmd.ProcessState)
	}
}

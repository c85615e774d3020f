package runc_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/isolate/isolatetest"
	"muster/isolate/runc"
	"muster/isolate/runc/shim"
	"muster/offers/mesos"
	"muster/offers/resource"
)

func TestMain(m *testing.M) {
	shim.Main()
	if text := os.Getenv(starterVariable); text != "" {
		fmt.Fprintln(os.Stderr, runStarter(text))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// bench is a driver of one test, and the cgroup below which it works.
type bench struct {
	*runc.Driver
	t       testing.TB
	cfg     runc.Config
	sandbox string
	n       int
}

func newBench(t testing.TB) *bench {
	t.Helper()
	isolatetest.NeedRoot(t)
	b := &bench{t: t, sandbox: t.TempDir(), cfg: runc.Config{
		Dir:     filepath.Join(t.TempDir(), "containers"),
		Program: isolatetest.Shim(t),
		Cgroup:  fmt.Sprintf("muster/test-%d-%d", os.Getpid(), time.Now().UnixNano()),
	}}
	t.Cleanup(b.leftCgroups) // after the last Close
	b.Driver = b.open()
	t.Cleanup(b.clean)
	return b
}

// open returns another driver for the same containers, as after a restart.
func (b *bench) open() *runc.Driver {
	b.t.Helper()
	d, err := runc.New(b.cfg, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := d.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return d
}

func (b *bench) leftCgroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		if left, err := filepath.Glob(pattern + b.cfg.Cgroup); err != nil || len(left) > 0 {
			b.t.Errorf("left behind: cgroups %v, %v", left, err)
		}
	}
}

// clean destroys what is left and fails if anything then is.
func (b *bench) clean() {
	ids, err := b.List()
	if err != nil {
		b.t.Error(err)
	}
	for _, id := range ids {
		if err := b.Destroy(context.Background(), id); err != nil {
			b.t.Error(err)
		}
	}
	left, err := isolatetest.Processes(b.cfg.Dir)
	if err != nil || len(left) > 0 {
		b.t.Errorf("left behind: processes %v, %v", left, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), b.cfg.Dir) {
		b.t.Errorf("left behind: mounts, %v\n%s", err, mounts)
	}
}

// shell is a spec that runs a line of shell in half a CPU and 64 MB.
func (b *bench) shell(line string) isolate.Spec {
	b.t.Helper()
	b.n++
	sandbox := filepath.Join(b.sandbox, fmt.Sprint(b.n))
	if err := os.Mkdir(sandbox, 0o755); err != nil {
		b.t.Fatal(err)
	}
	set, err := resource.Parse("cpus:0.5;mem:64")
	if err != nil {
		b.t.Fatal(err)
	}
	return isolate.Spec{
		ID:        isolate.ID(fmt.Sprintf("c%d", b.n)),
		Command:   &mesos.CommandInfo{Value: proto.String(line)},
		Env:       []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
		Sandbox:   sandbox,
		Resources: set,
	}
}

// run runs the spec to its end and returns what it wrote to stdout.
func (b *bench) run(spec isolate.Spec) (isolate.Exit, string) {
	b.t.Helper()
	if _, err := b.Start(b.t.Context(), spec); err != nil {
		b.t.Fatal(err)
	}
	return b.wait(spec), b.output(spec)
}

func (b *bench) wait(spec isolate.Spec) isolate.Exit {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	exit, err := b.Wait(ctx, spec.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return exit
}

func (b *bench) output(spec isolate.Spec) string {
	b.t.Helper()
	out, err := os.ReadFile(filepath.Join(spec.Sandbox, "stdout"))
	if err != nil {
		b.t.Fatal(err)
	}
	errors, err := os.ReadFile(filepath.Join(spec.Sandbox, "stderr"))
	if err != nil {
		b.t.Fatal(err)
	}
	if len(errors) > 0 {
		b.t.Logf("stderr of %s: %s", spec.ID, errors)
	}
	return string(out)
}

func TestProgramItselfCanBeTheShim(t *testing.T) {
	b := newBench(t)
	b.cfg.Program = nil
	b.Driver = b.open()
	if exit, out := b.run(b.shell("echo hello; exit 3")); exit.Code != 3 || out != "hello\n" {
		t.Fatalf("exit %+v, output %q", exit, out)
	}
}

func TestExitCodeIsKept(t *testing.T) {
	b := newBench(t)
	exit, out := b.run(b.shell("echo hello; exit 7"))
	if exit.Code != 7 || exit.Signal != 0 || exit.OOM || exit.Lost || exit.Message != "" || out != "hello\n" {
		t.Fatalf("exit %+v, output %q", exit, out)
	}
}

package runc_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/isolate/runc"
	"muster/isolate/runc/state"
	"muster/offers/mesos"
	"muster/offers/resource"
)

// starter is what another process, which is then killed, is to start.
type starter struct {
	Config  runc.Config // but for Program
	Program string      // file
	ID      isolate.ID
	Sandbox string
	Line    string
}

const starterVariable = "MUSTER_TEST_STARTER"

// runStarter starts a container, says so and waits to be killed.
func runStarter(text string) error {
	var s starter
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	body, err := os.ReadFile(s.Program)
	if err != nil {
		return err
	}
	s.Config.Program = body
	d, err := runc.New(s.Config, nil)
	if err != nil {
		return err
	}
	set, err := resource.Parse("cpus:0.5;mem:64")
	if err != nil {
		return err
	}
	fmt.Println("starting")
	status, err := d.Start(context.Background(), isolate.Spec{
		ID: s.ID, Sandbox: s.Sandbox, Resources: set,
		Command: &mesos.CommandInfo{Value: proto.String(s.Line)}, Env: []string{"PATH=/usr/bin:/bin"},
	})
	if err != nil {
		return err
	}
	fmt.Println(status.PID)
	select {}
}

// daemon starts spec in another process and kills that after the given time,
// or as soon as it says that the container runs if that is 0.
func (b *bench) daemon(spec isolate.Spec, after time.Duration) (pid int) {
	b.t.Helper()
	s := starter{b.cfg, filepath.Join(b.sandbox, "shim"), spec.ID, spec.Sandbox, spec.Command.GetValue()}
	if err := os.WriteFile(s.Program, s.Config.Program, 0o600); err != nil {
		b.t.Fatal(err)
	}
	s.Config.Program = nil
	text, err := json.Marshal(s)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), starterVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	if after > 0 {
		<-time.After(after) // a moment of the start, whichever it is on this machine
	} else if lines.Scan() {
		if pid, err = strconv.Atoi(lines.Text()); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		b.t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	return pid
}

// eventually polls what only the kernel's files tell.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 1000})
	}
}

func TestContainerOutlivesItsDaemon(t *testing.T) {
	b := newBench(t)
	spec := b.shell("echo begun; while ! test -e go; do sleep 0.01; done; exit 9")
	pid := b.daemon(spec, 0)
	if ids, err := b.List(); err != nil || len(ids) != 1 || ids[0] != spec.ID {
		t.Fatalf("list: %v, %v", ids, err)
	}
	status, err := b.Start(t.Context(), spec)
	if err != nil || status.PID != pid {
		t.Fatalf("found %+v, %v, want PID %d", status, err, pid)
	}
	if err := os.WriteFile(filepath.Join(spec.Sandbox, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if exit := b.wait(spec); exit.Code != 9 || exit.Lost {
		t.Fatalf("exit %+v", exit)
	}
	if out := b.output(spec); out != "begun\n" {
		t.Fatalf("output %q", out)
	}
}

func TestEndIsKeptWhileNoDaemonRuns(t *testing.T) {
	b := newBench(t)
	spec := b.shell("exit 4")
	b.daemon(spec, 0)
	for range 2 {
		if exit := b.wait(spec); exit.Code != 4 || exit.Lost {
			t.Fatalf("exit %+v", exit)
		}
		b.Driver = b.open()
	}
}

// What cannot be written at first is a directory here, and a full disk elsewhere.
func TestEndIsRecordedOnceItCanBe(t *testing.T) {
	b := newBench(t)
	spec := b.shell("while ! test -e go; do sleep 0.01; done; exit 9")
	b.daemon(spec, 0)
	dir := state.Dir(filepath.Join(b.cfg.Dir, string(spec.ID)))
	inTheWay := filepath.Join(string(dir), ".exit.json")
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(spec.Sandbox, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shim's complaint", func() bool {
		log, err := os.ReadFile(dir.Log())
		return err == nil && strings.Contains(string(log), ".exit.json")
	})
	if ended, err := dir.Ended(); ended != nil || err != nil {
		t.Fatalf("an end that cannot be written: %+v, %v", ended, err)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if exit := b.wait(spec); exit.Code != 9 || exit.Lost {
		t.Fatalf("exit %+v", exit)
	}
}

func TestContainerIsDestroyedWhileItsEndCannotBeRecorded(t *testing.T) {
	b := newBench(t)
	spec := b.shell("sleep 1000")
	if _, err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(b.cfg.Dir, string(spec.ID), ".exit.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.Destroy(t.Context(), spec.ID); err != nil {
		t.Fatal(err)
	}
}

func TestDaemonKilledAtAnyMomentOfAStart(t *testing.T) {
	b := newBench(t)
	for after := time.Millisecond; after < 100*time.Millisecond; after += 7 * time.Millisecond {
		spec := b.shell("echo run; exec sleep 1000")
		b.daemon(spec, after)
		b.Driver = b.open()
		status, err := b.Start(t.Context(), spec)
		if err != nil {
			t.Fatalf("after %v: %v", after, err)
		}
		if err := syscall.Kill(status.PID, 0); err != nil {
			t.Fatalf("after %v: PID %d: %v", after, status.PID, err)
		}
		eventually(t, "the output", func() bool { return b.output(spec) != "" })
		if out := b.output(spec); out != "run\n" {
			t.Fatalf("after %v: output %q", after, out)
		}
		if err := b.Destroy(t.Context(), spec.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStartCutShortBeforeTheShimIsDoneAgain(t *testing.T) {
	b := newBench(t)
	spec := b.shell("echo run")
	dir := state.Dir(filepath.Join(b.cfg.Dir, string(spec.ID)))
	if err := dir.WriteTask(&state.Task{ID: string(spec.ID), Cgroup: "/" + b.cfg.Cgroup + "/" + string(spec.ID)}); err != nil {
		t.Fatal(err)
	}
	if _, out := b.run(spec); out != "run\n" {
		t.Fatalf("output %q", out)
	}
}

// shimOf returns the PID of a container's shim.
func (b *bench) shimOf(spec isolate.Spec) int {
	b.t.Helper()
	shim, err := state.Dir(filepath.Join(b.cfg.Dir, string(spec.ID))).Shim()
	if err != nil || shim == nil {
		b.t.Fatalf("shim of %s: %v, %v", spec.ID, shim, err)
	}
	shim.File.Close()
	return shim.PID
}

func TestDeadShimIsLost(t *testing.T) {
	b := newBench(t)
	spec := b.shell("sleep 1000 & exec sleep 1000")
	status, err := b.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan isolate.Exit)
	go func() { waiting <- b.wait(spec) }()
	if err := syscall.Kill(b.shimOf(spec), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	exit := <-waiting
	if !exit.Lost || exit.Message == "" {
		t.Fatalf("exit %+v", exit)
	}
	eventually(t, "the container's processes to end", func() bool {
		return errors.Is(syscall.Kill(status.PID, 0), syscall.ESRCH)
	})
	if again := b.wait(spec); !again.Lost || !again.At.Equal(exit.At) {
		t.Fatalf("second wait %+v, the first %+v", again, exit)
	}
	// It has run: it must not run again.
	if again, err := b.Start(t.Context(), spec); err != nil || again.PID != status.PID {
		t.Fatalf("start again: %+v, %v", again, err)
	}
}

func TestShimIsSmallAndOnItsOwn(t *testing.T) {
	b := newBench(t)
	spec := b.shell("exec sleep 1000")
	status, err := b.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	shim := b.shimOf(spec)
	session, err := syscall.Getpgid(shim)
	if err != nil || session != shim {
		t.Errorf("shim %d is in process group %d, %v", shim, session, err)
	}
	links, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", shim))
	if err != nil || len(links) > 16 {
		t.Errorf("shim holds %d files, %v", len(links), err)
	}
	for _, l := range links {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", shim, l.Name()))
		if err == nil && strings.HasSuffix(target, "/stdout") {
			t.Errorf("shim holds the task's output: %s", target)
		}
	}
	var first, parent int
	defer func() { t.Logf("private memory: shim %d KB, first process %d KB", parent, first) }()
	eventually(t, "the shim to be small", func() bool {
		first, parent = private(t, status.PID), private(t, shim)
		return first+parent < 2048
	})
}

// private is the memory that only the process has, in KB: not its program,
// which is one file in memory for all shims.
func private(t *testing.T, pid int) (kb int) {
	t.Helper()
	body, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "Anonymous:" {
			if kb, err = strconv.Atoi(words[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kb
}

func TestDestroyEndsAFrozenContainer(t *testing.T) {
	b := newBench(t)
	spec := b.shell("sleep 1000 & exec sleep 1000")
	status, err := b.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	file, text := filepath.Join(status.Cgroups["freezer"], "freezer.state"), "FROZEN"
	if state.Unified() {
		file, text = filepath.Join(status.Cgroups[""], "cgroup.freeze"), "1"
	}
	if err := os.WriteFile(file, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Destroy(t.Context(), spec.ID); err != nil {
			t.Fatal(err)
		}
	}
	for name, dir := range status.Cgroups {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("cgroup %q: %v", name, err)
		}
	}
	if _, err := b.Status(spec.ID); !errors.Is(err, isolate.ErrUnknownContainer) {
		t.Errorf("status: %v", err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	b := newBench(t)
	spec := b.shell("exec sleep 1000")
	if _, err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	waiting := make(chan error)
	go func() {
		_, err := b.Wait(ctx, spec.ID)
		waiting <- err
	}()
	cancel(cause)
	if err := <-waiting; !errors.Is(err, cause) {
		t.Fatalf("wait: %v", err)
	}
}

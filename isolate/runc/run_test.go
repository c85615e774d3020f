package runc_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/isolate/runc/state"
	"muster/offers/mesos"
)

func TestArgumentsAreTakenAsTheyAre(t *testing.T) {
	b := newBench(t)
	spec := b.shell("")
	spec.Command = &mesos.CommandInfo{
		Shell: proto.Bool(false), Value: proto.String("sh"), // found in PATH
		Arguments: []string{"called-so", "-c", `echo "$0|$1|$FOO"`, "zero", "a  b"},
	}
	spec.Env = append(spec.Env, "FOO=b=a r")
	if exit, out := b.run(spec); exit.Code != 0 || out != "zero|a  b|b=a r\n" {
		t.Fatalf("exit %+v, output %q", exit, out)
	}
}

func TestEnvironmentIsCompleteAndNothingElse(t *testing.T) {
	b := newBench(t)
	t.Setenv("SECRET_OF_THE_DAEMON", "1")
	spec := b.shell("env | grep -v SHLVL | sort") // some shells add it
	spec.Env = []string{"PATH=/usr/bin:/bin", "A=1", "MESOS_SANDBOX=" + isolate.SandboxPath}
	_, out := b.run(spec)
	want := "A=1\nHOME=/root\nMESOS_SANDBOX=/mnt/mesos/sandbox\nPATH=/usr/bin:/bin\nPWD=/mnt/mesos/sandbox\n"
	if out != want {
		t.Fatalf("environment:\n%s\nwant:\n%s", out, want)
	}
}

func TestCommandRunsAsTheUser(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"nobody", "65534"} {
		spec := b.shell("id -un; echo mine > file; stat -c %U file stdout")
		spec.User = name
		if exit, out := b.run(spec); exit.Code != 0 || out != "nobody\nnobody\nnobody\n" {
			t.Fatalf("as %s: exit %+v, output %q", name, exit, out)
		}
	}
}

func TestStartOfABadCommandSaysWhy(t *testing.T) {
	b := newBench(t)
	argv := func(value string) *mesos.CommandInfo {
		return &mesos.CommandInfo{Shell: proto.Bool(false), Value: proto.String(value)}
	}
	for name, c := range map[string]struct {
		change func(*isolate.Spec)
		want   string
	}{
		"no such file":       {func(s *isolate.Spec) { s.Command = argv("/no/such") }, `exec "/no/such": no such file or directory`},
		"not in PATH":        {func(s *isolate.Spec) { s.Command = argv("nosuch") }, `exec "nosuch": no such file or directory`},
		"not executable":     {func(s *isolate.Spec) { s.Command = argv("/etc/passwd") }, "permission denied"},
		"unknown user":       {func(s *isolate.Spec) { s.User = "nosuchuser" }, `user "nosuchuser"`},
		"no command":         {func(s *isolate.Spec) { s.Command = nil }, "needs a value"},
		"an image":           {func(s *isolate.Spec) { s.Container = &mesos.ContainerInfo{Docker: &mesos.ContainerInfo_DockerInfo{}} }, "images"},
		"ID no file name":    {func(s *isolate.Spec) { s.ID = "../x" }, "container ID"},
		"ID of the driver's": {func(s *isolate.Spec) { s.ID = ".root" }, "container ID"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := b.shell("true")
			c.change(&spec)
			_, err := b.Start(t.Context(), spec)
			if !errors.Is(err, isolate.ErrStart) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("start: %v, want %q", err, c.want)
			}
			_, again := b.Start(t.Context(), spec)
			if !errors.Is(again, isolate.ErrStart) {
				t.Fatalf("start again: %v", again)
			}
		})
	}
}

func TestBadCommandIsKnownUntilDestroy(t *testing.T) {
	b := newBench(t)
	spec := b.shell("")
	spec.Command = &mesos.CommandInfo{Shell: proto.Bool(false), Value: proto.String("/no/such")}
	if _, err := b.Start(t.Context(), spec); !errors.Is(err, isolate.ErrStart) {
		t.Fatal(err)
	}
	if exit := b.wait(spec); !strings.Contains(exit.Message, "no such file") || exit.Lost {
		t.Fatalf("exit %+v", exit)
	}
	if err := b.Destroy(t.Context(), spec.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Wait(t.Context(), spec.ID); !errors.Is(err, isolate.ErrUnknownContainer) {
		t.Fatalf("wait after destroy: %v", err)
	}
}

func TestTermEndsACommandThatDoesNotHandleIt(t *testing.T) {
	b := newBench(t)
	for _, all := range []bool{false, true} {
		for _, line := range []string{"exec sleep 1000", "sleep 1000", "sleep 1000; true"} {
			spec := b.shell(line)
			if _, err := b.Start(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			if err := b.Signal(spec.ID, int(syscall.SIGTERM), all); err != nil {
				t.Fatal(err)
			}
			if exit := b.wait(spec); exit.Signal != int(syscall.SIGTERM) || exit.Code != 0 || exit.OOM {
				t.Fatalf("%q, all %v: %+v", line, all, exit)
			}
			if err := b.Signal(spec.ID, int(syscall.SIGTERM), all); err != nil {
				t.Fatalf("signal after the end: %v", err)
			}
		}
	}
}

func TestCommandMayHandleSignals(t *testing.T) {
	b := newBench(t)
	spec := b.shell(`trap 'echo got; exit 5' USR1; echo ready > /tmp/x; while true; do sleep 0.01; done`)
	started, err := b.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the trap to be set", func() bool {
		_, err := os.Stat(filepath.Join(b.cfg.Dir, string(spec.ID), "tmp", "x"))
		return err == nil
	})
	if err := b.Signal(spec.ID, int(syscall.SIGUSR1), false); err != nil {
		t.Fatal(err)
	}
	if exit := b.wait(spec); exit.Code != 5 || b.output(spec) != "got\n" || started.PID == 0 {
		t.Fatalf("exit %+v, output %q", exit, b.output(spec))
	}
}

func TestKillEndsTheWholeTree(t *testing.T) {
	b := newBench(t)
	spec := b.shell("trap '' TERM; setsid sleep 1000 & setsid sleep 1000 & wait; wait")
	if _, err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if err := b.Signal(spec.ID, int(syscall.SIGKILL), true); err != nil {
		t.Fatal(err)
	}
	if exit := b.wait(spec); exit.Signal != int(syscall.SIGKILL) || exit.Lost {
		t.Fatalf("exit %+v", exit)
	}
	if left, err := state.Processes("/" + b.cfg.Cgroup); err != nil || len(left) > 0 {
		t.Fatalf("left: %v, %v", left, err)
	}
}

func TestMemoryLimitEndsWithOOM(t *testing.T) {
	b := newBench(t)
	spec := b.shell("exec tail /dev/zero")
	exit, _ := b.run(spec)
	if !exit.OOM || exit.Signal != int(syscall.SIGKILL) || exit.PeakMem < 48<<20 || exit.PeakMem > 65<<20 {
		t.Fatalf("exit %+v", exit)
	}
}

func TestMemoryOfAChildIsSeenWhenTheCommandEndsNormally(t *testing.T) {
	b := newBench(t)
	if exit, _ := b.run(b.shell("tail /dev/zero; exit 0")); !exit.OOM || exit.Code != 0 || exit.Signal != 0 {
		t.Fatalf("exit %+v", exit)
	}
}

func TestOutputOfTwoRunsIsAppended(t *testing.T) {
	b := newBench(t)
	spec := b.shell("echo one; echo err >&2")
	b.run(spec)
	if err := b.Destroy(t.Context(), spec.ID); err != nil {
		t.Fatal(err)
	}
	if _, out := b.run(spec); out != "one\none\n" {
		t.Fatalf("output %q", out)
	}
}

func TestStartedTwiceRunsOnce(t *testing.T) {
	b := newBench(t)
	spec := b.shell("echo run; exec sleep 1000")
	pids := make(chan int)
	for range 4 {
		go func() {
			status, err := b.Start(t.Context(), spec)
			if err != nil {
				t.Error(err)
			}
			pids <- status.PID
		}()
	}
	first := <-pids
	for range 3 {
		if pid := <-pids; pid != first || pid == 0 {
			t.Fatalf("PIDs %d and %d", first, pid)
		}
	}
	status, err := b.Status(spec.ID)
	if err != nil || status.PID != first || status.Started.IsZero() || len(status.Cgroups) == 0 {
		t.Fatalf("status %+v, %v", status, err)
	}
	eventually(t, "output", func() bool { return b.output(spec) != "" })
	if out := b.output(spec); out != "run\n" {
		t.Fatalf("output %q", out)
	}
}

func TestFiftyContainersAtOnce(t *testing.T) {
	b := newBench(t)
	specs := make([]isolate.Spec, 50)
	done := make(chan error)
	for i := range specs {
		specs[i] = b.shell(fmt.Sprintf("echo %d; exit %d", i, i))
	}
	for i := range specs {
		go func() {
			_, err := b.Start(t.Context(), specs[i])
			if err == nil {
				exit, failed := b.Wait(t.Context(), specs[i].ID)
				if err = failed; err == nil && exit.Code != i {
					err = fmt.Errorf("container %d: %+v", i, exit)
				}
			}
			done <- err
		}()
	}
	for range specs {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for i, spec := range specs {
		if out := b.output(spec); out != strconv.Itoa(i)+"\n" {
			t.Errorf("output of %d: %q", i, out)
		}
	}
	if ids, err := b.List(); err != nil || len(ids) != 50 {
		t.Fatalf("list: %v, %v", ids, err)
	}
}

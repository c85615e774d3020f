package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // the container's setup enters its namespaces before Go runs
	"golang.org/x/sys/unix"

	"muster/isolate/runc/seccomp"
	"muster/isolate/runc/state"
)

// What a driver hands down: where it listens for the start, the container's
// lock, and this program.
const (
	reportFD  = 3
	lockFD    = 4
	programFD = 5
)

// Main runs a shim, or a container's setup, and never returns, if this process
// was started as one. A program that may be started so calls it first.
func Main() {
	if os.Args[0] != state.Name || len(os.Args) < 2 {
		return
	}
	switch os.Args[1] {
	case "init":
		libcontainer.Init()
	case "run":
		if len(os.Args) != 3 {
			fatal(errors.New("usage: muster-shim run DIRECTORY"))
		}
		if err := run(state.Dir(os.Args[2])); err != nil {
			fatal(err)
		}
		os.Exit(0)
	}
	fatal(fmt.Errorf("unknown verb %q", os.Args[1]))
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "muster-shim:", err)
	os.Exit(1)
}

// lock is the container's. Only the end of this process frees it: whoever finds
// it free takes the shim for gone.
var lock *os.File

// run starts the container of dir, waits for its end and records it.
func run(dir state.Dir) error {
	unix.Umask(0o022) // not the daemon's
	lock = os.NewFile(lockFD, "lock")
	driver := os.NewFile(reportFD, "report")
	task, err := ready(dir)
	if err != nil {
		send(driver, state.Report{Failed: oneLine(err)})
		return err
	}
	c, err := start(dir, task)
	if err != nil {
		return c.fail(dir, driver, err)
	}
	send(driver, state.Report{Started: c.started})
	ended := c.wait()
	if err := record(dir, ended); err != nil {
		return fmt.Errorf("record the end: %w", err)
	}
	return state.Remove(task.Cgroup, time.Now().Add(10*time.Second))
}

// record writes the end down. Nobody else saw it, so while it cannot be written,
// as on a full disk, the shim stays and tries again: until the container's
// directory is gone, or its driver ends the shim.
func record(dir state.Dir, ended *state.Ended) error {
	const first = 100 * time.Millisecond
	for wait := first; ; wait = min(2*wait, 2*time.Second) {
		err := dir.WriteEnded(ended)
		if err == nil || !dir.Exists() {
			return err
		}
		if wait == first {
			fmt.Fprintln(os.Stderr, "muster-shim: the end is not recorded yet:", err)
		}
		time.Sleep(wait)
	}
}

// ready makes this process known as the shim of dir's task.
func ready(dir state.Dir) (*state.Task, error) {
	if err := state.Hold(lock); err != nil {
		return nil, err
	}
	task, err := dir.Task()
	if err != nil {
		return nil, err
	}
	return task, leaveCgroup(task)
}

// container is the one that this shim is the parent of.
type container struct {
	task    *state.Task
	process *libcontainer.Process
	line    line
	started *state.Started
}

// start returns when the command runs. A container that it returns with an
// error has left something behind, to be removed by fail.
func start(dir state.Dir, task *state.Task) (*container, error) {
	c := &container{task: task}
	root, err := stage(task)
	if err != nil {
		return c, err
	}
	config, err := config(task, root)
	if err != nil {
		return c, err
	}
	box, err := libcontainer.Create(filepath.Join(task.Stage, "runc"), "container", config)
	if err != nil {
		return c, err
	}
	closeFiles, err := c.prepare()
	defer closeFiles()
	if err != nil {
		return c, err
	}
	if err := box.Start(c.process); err != nil {
		return c, err
	}
	held, err := box.State()
	if err != nil {
		return c, err
	}
	c.started = &state.Started{
		PID:       held.InitProcessPid,
		StartTime: held.InitProcessStartTime,
		Cgroups:   held.CgroupPaths,
		At:        time.Now(),
	}
	// From this line on the command may have run: it must not be run again.
	if err := dir.WriteStarted(c.started); err != nil {
		return c, err
	}
	if err := box.Exec(); err != nil {
		return c, err
	}
	closeFiles()
	if err := c.began(); err != nil {
		return c, err
	}
	return c, unstage(task)
}

// prepare opens what the container's first process inherits. The returned
// function closes this process's copies, the second time without effect.
func (c *container) prepare() (func(), error) {
	var open []*os.File
	closeAll := func() {
		for _, f := range open {
			f.Close()
		}
		open = nil
	}
	var err error
	take := func(f *os.File, failed error) *os.File {
		if failed != nil {
			err = errors.Join(err, failed)
			return nil
		}
		open = append(open, f)
		return f
	}
	const appending = os.O_CREATE | os.O_WRONLY | os.O_APPEND
	stdin := take(os.Open(os.DevNull))
	stdout := take(os.OpenFile(c.task.Stdout, appending, 0o644))
	stderr := take(os.OpenFile(c.task.Stderr, appending, 0o644))
	program := take(os.NewFile(programFD, "program"), nil)
	ours, theirs, failed := newLine()
	take(theirs, failed)
	if err != nil {
		return closeAll, err
	}
	for _, f := range []*os.File{stdout, stderr} {
		if err := f.Chown(c.task.UID, c.task.GID); err != nil {
			return closeAll, err
		}
	}
	c.line = ours
	var filter []byte
	if c.task.Seccomp {
		filter = seccomp.Filter()
	}
	if err := ours.send(filter); err != nil {
		return closeAll, fmt.Errorf("send the seccomp filter: %w", err)
	}
	c.process = &libcontainer.Process{
		Init:             true,
		Args:             initArgs(c.task.Path, c.task.Args),
		Env:              c.task.Env,
		UID:              c.task.UID,
		GID:              c.task.GID,
		AdditionalGroups: c.task.Groups,
		Cwd:              c.task.Dir,
		Stdin:            stdin,
		Stdout:           stdout,
		Stderr:           stderr,
		ExtraFiles:       []*os.File{program, theirs},
	}
	return closeAll, nil
}

// began waits until the first process has executed the command.
func (c *container) began() error {
	switch kind, value, ok := c.line.next(); {
	case !ok:
		return errors.New("the container ended before its command began")
	case kind == 'E':
		return fmt.Errorf("exec %q: %w", c.task.Path, unix.Errno(value))
	case kind == 'F':
		return fmt.Errorf("enter the seccomp filter: %w", unix.Errno(value))
	}
	return nil
}

// wait returns how the container ended, read before its cgroups are removed.
func (c *container) wait() *state.Ended {
	// What the start took is not needed beside a task that stays.
	settled := time.AfterFunc(time.Second, debug.FreeOSMemory)
	defer settled.Stop()
	ended := &state.Ended{Signal: int(unix.SIGKILL)}
	seen := false
	for {
		kind, value, ok := c.line.next()
		if !ok {
			break
		}
		if kind == 'X' {
			ended.Code, ended.Signal = exitStatus(unix.WaitStatus(value))
			seen = true
		}
	}
	// The end of the pipe is the end of the first process, and that of all.
	left, err := c.process.Wait()
	if !seen && left != nil {
		if status, ok := left.Sys().(interface{ Signaled() bool }); ok && !status.Signaled() {
			ended.Code, ended.Signal = left.ExitCode(), 0
		}
	} else if !seen {
		ended.Failed = fmt.Sprintf("the container's end was not seen: %v", err)
	}
	kills, peak := state.OOM(c.started.Cgroups)
	ended.OOM, ended.PeakMem, ended.At = kills > 0, peak, time.Now()
	return ended
}

// fail removes what a failed start left and records why it failed.
func (c *container) fail(dir state.Dir, driver *os.File, cause error) error {
	until := time.Now().Add(10 * time.Second)
	ended := &state.Ended{Code: 127, Failed: oneLine(cause), At: time.Now()}
	if err := state.Kill(c.task.Cgroup); err != nil {
		return errors.Join(cause, err)
	}
	if err := dir.WriteEnded(ended); err != nil {
		return errors.Join(cause, err)
	}
	send(driver, state.Report{Failed: ended.Failed})
	return state.Remove(c.task.Cgroup, until)
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// send tells the driver, if one still listens: what it must know it can also
// read in the directory.
func send(driver *os.File, r state.Report) {
	if body, err := json.Marshal(r); err == nil {
		_, _ = io.WriteString(driver, string(body)+"\n")
	}
	driver.Close()
}

// leaveCgroup moves the shim out of the cgroups that it was started in, which
// end with the daemon's service. It stays where it is at the root.
func leaveCgroup(task *state.Task) error {
	body, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	roots, err := state.Hierarchies()
	if err != nil {
		return err
	}
	home := state.ShimCgroup(filepath.Dir(task.Cgroup))
	for line := range strings.Lines(string(body)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || fields[2] == "/" || fields[2] == home {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(fields[1], "name="), ",")
		root, ok := roots[name]
		if !ok {
			continue
		}
		if err := os.MkdirAll(filepath.Join(root, home), 0o755); err != nil {
			return fmt.Errorf("cgroup of shims: %w", err)
		}
		if err := os.WriteFile(filepath.Join(root, home, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("leave the daemon's cgroup: %w", err)
		}
	}
	return nil
}

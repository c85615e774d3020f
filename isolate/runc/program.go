package runc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"muster/isolate/runc/state"
)

// program is the shim's program in a sealed file in memory. libcontainer would
// otherwise copy it at every start, so that no container can change it.
type program struct{ file *os.File }

// load copies body, or this process's own program.
func load(body []byte) (*program, error) {
	var source io.Reader = bytes.NewReader(body)
	if body == nil {
		self, err := os.Open("/proc/self/exe")
		if err != nil {
			return nil, err
		}
		defer self.Close()
		source = self
	}
	const mfdExec = 0x10 // MFD_EXEC, since Linux 6.3; older kernels refuse it
	fd, err := unix.MemfdCreate(state.Name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|mfdExec)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(state.Name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), state.Name)
	if _, err := io.Copy(f, source); err != nil {
		f.Close()
		return nil, err
	}
	// Anybody may execute it: a container's first process runs as the task's user.
	if err := f.Chmod(0o555); err != nil {
		f.Close()
		return nil, err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, fmt.Errorf("seal: %w", err)
	}
	return &program{file: f}, nil
}

func (p *program) close() error { return p.file.Close() }

// environment keeps a shim small: one thread runs Go code, and garbage is
// collected early, except that a start makes less than it pays to collect.
var environment = []string{"GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=16MiB"}

// start runs a shim for dir and returns what it reports about its container.
// The shim runs on if ctx ends first.
func (p *program) start(ctx context.Context, dir state.Dir) (state.Report, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return state.Report{}, err
	}
	defer null.Close()
	log, err := os.OpenFile(dir.Log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return state.Report{}, err
	}
	defer log.Close()
	lock, err := dir.Lock()
	if err != nil {
		return state.Report{}, err
	}
	defer lock.Close()
	from, to, err := os.Pipe()
	if err != nil {
		return state.Report{}, err
	}
	defer from.Close()
	// syscall.ForkExec: an os.Process would keep a descriptor and want to be waited for.
	// The program is named by its number in the child: any other number may be
	// taken while the child puts its files in order.
	pid, err := syscall.ForkExec("/proc/self/fd/5",
		[]string{state.Name, "run", string(dir)},
		&syscall.ProcAttr{
			Dir:   "/",
			Env:   environment,
			Files: []uintptr{null.Fd(), log.Fd(), log.Fd(), to.Fd(), lock.Fd(), p.file.Fd()},
			// Its mounts are its own: nothing of a container is mounted on the host.
			Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS},
		})
	to.Close()
	if err != nil {
		return state.Report{}, fmt.Errorf("start shim: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { from.Close() })
	defer stop()
	body, err := io.ReadAll(from)
	if ctx.Err() != nil {
		return state.Report{}, context.Cause(ctx)
	}
	var report state.Report
	if err == nil {
		err = json.Unmarshal(body, &report)
	}
	if err != nil {
		reap(pid, true)
		return state.Report{}, fmt.Errorf("the shim ended before its container began: %s", lastLine(dir))
	}
	return report, nil
}

// reap takes an ended shim out of the process table, if it is our child. With
// wait it waits for the end, which must be near.
func reap(pid int, wait bool) {
	flags := unix.WNOHANG
	if wait {
		flags = 0
	}
	for {
		_, err := unix.Wait4(pid, nil, flags, nil)
		if !errors.Is(err, unix.EINTR) {
			return // ECHILD: it was started by an earlier daemon
		}
	}
}

// lastLine returns what a shim said last: a failure of its own, not of its
// container, which it reports.
func lastLine(dir state.Dir) string {
	f, err := os.Open(dir.Log())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	var tail [2048]byte
	if info, err := f.Stat(); err == nil && info.Size() > int64(len(tail)) {
		if _, err := f.Seek(-int64(len(tail)), io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	n, err := io.ReadFull(f, tail[:])
	if n == 0 {
		return fmt.Sprintf("and said nothing (%v)", err)
	}
	lines := strings.Split(strings.TrimSpace(string(tail[:n])), "\n")
	return lines[len(lines)-1]
}

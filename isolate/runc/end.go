package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"muster/isolate"
	"muster/isolate/runc/state"
)

// Wait returns how the container ended. If its shim died, it ends what the
// shim left and says that the end is lost.
func (d *Driver) Wait(ctx context.Context, id isolate.ID) (isolate.Exit, error) {
	if err := checkID(id); err != nil {
		return isolate.Exit{}, err
	}
	for {
		ended, shim, err := d.look(ctx, id)
		if err != nil {
			return isolate.Exit{}, fmt.Errorf("wait for container %s: %w", id, err)
		}
		if ended != nil {
			return exit(ended), nil
		}
		err = await(ctx, shim, 0)
		shim.File.Close()
		if err != nil {
			return isolate.Exit{}, err
		}
	}
}

// look returns either how the container ended or its live shim. It never meets
// a container that this process is just starting.
func (d *Driver) look(ctx context.Context, id isolate.ID) (*state.Ended, *state.Shim, error) {
	defer d.locks.lock(id)()
	dir := d.dir(id)
	if !dir.Exists() {
		return nil, nil, isolate.ErrUnknownContainer
	}
	shim, err := dir.Shim() // before the end is looked for: it writes, then dies
	if err != nil {
		return nil, nil, err
	}
	ended, err := dir.Ended()
	if err != nil || ended != nil {
		closeShim(shim)
		return ended, nil, err
	}
	if shim != nil {
		return nil, shim, nil
	}
	ended, err = d.lost(ctx, id)
	return ended, nil, err
}

// lost ends a container whose shim has died, and records that.
func (d *Driver) lost(ctx context.Context, id isolate.ID) (*state.Ended, error) {
	dir := d.dir(id)
	started, err := dir.Started()
	if err != nil {
		return nil, err
	}
	ended := &state.Ended{Lost: "the container's shim died", At: time.Now()}
	if started == nil {
		ended.Lost = "the container's shim died before the command began"
	} else {
		kills, peak := state.OOM(started.Cgroups)
		ended.OOM, ended.PeakMem = kills > 0, peak
	}
	if err := d.kill(ctx, id); err != nil {
		return nil, err
	}
	return ended, dir.WriteEnded(ended)
}

func exit(e *state.Ended) isolate.Exit {
	out := isolate.Exit{
		Code: e.Code, Signal: e.Signal, OOM: e.OOM, PeakMem: e.PeakMem,
		Lost: e.Lost != "", Message: e.Failed, At: e.At,
	}
	if out.Lost {
		out.Message = e.Lost
	}
	return out
}

// Signal sends sig to the container's first process, which passes it on to the
// command, or to all of its processes but that one. A container that has ended
// takes signals without effect.
func (d *Driver) Signal(id isolate.ID, sig int, all bool) error {
	started, err := d.started(id)
	if err != nil {
		return err
	}
	signal := unix.Signal(sig)
	if deadly(signal) && state.Frozen(started.Cgroups) { // it could not end
		if err := state.Freeze(started.Cgroups, false); err != nil {
			return wrapSignal(id, err)
		}
	}
	if !all || signal == unix.SIGKILL { // the death of the first process is that of all
		err := send(started.PID, signal, func() bool {
			ticks, alive := state.StartTime(started.PID)
			return alive && ticks == started.StartTime
		})
		return wrapSignal(id, err)
	}
	pids, err := state.Processes(d.cgroup(id))
	if err != nil {
		return wrapSignal(id, err)
	}
	var failed error
	for _, pid := range pids {
		if pid != started.PID {
			failed = errors.Join(failed, send(pid, signal, func() bool { return d.within(pid, id) }))
		}
	}
	return wrapSignal(id, failed)
}

// deadly reports whether a signal is sent for a container to end.
func deadly(s unix.Signal) bool { return s == unix.SIGKILL || s == unix.SIGTERM || s == unix.SIGINT }

func wrapSignal(id isolate.ID, err error) error {
	if err == nil || isGone(err) {
		return nil
	}
	return fmt.Errorf("signal container %s: %w", id, err)
}

// send signals a process that is still the one meant: ours is asked while a
// pidfd keeps another process from being mistaken for it.
func send(pid int, sig unix.Signal, ours func() bool) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(fd)
	if !ours() {
		return nil
	}
	return ignoreGone(unix.PidfdSendSignal(fd, sig, nil, 0))
}

func ignoreGone(err error) error {
	if isGone(err) {
		return nil
	}
	return err
}

// within reports whether a process is in the container's cgroups.
func (d *Driver) within(pid int, id isolate.ID) bool {
	body, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return false
	}
	cgroup := d.cgroup(id)
	for line := range strings.Lines(string(body)) {
		if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); len(fields) == 3 &&
			(fields[2] == cgroup || strings.HasPrefix(fields[2], cgroup+"/")) {
			return true
		}
	}
	return false
}

// Destroy ends the container and removes all of it but the sandbox.
func (d *Driver) Destroy(ctx context.Context, id isolate.ID) error {
	if err := checkID(id); err != nil {
		return err
	}
	defer d.locks.lock(id)()
	return d.remove(ctx, id)
}

func (d *Driver) remove(ctx context.Context, id isolate.ID) error {
	if err := d.kill(ctx, id); err != nil {
		return fmt.Errorf("destroy container %s: %w", id, err)
	}
	// Put aside first: from here on it does not exist, whatever happens.
	aside := filepath.Join(d.cfg.Dir, ".gone-"+string(id))
	if err := os.Rename(string(d.dir(id)), aside); err != nil && !isGone(err) {
		return fmt.Errorf("destroy container %s: %w", id, err)
	}
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("destroy container %s: %w", id, err)
	}
	return nil
}

const (
	killTime = 10 * time.Second // until processes that do not die are given up
	shimTime = 2 * time.Second  // for a shim to write down the end of its container
)

// kill ends the container's processes and its shim, and removes its cgroups.
func (d *Driver) kill(ctx context.Context, id isolate.ID) error {
	shim, err := d.dir(id).Shim()
	if err != nil {
		return err
	}
	defer closeShim(shim)
	cgroup := d.cgroup(id)
	started, err := d.dir(id).Started()
	if err != nil {
		return err
	}
	if shim != nil && started == nil { // it would only bring more to life
		if err := unix.PidfdSendSignal(int(shim.File.Fd()), unix.SIGKILL, nil, 0); ignoreGone(err) != nil {
			return err
		}
	}
	deadline := time.Now().Add(killTime)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		if err := state.Kill(cgroup); err != nil {
			return err
		}
		left, err := state.Processes(cgroup)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes do not end: %v", len(left), left)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	if shim != nil {
		if err := endShim(ctx, shim); err != nil {
			return err
		}
	}
	return state.Remove(cgroup, deadline)
}

// endShim waits for the shim to end by itself, and kills it if it does not.
func endShim(ctx context.Context, shim *state.Shim) error {
	limited, cancel := context.WithTimeout(ctx, shimTime)
	defer cancel()
	if await(limited, shim, 0) == nil {
		return nil
	}
	if err := unix.PidfdSendSignal(int(shim.File.Fd()), unix.SIGKILL, nil, 0); ignoreGone(err) != nil {
		return err
	}
	if err := shim.File.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return await(ctx, shim, killTime)
}

// await returns when the shim has ended, which it then is no zombie of, when
// ctx ends, or after limit, if that is not 0, with os.ErrDeadlineExceeded.
func await(ctx context.Context, shim *state.Shim, limit time.Duration) error {
	if limit > 0 {
		if err := shim.File.SetReadDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = shim.File.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, err := shim.File.SyscallConn()
	if err != nil {
		return err
	}
	err = conn.Read(func(fd uintptr) bool {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return ready > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	reap(shim.PID, false)
	return nil
}

func closeShim(s *state.Shim) {
	if s != nil {
		s.File.Close()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

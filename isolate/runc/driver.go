package runc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"muster/isolate"
	"muster/isolate/runc/seccomp"
	"muster/isolate/runc/state"
)

// Config of a Driver. Dir is required.
type Config struct {
	Dir     string   // one directory per container below it; the driver owns it
	Hidden  []string // host directories that containers must not see; Dir always is
	Program []byte   // the shim's program; nil: this process's own, which must call shim.Main first
	Cgroup  string   // parent of the containers' cgroups ["muster"]
	Pids    int64    // processes and threads a container may have [4096]
}

// Driver runs containers. It is safe for concurrent use.
type Driver struct {
	cfg     Config
	program *program
	host    *host
	noSwap  bool
	log     *slog.Logger
	locks   locks
}

var _ isolate.Driver = (*Driver)(nil)

// New returns a driver for the containers below cfg.Dir, also for those that an
// earlier one started. It finishes removals that were cut short.
func New(cfg Config, log *slog.Logger) (*Driver, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cfg.Cgroup == "" {
		cfg.Cgroup = "muster"
	}
	if cfg.Pids == 0 {
		cfg.Pids = 4096
	}
	if err := os.MkdirAll(cfg.Dir, 0o711); err != nil {
		return nil, fmt.Errorf("container directory: %w", err)
	}
	dir, err := filepath.EvalSymlinks(cfg.Dir)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("container directory: %w", err)
	}
	cfg.Dir = dir
	d := &Driver{cfg: cfg, log: log, locks: locks{held: make(map[isolate.ID]*lock)}}
	if d.program, err = load(cfg.Program); err != nil {
		return nil, fmt.Errorf("shim: %w", err)
	}
	if d.host, err = newHost(append(cfg.Hidden, dir)); err != nil {
		return nil, fmt.Errorf("hidden directories: %w", err)
	}
	if err := os.MkdirAll(d.stage(), 0o755); err != nil {
		return nil, err
	}
	d.noSwap = canLimitSwap()
	if err := d.clean(); err != nil {
		return nil, err
	}
	d.weighed(state.Weigh(d.parent(), runtime.NumCPU()))
	if !seccomp.Available {
		log.Warn("containers run without seccomp: no list of system calls for this architecture", "arch", runtime.GOARCH)
	}
	return d, nil
}

// Close gives up what the driver holds; the containers run on. The last one to
// leave removes the cgroup that they shared.
func (d *Driver) Close() error {
	return errors.Join(d.program.close(), state.Leave(d.parent()))
}

// weighed tells of containers that together may get no more than one of their
// neighbours. They run all the same.
func (d *Driver) weighed(err error) {
	if err != nil {
		d.log.Warn("all containers together have no more weight than any other group of processes on this machine", "cgroup", d.parent(), "err", err)
	}
}

// clean removes the directories that Destroy had put aside.
func (d *Driver) clean() error {
	aside, err := filepath.Glob(filepath.Join(d.cfg.Dir, ".gone-*"))
	if err != nil {
		return err
	}
	for _, path := range aside {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove container: %w", err)
		}
	}
	return nil
}

func (d *Driver) dir(id isolate.ID) state.Dir {
	return state.Dir(filepath.Join(d.cfg.Dir, string(id)))
}

// stage is an empty directory. Every shim builds its container's root there,
// in a mount namespace of its own.
func (d *Driver) stage() string { return filepath.Join(d.cfg.Dir, ".stage") }

// parent is the cgroup that all containers share.
func (d *Driver) parent() string { return filepath.Join("/", d.cfg.Cgroup) }

func (d *Driver) cgroup(id isolate.ID) string { return filepath.Join(d.parent(), string(id)) }

// Start runs the container, or finds out that it was started before.
func (d *Driver) Start(ctx context.Context, spec isolate.Spec) (isolate.Status, error) {
	if err := checkID(spec.ID); err != nil {
		return isolate.Status{}, err
	}
	defer d.locks.lock(spec.ID)()
	dir := d.dir(spec.ID)
	if dir.Exists() {
		started, err := d.attach(ctx, spec.ID)
		if started != nil || err != nil {
			return status(started), err
		}
		// Its start was cut short before its command ran: again from the beginning.
		if err := d.remove(ctx, spec.ID); err != nil {
			return isolate.Status{}, err
		}
	}
	task, err := d.task(spec)
	if err != nil {
		return isolate.Status{}, fmt.Errorf("container %s: %w", spec.ID, err)
	}
	if err := dir.WriteTask(task); err != nil {
		return isolate.Status{}, fmt.Errorf("container %s: %w", spec.ID, err)
	}
	d.weighed(state.Join(d.parent(), runtime.NumCPU())) // another daemon may have been the last to leave it
	report, err := d.program.start(ctx, dir)
	if err != nil {
		return isolate.Status{}, fmt.Errorf("container %s: %w", spec.ID, err)
	}
	if report.Started == nil {
		return isolate.Status{}, fmt.Errorf("container %s: %w: %s", spec.ID, isolate.ErrStart, report.Failed)
	}
	return status(report.Started), nil
}

// attach waits until a container that some driver has begun to start has done
// so. It returns nil if it never ran, and nobody will run it now.
func (d *Driver) attach(ctx context.Context, id isolate.ID) (*state.Started, error) {
	dir := d.dir(id)
	for {
		shim, err := dir.Shim()
		if err != nil {
			return nil, err
		}
		ended, err := dir.Ended()
		if err == nil && ended != nil && ended.Failed != "" {
			err = fmt.Errorf("container %s: %w: %s", id, isolate.ErrStart, ended.Failed)
		}
		started, startErr := dir.Started()
		if err := errors.Join(err, startErr); err != nil || started != nil || shim == nil {
			closeShim(shim)
			return started, err
		}
		// Rare: a daemon died while a shim was at work, which takes milliseconds.
		err = await(ctx, shim, 2*time.Millisecond)
		shim.File.Close()
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
	}
}

// Status tells of a container that has begun to run its command.
func (d *Driver) Status(id isolate.ID) (isolate.Status, error) {
	started, err := d.started(id)
	return status(started), err
}

func (d *Driver) started(id isolate.ID) (*state.Started, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	started, err := d.dir(id).Started()
	if err == nil && started == nil {
		err = fmt.Errorf("container %s: %w", id, isolate.ErrUnknownContainer)
	}
	return started, err
}

func status(s *state.Started) isolate.Status {
	if s == nil {
		return isolate.Status{}
	}
	return isolate.Status{PID: s.PID, Cgroups: s.Cgroups, Started: s.At}
}

// List names the containers that were started and not destroyed.
func (d *Driver) List() ([]isolate.ID, error) {
	entries, err := os.ReadDir(d.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var ids []isolate.ID
	for _, e := range entries {
		id := isolate.ID(e.Name())
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && d.dir(id).Exists() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// checkID refuses what could not be a file name, or would be one of ours.
func checkID(id isolate.ID) error {
	const ok = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
	if id == "" || len(id) > 200 || id[0] == '.' || strings.Trim(string(id), ok) != "" {
		return fmt.Errorf("container ID %q: %w: want letters, digits, '_', '-' and '.'", id, isolate.ErrStart)
	}
	return nil
}

// canLimitSwap reports whether the kernel counts swap by cgroup.
func canLimitSwap() bool {
	if state.Unified() {
		_, err := os.Stat("/proc/swaps") // the kernel has swap: memory.swap.max exists in every cgroup
		return err == nil
	}
	_, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
	return err == nil
}

// locks serializes what is done to one container within this process.
type locks struct {
	mu   sync.Mutex
	held map[isolate.ID]*lock
}

type lock struct {
	sync.Mutex
	users int
}

// lock returns the function that unlocks.
func (l *locks) lock(id isolate.ID) func() {
	l.mu.Lock()
	k := l.held[id]
	if k == nil {
		k = new(lock)
		l.held[id] = k
	}
	k.users++
	l.mu.Unlock()
	k.Lock()
	return func() {
		k.Unlock()
		l.mu.Lock()
		if k.users--; k.users == 0 {
			delete(l.held, id)
		}
		l.mu.Unlock()
	}
}

// isGone reports whether err says that a process or file is not there any more.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrProcessDone)
}

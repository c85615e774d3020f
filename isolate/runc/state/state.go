package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Name is argv[0] of a shim and of the container's setup: a program that may
// be called so must hand itself to shim.Main first of all.
const Name = "muster-shim"

// Task is all that a shim needs to know. Everything is resolved: the shim looks
// up no user, searches no configuration and knows nothing of Mesos.
type Task struct {
	ID       string   // of the container
	Cgroup   string   // below each hierarchy's root, such as /muster/<id>
	Path     string   // program to run; looked up in PATH of Env if it has no slash
	Args     []string // whole argument vector
	Env      []string
	Dir      string // working directory inside the container
	UID, GID int
	Groups   []int
	Hostname string // "" shares the host's

	Stage  string   // empty directory at which the shim builds the container's root
	Mounts []Mount  // of host directories, in this order
	Links  []Link   // symbolic links
	Masked []string // absolute paths inside the container that it must not see
	Shown  []Mount  // below masked paths, all the same
	Inside []Mount  // onto directories of the host, for this container alone, before it is shown them
	Last   []Mount  // after all others; their targets lead through no link
	Stdout string   // files to append to
	Stderr string

	Limits  Limits
	Seccomp bool
}

// Mount shows a directory of the host, and all that is mounted below it unless
// it may be written to.
type Mount struct {
	Source string
	Target string // absolute inside the container; made if it does not exist
	Write  bool   // not read-only
	Whole  bool   // with all that is mounted below it, though it may be written to
}

// Link is a symbolic link inside the container.
type Link struct{ Path, To string }

// Limits are the settings of the container's cgroups. Zero leaves the kernel's default.
type Limits struct {
	CPUShares uint64 // as on cgroup v1: 1024 is one CPU
	CPUQuota  int64  // microseconds per 100 ms
	CPUIdle   bool   // only what others leave
	Memory    int64  // bytes, hard
	MemorySet int64  // bytes, soft: reclaimed above it first
	NoSwap    bool   // the kernel can limit swap, and swap is off
	Pids      int64
}

// Started is what a shim knows of a container that is about to run its command.
type Started struct {
	PID       int    // of the container's first process, on the host
	StartTime uint64 // of that process, in clock ticks: tells it from a later one of the same PID
	Cgroups   map[string]string
	At        time.Time
}

// Ended is how a container ended.
type Ended struct {
	Code    int
	Signal  int
	OOM     bool
	PeakMem uint64
	Failed  string // why the command could not be started: it never ran
	Lost    string // why nobody saw how it ended
	At      time.Time
}

// Report is the one line that a shim sends to a driver which waits for it.
type Report struct {
	Started *Started `json:",omitempty"`
	Failed  string   `json:",omitempty"`
}

// Dir is a container's directory.
type Dir string

func (d Dir) path(name string) string { return filepath.Join(string(d), name) }

// Log names the file that takes the shims' own output: one beside all
// containers, because they hardly ever have any.
func (d Dir) Log() string { return filepath.Join(filepath.Dir(string(d)), ".shims.log") }

// Exists reports whether a driver has begun to start the container.
func (d Dir) Exists() bool {
	_, err := os.Lstat(d.path("task.json"))
	return err == nil
}

// WriteTask makes the container exist.
func (d Dir) WriteTask(t *Task) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode task.json: %w", err)
	}
	// Whoever finds half of it finds no shim either, and starts again.
	return os.WriteFile(d.path("task.json"), body, 0o600)
}

// Task reads what WriteTask wrote.
func (d Dir) Task() (*Task, error) { return read[Task](d, "task.json") }

// WriteStarted records that the command is about to run.
func (d Dir) WriteStarted(s *Started) error { return d.write("start.json", s, false) }

// Started returns nil if the command never ran.
func (d Dir) Started() (*Started, error) { return readOptional[Started](d, "start.json") }

// WriteEnded records the end. It is on disk when it returns: nobody else saw it.
func (d Dir) WriteEnded(e *Ended) error { return d.write("exit.json", e, true) }

// Ended returns nil if the end of the container was not seen yet.
func (d Dir) Ended() (*Ended, error) { return readOptional[Ended](d, "exit.json") }

// write replaces a file as a whole: a reader sees the old one or the new one.
func (d Dir) write(name string, v any, durable bool) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	part := d.path("." + name)
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err == nil && durable {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(part, d.path(name))
}

func read[T any](d Dir, name string) (*T, error) {
	body, err := os.ReadFile(d.path(name))
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("decode %s: %w", d.path(name), err)
	}
	return v, nil
}

func readOptional[T any](d Dir, name string) (*T, error) {
	v, err := read[T](d, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return v, err
}

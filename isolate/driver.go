package isolate

import (
	"context"
	"errors"
	"time"

	"muster/offers/mesos"
	"muster/offers/resource"
)

// ID names a container; unique on its agent for all time, also as a file name.
type ID string

// Spec is all that a driver needs to run one container.
type Spec struct {
	ID        ID
	Command   *mesos.CommandInfo   // shell or argv, environment, user
	Container *mesos.ContainerInfo // nil: the host's root read-only, a private /tmp and the sandbox
	Env       []string             // NAME=value, complete: nothing of the daemon's own is inherited
	User      string               // whom the command runs as; "" is root
	Hostname  string               // "" keeps the host's
	Sandbox   string               // host path of the sandbox; holds stdout and stderr
	Resources resource.Set         // what is guaranteed: cpus, mem, …
	Limits    map[string]float64   // hard limits by resource name, +Inf for none; nil: mem is limited to its request
	Revocable bool                 // runs at the lowest CPU weight
	Volumes   []Volume             // what it sees besides; no target lies inside another
	Hidden    []string             // host directories that it must not see, besides the driver's own
}

// Volume is a directory of the host that a container sees.
type Volume struct {
	Source   string // on the host
	Target   string // in the container; relative is in the sandbox
	ReadOnly bool
}

// Status is what a driver knows of a container that was started.
type Status struct {
	PID     int               // of the container's first process, on the host
	Cgroups map[string]string // absolute directory by v1 controller; "" is the unified hierarchy
	Started time.Time
}

// Exit is how a container ended.
type Exit struct {
	Code    int    // exit code, if Signal is 0
	Signal  int    // number of the signal that ended the first process
	OOM     bool   // the kernel killed a process of the container for its memory limit
	PeakMem uint64 // bytes; 0 is unknown
	Lost    bool   // the container's parent died with it; nobody saw the exit status
	Message string // why the command could not even be started, or why it was lost
	At      time.Time
}

var (
	// ErrUnknownContainer: the driver holds nothing under this ID.
	ErrUnknownContainer = errors.New("unknown container")
	// ErrStart: the command could not be started; the text says why.
	ErrStart = errors.New("container did not start")
)

// Driver runs containers that outlive the process that started them. All
// methods may be called by many goroutines, and again after any failure.
type Driver interface {
	// Start runs spec's command and returns when it runs, or has already ended.
	// Started twice under one ID, it runs once.
	Start(ctx context.Context, spec Spec) (Status, error)
	// Status tells of a started container, also one of an earlier daemon.
	Status(id ID) (Status, error)
	// Wait returns how the container ended, again and again until Destroy.
	Wait(ctx context.Context, id ID) (Exit, error)
	// Signal sends sig to the container's first process, or to all with all.
	Signal(id ID, sig int, all bool) error
	// Destroy ends what still runs and removes every trace but the sandbox.
	Destroy(ctx context.Context, id ID) error
	// List names all containers that were started and not destroyed.
	List() ([]ID, error)
}

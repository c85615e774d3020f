package telemetry

import (
	"errors"
	"time"
)

// ErrVanished: the container's cgroup does not exist, or no longer.
var ErrVanished = errors.New("cgroup has vanished")

// Container is what a Source must know to measure one.
type Container struct {
	ID      string
	Cgroups map[string]string // absolute directory by v1 controller; "" is the unified hierarchy
}

// Sample holds a container's counters since it was added, and gauges, at one moment.
type Sample struct {
	At                               time.Time
	CPU                              time.Duration // on a CPU, user and system
	CPUUser                          time.Duration // 0 where the source cannot tell
	CPUSys                           time.Duration
	RunQueue                         time.Duration // runnable and waiting for a CPU
	Preempted                        time.Duration // of RunQueue, while others had the CPU; not for its own quota
	Delays                           [24]uint64    // run-queue waits by log2 of microseconds
	Switches                         uint64        // context switches away
	MinorFlt                         uint64
	MajorFlt                         uint64
	ReadBytes, WriteBytes            uint64 // block IO as the tasks asked for it
	RxBytes, TxBytes                 uint64
	RxPackets, TxPackets             uint64
	OOMKills                         uint64
	Throttled                        time.Duration // by the container's own CPU quota
	Periods, ThrottledPeriods        uint64
	MemTotal, MemRSS, MemCache       uint64 // bytes, from cgroup files
	MemWorkingSet, MemLimit, MemSwap uint64
	Processes                        uint64
}

// Source reads counters by container. Safe for concurrent use.
type Source interface {
	// Name tells where the figures come from: "ebpf" or "cgroup".
	Name() string
	// Add starts measuring c. Adding an ID again replaces it. ErrVanished if
	// its cgroup is already gone.
	Add(c Container) error
	Remove(id string)
	// Read returns one sample per container. A container whose cgroup has
	// vanished is left out; that is not an error.
	Read() (map[string]Sample, error)
	Close() error
}

// Final is a Source that can tell one container's sample alone and cheaply,
// and still can when its cgroup has vanished, as long as it was not removed.
type Final interface {
	ReadOne(id string) (Sample, bool)
}

// Pulse is what a fast look at one container tells: counters as in Sample.
type Pulse struct {
	At             time.Time
	CPU, Preempted time.Duration
}

// Pulser is a Source of which some containers can be read many times a second.
type Pulser interface {
	Pulse(ids []string) (map[string]Pulse, error)
}

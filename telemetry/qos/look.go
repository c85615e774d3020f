package qos

import (
	"math"
	"time"
)

// Look is what one window showed.
type Look struct {
	At        time.Duration // of its end, on a clock that is never set
	Window    time.Duration // that it covers
	Capacity  float64       // CPUs of the machine
	System    float64       // CPUs that were kept busy by what is no task
	MemTotal  uint64        // bytes of the machine
	MemUsed   uint64        // that could not be freed at once
	Firm      []Firm
	Revocable []Revocable
}

// Firm is a task that was promised what it has.
type Firm struct {
	ID     string
	Name   string        // for people [ID]
	CPUs   float64       // kept busy
	Waited time.Duration // for CPUs that others held, summed over its threads; its own quota is no other
}

// Revocable is a task that runs on what others leave.
type Revocable struct {
	ID      string
	Order   uint64  // of its start: the youngest has the highest
	Request float64 // CPUs that it was launched with
	CPUs    float64 // kept busy
	Mem     uint64  // bytes that its end would free
}

// Level is how far the controller has gone.
type Level int

// The levels, each with all that comes before it. Revocable tasks have the idle
// weight at all levels: that is the first and cheapest measure.
const (
	Calm      Level = iota
	Limited         // nothing more is offered, and what they use was halved
	Tightened       // they have what is left of the share of all CPUs
	Freezing        // the youngest stand still
)

func (l Level) String() string {
	return [...]string{"calm", "limited", "tightened", "freezing"}[l]
}

// Decision is what is to be from now on.
type Decision struct {
	Level    Level
	Withhold bool     // offer nothing revocable beyond what is in use
	Quota    float64  // CPUs that all revocable tasks together may keep busy; +Inf is no limit
	Targets  []Target // one for each revocable task, in the order of the look
	Actions  []Action // what has just changed
	Violated bool     // a firm task suffers, whoever is to blame
}

// Target is what one revocable task may do.
type Target struct {
	ID     string
	CPUs   float64 // +Inf is no limit
	Frozen bool
	Evict  bool
}

// Kind of an Action.
type Kind string

// The kinds of action, and of undoing it.
const (
	Withhold Kind = "withhold"
	Limit    Kind = "limit"
	Freeze   Kind = "freeze"
	Evict    Kind = "evict"
	Thaw     Kind = "thaw"
	Relax    Kind = "relax"
	Unlimit  Kind = "unlimit"
	Resume   Kind = "resume"
)

// Action is a change, for people to read.
type Action struct {
	Kind   Kind
	Task   string  // the revocable task; "" is all
	CPUs   float64 // for limit and relax: of all revocable tasks
	Cause  string  // the firm task that suffers; "" is none in particular
	Reason string
}

// firmUse is what is kept busy by all that is not revocable.
func (l *Look) firmUse() float64 {
	sum := l.System
	for _, f := range l.Firm {
		sum += f.CPUs
	}
	return sum
}

func (l *Look) revocableUse() float64 {
	sum := 0.
	for _, r := range l.Revocable {
		sum += r.CPUs
	}
	return sum
}

// per100 scales a wait to a window of 100 ms.
func (l *Look) per100(d time.Duration) time.Duration {
	if l.Window <= 0 {
		return 0
	}
	return time.Duration(float64(d) * float64(100*time.Millisecond) / float64(l.Window))
}

// clean replaces what no machine can have, so that a bad reading moves nothing.
func clean(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return 0
	}
	return v
}

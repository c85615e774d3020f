package oversubscription

import (
	"math"
	"slices"
	"time"

	"muster/telemetry/estimate"
)

// A Trace is what tasks really used, in steps of equal length.
type Trace struct {
	Name      string
	Step      time.Duration
	Kinds     []estimate.Kind // what it tells of
	Tasks     []Task
	Synthetic []string // what is not measured but made up, in words
	Files     []File
}

// File is one that a trace was read from.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// Task is one series. A value is missing where it is NaN.
type Task struct {
	Name  string
	Node  string // where it ran; "" if the trace does not tell
	Start int    // first step
	Limit estimate.Amounts
	Used  [estimate.Kinds][]float32 // equally long; nil where the trace does not tell
}

// Len is how many steps the task is in the trace.
func (t *Task) Len() int {
	n := 0
	for _, series := range t.Used {
		n = max(n, len(series))
	}
	return n
}

// Steps is the length of the whole trace.
func (t *Trace) Steps() int {
	end := 0
	for i := range t.Tasks {
		end = max(end, t.Tasks[i].Start+t.Tasks[i].Len())
	}
	return end
}

// Placed tells whether the trace says of every task where it ran.
func (t *Trace) Placed() bool {
	return len(t.Tasks) > 0 && !slices.ContainsFunc(t.Tasks, func(task Task) bool { return task.Node == "" })
}

var missing = float32(math.NaN())

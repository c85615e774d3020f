package estimate

import "math"

// Kind is a resource that is predicted.
type Kind int

const (
	CPU   Kind = iota // CPUs
	Mem               // bytes
	Kinds             // how many there are
)

// Amounts of each resource.
type Amounts [Kinds]float64

// Sample is what one task uses at one moment.
type Sample struct {
	Task  string
	Used  Amounts // NaN, infinite or negative: was not measured
	Limit Amounts // what the task was allocated
}

func measured(v float64) bool { return v >= 0 && !math.IsInf(v, 1) }

// clip holds v between low and high; where they contradict, high counts.
func clip(v, low, high float64) float64 {
	if !(v >= low) { // NaN too
		v = low
	}
	return min(v, high)
}

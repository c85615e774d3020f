package main

import (
	"context"
	"slices"
)

const (
	lower  = "lower"
	higher = "higher"
)

// row is one line of the table. Values, goals and references are in its unit.
type row struct {
	name      string
	unit      string
	goal      float64
	better    string // lower or higher
	reference reference
	root      bool // it needs root, for containers or eBPF
	worst     bool // the value is the worst sample; otherwise their median
	measure   func(ctx context.Context, m *machine) (outcome, error)
}

// reference is what another system, or an earlier one, takes for the same. Of a
// range of figures it is the one that flatters muster least.
type reference struct {
	of    string // "" if there is none
	value float64
}

// outcome is what a row's measuring found.
type outcome struct {
	samples []float64
	notes   []string // what else was seen, such as memory
}

// result is a row with its value, or why it has none.
type result struct {
	row
	value, low, high float64
	runs             int
	notes            []string
	err              error
}

// met tells whether the goal is.
func (r result) met() bool {
	if r.better == lower {
		return r.value <= r.goal
	}
	return r.value >= r.goal
}

// ratio says how many times better than the reference the value is; 0 without one.
func (r result) ratio() float64 {
	switch {
	case r.reference.of == "" || r.value <= 0:
		return 0
	case r.better == lower:
		return r.reference.value / r.value
	default:
		return r.value / r.reference.value
	}
}

func failures(results []result) int {
	n := 0
	for _, r := range results {
		if r.err != nil && !isLeftOut(r) {
			n++
		}
	}
	return n
}

func median(samples []float64) float64 { return quantile(samples, 0.5) }

// quantile interpolates between the samples next to the place.
func quantile(samples []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

func bounds(samples []float64) (low, high float64) { return slices.Min(samples), slices.Max(samples) }

// extreme is the worst sample.
func extreme(samples []float64, better string) float64 {
	if better == lower {
		return slices.Max(samples)
	}
	return slices.Min(samples)
}

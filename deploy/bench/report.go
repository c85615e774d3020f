package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"text/tabwriter"
)

func isLeftOut(r result) bool { return errors.Is(r.err, errCannot) }

// printTable prints the rows that were measured, and below them what was seen
// beside, and why others are missing.
func printTable(w io.Writer, results []result) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "NAME\tMUSTER\tGOAL\tREFERENCE\tRATIO")
	for _, r := range results {
		if r.err == nil {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.name, r.shown(), r.shownGoal(), r.shownReference(), r.shownRatio())
		}
	}
	_ = t.Flush() // to a terminal or a pipe: who closed it does not want it
	for _, r := range results {
		for _, note := range r.notes {
			fmt.Fprintf(w, "\n%s: %s", r.name, note)
		}
	}
	fmt.Fprintln(w)
	for _, r := range results {
		switch {
		case isLeftOut(r):
			fmt.Fprintf(w, "left out: %s: %v\n", r.name, r.err)
		case r.err != nil:
			fmt.Fprintf(w, "FAILED: %s: %v\n", r.name, r.err)
		}
	}
}

func (r result) shown() string {
	text := quantity(r.value, r.unit)
	if r.runs > 1 {
		text += fmt.Sprintf(" (%s to %s)", number(r.low), number(r.high))
	}
	return text
}

func (r result) shownGoal() string {
	sign, verdict := "≤ ", ""
	if r.better == higher {
		sign = "≥ "
	}
	if !r.met() {
		verdict = " missed"
	}
	return sign + given(r.goal, r.unit) + verdict
}

func (r result) shownReference() string {
	if r.reference.of == "" {
		return "-"
	}
	return r.reference.of + " " + given(r.reference.value, r.unit)
}

func (r result) shownRatio() string {
	if r.ratio() == 0 {
		return "-"
	}
	return number(r.ratio()) + "×"
}

// given is a figure that nobody measured here, as it was given.
func given(v float64, unit string) string {
	return strconv.FormatFloat(v, 'f', -1, 64) + " " + unit
}

func quantity(v float64, unit string) string { return number(v) + " " + unit }

// number has three digits that count.
func number(v float64) string {
	if v == 0 || math.Abs(v) >= 100 {
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return strconv.FormatFloat(v, 'f', min(digits, 6), 64)
}

// rounded keeps six digits: no clock here is better than that.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// record is one row in bench.json.
type record struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Goal   float64 `json:"goal"`
	Better string  `json:"better"`
	Runs   int     `json:"runs"`
	Spread float64 `json:"spread"` // between the lowest and the highest of the runs
}

// writeJSON writes the rows that were measured.
func writeJSON(file string, results []result) error {
	records := []record{}
	for _, r := range results {
		if r.err == nil {
			records = append(records, record{r.name, rounded(r.value), r.unit, r.goal, r.better, r.runs, rounded(r.high - r.low)})
		}
	}
	text, err := json.MarshalIndent(records, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/node/sim"
)

var small = sim.Decline{Agents: 30, Frameworks: 10}

func TestRowNamesAreUniqueAndRowsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows() {
		if seen[r.name] || r.unit == "" || r.goal <= 0 || r.better != lower && r.better != higher || r.measure == nil {
			t.Errorf("%+v", r)
		}
		if (r.reference.of == "") != (r.reference.value == 0) {
			t.Errorf("%s: reference %+v", r.name, r.reference)
		}
		seen[r.name] = true
	}
}

func TestPatternsChooseRows(t *testing.T) {
	all := []row{{name: "a/x"}, {name: "a/y"}, {name: "b/x"}}
	for _, c := range []struct{ args, want string }{
		{"", "a/x a/y b/x"}, {"a/*", "a/x a/y"}, {"*/x", "a/x b/x"}, {"b/x a/y", "a/y b/x"}, {"a/[", ""}, {"c/*", ""}, {"a/* c/*", ""},
	} {
		got, err := choose(all, []string{c.args})
		var names []string
		for _, r := range got {
			names = append(names, r.name)
		}
		if strings.Join(names, " ") != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %v, %v", c.args, names, err)
		}
	}
}

func TestQuantilesInterpolate(t *testing.T) {
	s := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, 0.5: 2.5, 1: 4} {
		if got := quantile(s, q); got != want {
			t.Errorf("%v: %v", q, got)
		}
	}
	if got := median([]float64{7}); got != 7 {
		t.Error(got)
	}
}

func TestARowIsMeasuredLeftOutOrFailed(t *testing.T) {
	give := func(o outcome, err error) func(context.Context, *machine) (outcome, error) {
		return func(context.Context, *machine) (outcome, error) { return o, err }
	}
	chosen := []row{
		{name: "x/fast", unit: "ms", goal: 5, better: lower, reference: reference{"Old", 30}, measure: give(outcome{samples: []float64{3, 2, 4}, notes: []string{"a note"}}, nil)},
		{name: "x/slow", unit: "s", goal: 1, better: lower, worst: true, measure: give(outcome{samples: []float64{0.5, 2}}, nil)},
		{name: "x/rate", unit: "a/s", goal: 100, better: higher, reference: reference{"Old", 10}, measure: give(outcome{samples: []float64{250}}, nil)},
		{name: "x/no", unit: "s", goal: 1, better: lower, measure: give(outcome{}, cannot("no eBPF"))},
		{name: "x/bad", unit: "s", goal: 1, better: lower, measure: give(outcome{}, errors.New("it broke"))},
		{name: "x/empty", unit: "s", goal: 1, better: lower, measure: give(outcome{}, nil)},
	}
	results := measureAll(t.Context(), &machine{}, chosen)
	if failures(results) != 2 {
		t.Errorf("%d failures", failures(results))
	}
	var out strings.Builder
	printTable(&out, results)
	const want = `NAME     MUSTER                GOAL         REFERENCE   RATIO
x/fast   3.00 ms (2.00 to 4.00)   ≤ 5 ms       Old 30 ms   10.0×
x/slow   2.00 s (0.500 to 2.00)   ≤ 1 s missed   -           -
x/rate   250 a/s               ≥ 100 a/s    Old 10 a/s  25.0×

x/fast: a note
left out: x/no: cannot be measured here: no eBPF
FAILED: x/bad: it broke
FAILED: x/empty: nothing was measured
`
	if got := squeeze(out.String()); got != squeeze(want) {
		t.Errorf("got\n%s", got)
	}
	file := filepath.Join(t.TempDir(), "bench.json")
	if err := writeJSON(file, results); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []record
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if want := []record{
		{"x/fast", 3, "ms", 5, lower, 3, 2}, {"x/slow", 2, "s", 1, lower, 2, 1.5}, {"x/rate", 250, "a/s", 100, higher, 1, 0},
	}; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// squeeze makes the text independent of how wide columns are.
func squeeze(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func TestFiguresOfGoBenchmarksAreRead(t *testing.T) {
	b := benchmark{name: "BenchmarkX/10", unit: "ms/op", scale: 1000}
	got, err := b.figures("goos: linux\nBenchmarkX/10-2   \t 5\t 123 ns/op\t 0.5 ms/op\nBenchmarkX/10-2 4 120 ns/op 0.25 ms/op\nBenchmarkX/100-2 4 120 ns/op 9 ms/op\nPASS\n")
	if err != nil || !slices.Equal(got, []float64{500, 250}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := b.figures("PASS\n"); err == nil || errors.Is(err, errCannot) {
		t.Errorf("%v", err)
	}
	_, err = b.figures("BenchmarkX/10\n--- SKIP: BenchmarkX/10\n    x_test.go:3: needs root\nPASS\n")
	if !errors.Is(err, errCannot) || !strings.HasSuffix(err.Error(), "needs root") {
		t.Errorf("%v", err)
	}
}

func TestWorkloadsOfTheCoreExist(t *testing.T) {
	if err := runWorkload("none"); err == nil {
		t.Error("an unknown workload ran")
	}
	for name, do := range map[string]func() (taken, error){
		"decline": func() (taken, error) { return decline(small) },
		"freed":   func() (taken, error) { return freed(small, 5) },
	} {
		got, err := do()
		if err != nil || len(got.Samples) < 3 || slices.Min(got.Samples) <= 0 || got.Peak <= 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestProcessesAreRead(t *testing.T) {
	if p, err := parent(os.Getpid()); err != nil || p != os.Getppid() {
		t.Errorf("%d, %v", p, err)
	}
	if private, share, err := memory([]int{os.Getpid()}); err != nil || private <= 0 || share < private {
		t.Errorf("%v of %v, %v", private, share, err)
	}
	if _, err := cpuTime(os.Getpid(), true); err != nil {
		t.Error(err)
	}
}

func TestPercentileOfWrkIsRead(t *testing.T) {
	text := "  Latency Distribution\n     90%    4.64ms\n     99%   %s\n  6106 requests in 3.01s, 16.35MB read\n"
	for said, want := range map[string]float64{"67.25ms": 67.25, "860.00us": .86, "1.02s": 1020} {
		if got, err := slowest(strings.Replace(text, "%s", said, 1)); err != nil || got != want {
			t.Errorf("%s: %v, %v", said, got, err)
		}
	}
	for _, bad := range []string{"", strings.Replace(text, "%s", "1ms", 1) + "  Non-2xx or 3xx responses: 7\n"} {
		if got, err := slowest(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

package oversubscription

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"muster/telemetry/estimate"
)

const azure = "testdata/azure_v1_70vm_avg.csv.gz"

func readOne(t *testing.T, text string) (*Trace, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "trace")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	traces, err := Read([]string{name})
	if err != nil {
		return nil, err
	}
	return traces[0], nil
}

func TestPublishedFormats(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		kind  estimate.Kind
		limit float64 // 0: made up
		used  []float32
	}{
		"bitbrains": {"7;4;5852;500,,1000\n", estimate.CPU, 4, []float32{2, missing, 4}},
		"planetlab": {"20110303;some_host;25,100\n", estimate.CPU, 1, []float32{.25, 1}},
		"azure":     {"1633748;0,1000\n", estimate.CPU, 0, nil},
	} {
		trace, err := readOne(t, c.text)
		if err != nil || trace.Name != name || !slices.Equal(trace.Kinds, []estimate.Kind{c.kind}) || len(trace.Tasks) != 1 {
			t.Errorf("%s: %+v %v", name, trace, err)
			continue
		}
		task := trace.Tasks[0]
		if c.limit == 0 {
			c.limit, c.used = task.Limit[c.kind], []float32{0, float32(task.Limit[c.kind])}
		}
		same := slices.EqualFunc(task.Used[c.kind], c.used, func(a, b float32) bool { return a == b || a != a && b != b })
		if !(c.limit > 0) || task.Limit[c.kind] != c.limit || !same {
			t.Errorf("%s: limit %v, used %v", name, task.Limit, task.Used[c.kind])
		}
	}
}

func TestTwoFilesOfTheSameVMsAreOneTrace(t *testing.T) {
	dir := t.TempDir()
	cpu, mem := filepath.Join(dir, "cpu"), filepath.Join(dir, "mem")
	if err := os.WriteFile(cpu, []byte("7;4;5852;500,250\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mem, []byte("7;2000;50,25\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	traces, err := Read([]string{mem, cpu})
	if err != nil || len(traces) != 1 || len(traces[0].Files) != 2 {
		t.Fatalf("%+v %v", traces, err)
	}
	task := traces[0].Tasks[0]
	if task.Limit != (estimate.Amounts{4, 2e9}) || task.Used[estimate.CPU][1] != 1 || task.Used[estimate.Mem][0] != 1e9 {
		t.Errorf("%+v", task)
	}
	if _, err := Read([]string{mem}); err == nil || !strings.Contains(err.Error(), "name the file of the same VMs' CPU too") {
		t.Errorf("memory alone: %v", err)
	}
}

const header = "task,time,cpu_used,cpu_limit,mem_used,mem_limit\n"

func TestUsersCSV(t *testing.T) {
	trace, err := readOne(t, header+"a,600,1,4,1e9,2e9\nb,900,2,8,,\na,700,3,4,,\na,1200,0.5,4,1e9,3e9\n")
	if err != nil {
		t.Fatal(err)
	}
	a, b := trace.Tasks[0], trace.Tasks[1]
	if a.Start != 0 || b.Start != 1 || a.Len() != 3 || trace.Steps() != 3 {
		t.Errorf("a begins at %d, b at %d, a has %d of %d steps", a.Start, b.Start, a.Len(), trace.Steps())
	}
	if cpu := a.Used[estimate.CPU]; cpu[0] != 2 || cpu[1] == cpu[1] || cpu[2] != .5 || a.Limit != (estimate.Amounts{4, 3e9}) {
		t.Errorf("used %v, limit %v", cpu, a.Limit)
	}
	dated, err := readOne(t, "task,time,cpu_used,cpu_limit\na,2026-01-02T10:00:00Z,1,4\na,2026-01-02T10:05:00Z,2,4\n")
	if err != nil || dated.Steps() != 2 {
		t.Errorf("with dates: %+v %v", dated, err)
	}
}

func TestErrorsNameFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "trace: empty",
		"what\n":                                 "line 1: 1 fields between semicolons fit no known format",
		"1;2;3;4\n1;2\n":                         "line 2: not in the format of the first line",
		"1;0;3;4\n":                              `line 1: "0" is not an amount above 0`,
		"1;2;3;4,-1\n":                           `line 1: value 2: "-1" is not a use`,
		header:                                   "no samples below the header",
		header + "a,0,1,4,1,2\na,0\n":            "line 3",
		header + "a,0,x,4,1,2\n":                 `line 2: cpu_used: "x" is not an amount`,
		header + "a,0,1,-4,1,2\n":                `line 2: cpu_limit: "-4" is not an amount`,
		header + "a,900,1,4,1,2\na,0,1,4,1,2\n":  `line 3: time "0": task "a" has a later sample above`,
		header + "a,0,1,4,1,2\na,1e11,1,4,1,2\n": "line 3: time \"1e11\": more than a year",
		header + "a,0,1,4,1,2\na,soon,1,4,1,2\n": `line 3: time: "soon"`,
		header + ",0,1,4,1,2\n":                  "line 2: task: empty",
		"task,cpu_used,cpu_limit\n":              "line 1: no column time",
		"task,time,cpu_used\n":                   "line 1: column cpu_used without cpu_limit",
		"task,time,mem_used,mem_limit\n":         "line 1: no columns cpu_used and cpu_limit",
	} {
		_, err := readOne(t, text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/trace: ") {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range []string{header + "a,0,1,4,1,2\n", "7;4;5852;500,,1000\n", "20110303;h;1\n", "1;2\n", "\x1f\x8b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		trace, err := read(strings.NewReader(text))
		if err != nil {
			return
		}
		for i := range trace.Tasks {
			task := &trace.Tasks[i]
			for _, k := range trace.Kinds {
				if limit := task.Limit[k]; limit < 0 || math.IsNaN(limit) || math.IsInf(limit, 0) || task.Start < 0 {
					t.Fatalf("%+v", task)
				}
			}
		}
	})
}

func TestPlacementFitsAndKeepsAll(t *testing.T) {
	traces, err := Read([]string{azure})
	if err != nil {
		t.Fatal(err)
	}
	w := place(traces[0], Placement{Seed: 3})
	total := 0
	for _, runs := range w.machines {
		for step := 0; step < w.steps; step += 97 {
			sum := 0.0
			for _, r := range runs {
				if r.from <= step && step < r.to {
					sum += r.task.Limit[estimate.CPU]
				}
			}
			if sum > 48 {
				t.Fatalf("%g CPUs are allocated at step %d", sum, step)
			}
		}
		for _, r := range runs {
			total += r.to - r.from
		}
	}
	if w.unplaced == 0 && total != 70*4032 {
		t.Errorf("%d task-steps of %d", total, 70*4032)
	}
}

// TestLearnedOnTheSample holds what the learned estimator is for, on the trace
// that it may carry along; on others it is checked by hand.
// A trace that says where its tasks ran is replayed there, unless asked otherwise.
func TestTasksRunWhereTheyRan(t *testing.T) {
	var text strings.Builder
	text.WriteString("task,node,time,cpu_used,cpu_limit\n")
	for _, task := range []string{"a,n1", "b,n2", "c,n1"} {
		for i := range 60 {
			fmt.Fprintf(&text, "%s,%d,0.5,2\n", task, 600+300*i)
		}
	}
	trace, err := readOne(t, text.String())
	if err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), []*Trace{trace}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if s := report.Groups[0].Shape; !s.Recorded || s.Machines != 2 || s.Steps != 60 {
		t.Errorf("%+v", s)
	}
	w := place(trace, Placement{})
	if len(w.machines[0]) != 2 || len(w.machines[1]) != 1 || w.machines[1][0].task.Name != "b" {
		t.Errorf("%+v", w.machines)
	}
	if w := place(trace, Placement{Anew: true}); len(w.machines) != 1 {
		t.Errorf("%d machines, made up", len(w.machines))
	}
	trace.Tasks[2].Node = ""
	if w := place(trace, Placement{}); len(w.machines) != 1 {
		t.Errorf("%d machines, where one task is nobody knows where", len(w.machines))
	}
}

func TestATraceMustBeLongEnough(t *testing.T) {
	trace, err := readOne(t, "task,time,cpu_used,cpu_limit\na,0,1,2\na,3000,1,2\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), []*Trace{trace}, Config{}); err == nil || !strings.Contains(err.Error(), "55m0s long: nothing is left to judge") || !strings.Contains(err.Error(), "shorter horizon than 1h0m0s") {
		t.Errorf("%v", err)
	}
}

func TestLearnedOnTheSample(t *testing.T) {
	traces, err := Read([]string{azure})
	if err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), traces, Config{Placement: Placement{Seed: 5}})
	if err != nil {
		t.Fatal(err)
	}
	g := report.Groups[0]
	row, best := g.Learned(), g.Rows[len(g.Rows)-1]
	if row.Savings.Value < .74 || row.Savings.Value > best.Savings.Value || best.Estimator != oracle || best.Violations.Value != 0 {
		t.Errorf("saves %+v, the oracle %+v", row.Savings, best)
	}
	if v := row.Violations.Value; v < .005 || v > .015 {
		t.Errorf("%g fell short", v)
	}
	if g.OverTuned.Value < 0 {
		t.Errorf("over the best tuned: %+v", g.OverTuned)
	}
}

func TestTheSameSeedGivesTheSameReport(t *testing.T) {
	trace := bursts(20, 400, 350)
	var first string
	for range 2 {
		report, err := Run(t.Context(), []*Trace{trace}, Config{Closed: true, Runs: 2})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if first != "" && first != string(text) {
			t.Error("two reports differ")
		}
		first = string(text)
	}
	var svg strings.Builder
	report, err := Run(t.Context(), []*Trace{trace}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := report.WriteSVG(&svg); err != nil || !strings.HasSuffix(svg.String(), "</svg>\n") || strings.Contains(svg.String(), "NaN") {
		t.Errorf("%v: %.200s", err, svg.String())
	}
}

// What is held out was seen neither as a task nor in time, and is judged once.
func TestWhatIsHeldOutWasNotSeen(t *testing.T) {
	trace := bursts(200, 100, 50)
	trace.Tasks[0].Start = 60
	seen, judged := trace.half(0, heldOut).first(.5), trace.half(1, heldOut)
	names := map[string]bool{}
	for _, task := range seen.Tasks {
		names[task.Name] = true
		if task.Start+task.Len() > 80 { // half of 160 steps
			t.Fatalf("task %s is seen until step %d", task.Name, task.Start+task.Len())
		}
	}
	for _, task := range judged.Tasks {
		if names[task.Name] {
			t.Errorf("task %s is seen and judged", task.Name)
		}
	}
	if n := len(trace.half(0, heldOut).Tasks) + len(judged.Tasks); n != 200 || len(seen.Tasks) < 50 || len(judged.Tasks) < 50 {
		t.Errorf("%d tasks in all, %d seen, %d judged", n, len(seen.Tasks), len(judged.Tasks))
	}
	if trace.Tasks[1].Len() != 100 {
		t.Error("the trace itself was cut")
	}
	report, err := replayFolds(t.Context(), []fold{{[]*Trace{judged}, Config{}}, {[]*Trace{trace.half(0, heldOut)}, Config{}}})
	if err != nil {
		t.Fatal(err)
	}
	if s := report.Groups[0].Shape; s.Tasks != 200 || s.Machines < 18 || report.Pooled.Learned().Savings.Value <= 0 {
		t.Errorf("%+v, learned %+v", s, report.Pooled.Learned())
	}
	if _, err := HoldOut(t.Context(), nil, Config{Closed: true}, nil); err == nil {
		t.Error("a closed loop was held out")
	}
}

func TestTrainingIsReproducible(t *testing.T) {
	traces, err := Read([]string{azure})
	if err != nil {
		t.Fatal(err)
	}
	for i := range traces[0].Tasks { // three days are enough here
		traces[0].Tasks[i].Used[estimate.CPU] = traces[0].Tasks[i].Used[estimate.CPU][:864]
	}
	var first []byte
	for range 2 {
		m, err := Train(t.Context(), traces, Placement{}, []uint64{1, 2})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := estimate.ParseModel(text); err != nil {
			t.Error(err)
		}
		if first != nil && string(first) != string(text) {
			t.Error("two models differ")
		}
		first = text
	}
}

// bursts are tasks that lie idle and at one step, all at once, want all they have.
func bursts(tasks, steps, at int) *Trace {
	t := &Trace{Name: "bursts", Step: 5 * time.Minute, Kinds: []estimate.Kind{estimate.CPU}}
	for i := range tasks {
		task := Task{Name: fmt.Sprint(i), Limit: estimate.Amounts{estimate.CPU: 4}}
		for s := range steps {
			used := float32(0.02)
			if s >= at {
				used = 4
			}
			task.Used[estimate.CPU] = append(task.Used[estimate.CPU], used)
		}
		t.Tasks = append(t.Tasks, task)
	}
	return t
}

// TestABurstOfAllAtOnceDoesBoundedHarm: nobody can foresee it. It must be one
// step's, no more than was freed, and nothing is placed into it afterwards.
func TestABurstOfAllAtOnceDoesBoundedHarm(t *testing.T) {
	m, err := estimate.DefaultModel()
	if err != nil {
		t.Fatal(err)
	}
	const at = 300 // a day and an hour
	trace := bursts(48, 400, at)
	w := place(trace, Placement{Seed: 1, Lasting: 1})
	for i := range w.machines {
		s := newShop(w, i, estimate.Config{}, 1)
		e := estimate.NewLearned(m, estimate.Config{})
		limit, freed := 0.0, 0.0
		for step := range w.steps {
			s.step(step, e, true)
			switch {
			case step < at:
				limit, freed = s.node.Limit(estimate.CPU), max(freed, float64(len(s.tasks)))
			case len(s.tasks) > 0:
				t.Fatalf("machine %d, step %d: %d revocable tasks run beside the burst", i, step, len(s.tasks))
			}
		}
		if freed < limit/2 {
			t.Errorf("only %g of %g CPUs were free while idle", freed, limit)
		}
		if s.overloads.short != 1 || s.excess[0] > freed/limit+1e-9 {
			t.Errorf("machine %d: %g steps of overload, by %v; freed %g of %g", i, s.overloads.short, s.excess, freed, limit)
		}
	}
}

func TestAReplayCanBeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, []*Trace{bursts(4, 100, 50)}, Config{}); err == nil {
		t.Error("it ran to its end")
	}
}

package telemetry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// lived has a task use cpus for d, every second, under a limit of 2 CPUs and 4 GB.
func lived(h *History, id string, from time.Time, d time.Duration, u Use) {
	u.Task, u.CPUsLimit, u.MemLimit = "task-"+id, 2, 4e9
	for s := range int(d / time.Second) {
		h.Observe(from.Add(time.Duration(s)*time.Second), id, u)
	}
}

func exported(t *testing.T, h *History) string {
	t.Helper()
	var out strings.Builder
	if err := h.WriteCSV(&out, "n1"); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestExportTellsOfRunningAndEndedTasks(t *testing.T) {
	h := NewHistory(0, nil)
	lived(h, "a", noon, 11*time.Minute, Use{CPUs: .25, Mem: 1e9})
	lived(h, "short", noon.Add(time.Minute), 20*time.Second, Use{CPUs: 1, Mem: 2e9})
	lived(h, "lent", noon, 11*time.Minute, Use{CPUs: 1, Revocable: true})
	h.Keep(map[string]bool{"a": true})
	want := `task,node,time,cpu_used,cpu_limit,mem_used,mem_limit
task-a/a,n1,1767268800,0.25,2,1000000000,4000000000
task-a/a,n1,1767269100,0.25,2,1000000000,4000000000
task-a/a,n1,1767269400,0.25,2,1000000000,4000000000
task-short/short,n1,1767268800,1,2,2000000000,4000000000
`
	if got := exported(t, h); got != want {
		t.Errorf("exported:\n%swant:\n%s", got, want)
	}
	path := filepath.Join(t.TempDir(), "usage")
	if err := h.Save(path); err != nil {
		t.Fatal(err)
	}
	again := NewHistory(0, nil)
	if err := again.Load(path); err != nil {
		t.Fatal(err)
	}
	running := "task-a/a,n1,1767269400" // the step under way is not saved
	if got, want := exported(t, again), strings.Replace(want, running+",0.25,2,1000000000,4000000000\n", "", 1); got != want {
		t.Errorf("after a restart:\n%swant:\n%s", got, want)
	}
	if got := fmt.Sprint(again.IDs()); got != "[a]" {
		t.Errorf("%s run", got)
	}
}

type full struct{ room int }

var errFull = errors.New("full")

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestExportEndsWhereNobodyReads(t *testing.T) {
	h := NewHistory(0, nil)
	for i := range 1000 {
		lived(h, fmt.Sprint(i), noon, time.Second, Use{CPUs: 1})
	}
	if err := h.WriteCSV(&full{10_000}, "n1"); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
}

// The first that ended give way, by number and by how much there is of them.
func TestEndedTasksAreBounded(t *testing.T) {
	h := NewHistory(0, nil)
	for i := range 3 * endedTasks {
		h.Observe(noon.Add(time.Duration(i)*time.Second), fmt.Sprint(i), Use{CPUs: 1, CPUsLimit: 1})
		h.Keep(nil)
	}
	if len(h.ended) != endedTasks || h.ended[0].id != fmt.Sprint(2*endedTasks) || h.kept != endedTasks {
		t.Errorf("%d short ones, the first is %s, %d steps", len(h.ended), h.ended[0].id, h.kept)
	}
	for i := range 1000 {
		for s := range steps + 1 {
			h.Observe(noon.Add(time.Duration(s)*StepLen), fmt.Sprint("long", i), Use{CPUs: 1, CPUsLimit: 1})
		}
		h.Keep(nil)
	}
	if h.kept > endedSteps || h.kept < endedSteps-steps || h.ended[len(h.ended)-1].id != "long999" {
		t.Errorf("%d steps of %d long ones", h.kept, len(h.ended))
	}
}

// What 1,000 tasks take once they have run for a day, as the runtime counts it.
func TestAThousandTasksOfADayTakeUnderSevenKilobytesEach(t *testing.T) {
	const tasks, most = 1000, 7000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	h := NewHistory(0, nil)
	for s := range steps + 50 {
		for i := range tasks {
			h.Observe(noon.Add(time.Duration(s)*StepLen), fmt.Sprint(i), Use{CPUs: 1})
		}
	}
	for g := range 2 * grains {
		for i := range tasks {
			h.Observe(noon.Add(time.Duration(steps+50)*StepLen+time.Duration(g)*Grain), fmt.Sprint(i), Use{CPUs: 1})
		}
	}
	each := (heap() - before) / tasks
	t.Logf("%d bytes a task: %d of 2 s, %d of 5 min", each, len(h.tasks["0"].recent.values), len(h.tasks["0"].day.values))
	if each > most {
		t.Errorf("a task takes %d bytes, more than %d", each, most)
	}
	runtime.KeepAlive(h)
}

func FuzzLoadHistory(f *testing.F) {
	good, err := os.ReadFile("testdata/history-1.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"muster_usage_history":1}` + "\n" + `{"id":"x","last":"2262-04-12T00:00:00Z","use":{"CPUs":-1},"steps":[null,[1,2,3,-4]],"ended":true}`))
	f.Add([]byte(`{"muster_usage_history":1}` + "\n" + `{"id":"x","last":"0001-01-01T00:00:00Z","steps":[[1e38,1e38,1e38,1e38]]}`))
	path := filepath.Join(f.TempDir(), "usage")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		h := NewHistory(0, nil)
		_ = h.Load(path) // whatever it says, the rest must work
		for _, id := range h.IDs() {
			h.Observe(noon, id, Use{CPUs: 1, CPUsLimit: 1})
			h.Observe(noon.Add(Day), id, Use{CPUs: 1, CPUsLimit: 1})
			if _, day := h.Steps(id); len(day) > steps {
				t.Fatalf("%d steps", len(day))
			}
			if cpus, mem := h.Day(id); !(cpus.Mean >= 0 && mem.Mean >= 0) {
				t.Fatalf("%+v %+v", cpus, mem)
			}
		}
		h.Keep(nil)
		if err := h.WriteCSV(&strings.Builder{}, "n"); err != nil {
			t.Fatal(err)
		}
		if err := h.Save(path); err != nil {
			t.Fatal(err)
		}
		if err := NewHistory(0, nil).Load(path); err != nil {
			t.Fatalf("what was saved is not read: %v", err)
		}
	})
}

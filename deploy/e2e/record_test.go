package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"muster/deploy/e2e/cluster"
	"muster/node/client"
	"muster/offers/mesos"
)

// replayed is what `muster replay --verify -o json` says.
type replayed struct {
	Steps, Effects, Checked uint64
	Truncated               bool
	Difference, End         string
}

// What every leader of a cluster decided, under load and with kills, is decided
// again from its recording, to the byte.
func TestRecordedDecisionsReplay(t *testing.T) {
	c := newCluster(t, 3)
	dir := t.TempDir()
	for _, d := range c.Daemons {
		d.Args = []string{"--record", filepath.Join(dir, d.Name), "--record-effects"}
		d.Kill()
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		leader := c.settled()
		f := subscribe(t, c.other(leader), client.JSON, nil)
		var ids []string
		for _, d := range c.Running() {
			ids = append(ids, f.launch(d.IP, fmt.Sprintf("r%d-%s", round, d.Name), 10, "exit 0")...)
		}
		f.in(mesos.TaskState_TASK_FINISHED, ids...)
		leader.Kill()
		if err := leader.Start(); err != nil {
			t.Fatal(err)
		}
		f.teardown() // with the next leader: the next framework is to have the offers
	}
	c.settled()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.000.rec"))
	if err != nil || len(files) < 3 {
		t.Fatalf("recordings: %v, %v", files, err)
	}
	killed := 0
	for _, file := range files {
		out := filepath.Join(t.TempDir(), "effects")
		first := replay(t, file, out)
		if first.Truncated {
			killed++
		}
		if first.Steps == 0 || first.Difference != "" || first.Checked != first.Steps {
			t.Errorf("%s: %+v", file, first)
		}
		again := out + "2"
		replay(t, file, again)
		if a, b := read(t, out), read(t, again); a != b || len(a) == 0 {
			t.Errorf("%s: two replays differ: %d and %d bytes", file, len(a), len(b))
		}
	}
	if killed == 0 {
		t.Error("three leaders were killed, and no recording says so")
	}
}

func replay(t *testing.T, file, effects string) (r replayed) {
	t.Helper()
	out, err := cluster.Run(t.Context(), binary, "replay", file, "--verify", "--effects", effects, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return r
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

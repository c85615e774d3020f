package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/node/client"
	"muster/offers/mesos"
)

// lend is a node in /muster/v1/oversubscription.
type lend struct {
	Node string
	Now  struct{ Total struct{ CPUs float64 } }
	Past []struct{ Time time.Time }
}

// An operator takes what his nodes' tasks used, through any of them, and asks what
// oversubscription would have freed.
func TestUsageIsExportedAndReplayed(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.settled()
	other := c.other(leader)
	f := subscribe(t, leader, client.Protobuf, nil)
	f.in(mesos.TaskState_TASK_RUNNING, f.launch(other.IP, "run", 2, "sleep 1000")...)
	other.Kill()
	remember(t, filepath.Join(other.Dir, "agent", "usage"), 30)
	other.start()
	c.settled()
	api := []string{"--api", leader.API()}
	file := filepath.Join(t.TempDir(), "usage.csv.gz")
	export := func(args ...string) ([]byte, error) {
		return command(append(append([]string{"usage", "export"}, args...), api...)...)
	}
	var shape struct {
		Groups []struct {
			Resource string
			Shape    struct {
				Tasks, Machines int
				Recorded        bool
			}
			Rows []struct {
				Estimator string
				Savings   struct{ Value float64 }
			}
		}
	}
	await(t, "the running tasks in the history", func() bool {
		if _, err := export("-o", file, "--node", other.Name); err != nil {
			t.Fatal(err)
		}
		parse(t, output(t, "simulate", "oversubscription", "--trace", file, "-o", "json"), &shape)
		return shape.Groups[0].Shape.Tasks == 32
	})
	for _, g := range shape.Groups {
		if !g.Shape.Recorded || g.Shape.Machines != 1 {
			t.Errorf("%s: %+v", g.Resource, g.Shape)
		}
		for _, r := range g.Rows {
			// All use a quarter of what they were allocated.
			if r.Estimator == "oracle" && (r.Savings.Value < .7 || r.Savings.Value > .8) {
				t.Errorf("%s: %.3f could have been saved", g.Resource, r.Savings.Value)
			}
		}
	}

	var all struct {
		Nodes []lend
		Away  []struct{ Node, Reason string }
	}
	for _, address := range []string{leader.API(), other.AgentAPI()} {
		for _, d := range c.nodes {
			var one lend
			if err := leader.at(address, client.JSON).GetJSON(t.Context(), "/muster/v1/oversubscription?node="+d.Name, &one); err != nil || one.Node != d.Name || one.Now.Total.CPUs != 8 {
				t.Errorf("%s through %s: %+v, %v", d.Name, address, one, err)
			}
		}
		if err := leader.at(address, client.JSON).GetJSON(t.Context(), "/muster/v1/oversubscription?node=*&points=1", &all); err != nil || len(all.Nodes) != 3 || len(all.Away) != 0 || len(all.Nodes[0].Past) != 1 {
			t.Errorf("all through %s: %+v, %v", address, all, err)
		}
	}
	if text := string(output(t, append([]string{"oversubscription", "--since", "1h"}, api...)...)); strings.Count(text, "CPUs predicted peak") != 3 {
		t.Errorf("%s", text)
	}

	other.Kill()
	await(t, "its silence", func() bool {
		_, err := export("--node", other.Name)
		return err != nil && strings.Contains(err.Error(), "node "+other.Name+" is silent since")
	})
	if _, err := export("-o", file); err == nil || !strings.Contains(err.Error(), "no node has a history") || !strings.Contains(err.Error(), "left out: node "+other.Name) {
		t.Errorf("the nodes without tasks: %v", err)
	}
	if _, err := export("--node", "nobody"); err == nil || !strings.Contains(err.Error(), `none is called "nobody"`) {
		t.Errorf("no such node: %v", err)
	}
	if kept, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); err != nil || len(kept) > 0 {
		t.Errorf("left behind: %v %v", kept, err)
	}
	if err := leader.JSON(t.Context(), "/muster/v1/oversubscription?node=*", &all); err != nil || len(all.Nodes) != 2 || len(all.Away) != 1 || all.Away[0].Node != other.Name {
		t.Errorf("without %s: %+v, %v", other.Name, all, err)
	}
	other.start()
	c.settled() // so that it can be told to end its tasks
}

// remember writes a usage history of tasks that ran for a day, and ended.
func remember(t *testing.T, file string, tasks int) {
	t.Helper()
	var text bytes.Buffer
	text.WriteString(`{"muster_usage_history":1}` + "\n")
	for i := range tasks {
		var steps [][4]float32
		for s := range 288 {
			cpus := .25 + .01*float32((s+i)%7)
			steps = append(steps, [4]float32{cpus, cpus, 250e6, 260e6})
		}
		line, err := json.Marshal(map[string]any{
			"id": fmt.Sprintf("container-%d", i), "last": time.Now().Add(-5 * time.Minute).Truncate(5 * time.Minute), "steps": steps, "ended": true,
			"use": map[string]any{"CPUs": .25, "Mem": 250e6, "CPUsLimit": 1, "MemLimit": 1e9, "Task": fmt.Sprintf("job-%d", i)},
		})
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(line, '\n'))
	}
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

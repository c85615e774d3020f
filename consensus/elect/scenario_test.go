package elect

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata")

// TestScenarios plays testdata/*.txt: commands, and below each, after "> ", the
// changes that follow until there are none.
//
//	policy VOTERS STANDBYS   before all else
//	start NODE [ZONE]        a node starts; the first founds the quorum and leads
//	kill NODE                it does not answer any more
//	bar NODE                 it may not belong to the quorum any more
//	lead NODE                it is elected
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}

func play(t *testing.T, script string) string {
	var out strings.Builder
	v := View{}
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, ">") {
			continue
		}
		out.WriteString(line)
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		v = command(t, v, f)
		for c := Next(v); c.Do != None; c = Next(v) {
			fmt.Fprintf(&out, "> %s %s: %s\n", c.Do, c.Node, c.Reason)
			v = step(v, c)
		}
	}
	return out.String()
}

func command(t *testing.T, v View, f []string) View {
	nodes := append([]Node(nil), v.Nodes...)
	node := func() *Node {
		for i := range nodes {
			if nodes[i].ID == f[1] {
				return &nodes[i]
			}
		}
		nodes = append(nodes, Node{ID: f[1]})
		return &nodes[len(nodes)-1]
	}
	answers := func(yes bool) {
		for i := range v.Members {
			if v.Members[i].ID == f[1] {
				v.Members[i].Alive, v.Members[i].CaughtUp = yes, yes
			}
		}
	}
	switch f[0] {
	case "policy":
		if _, err := fmt.Sscan(f[1], &v.Voters); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(f[2], &v.Standbys); err != nil {
			t.Fatal(err)
		}
	case "start":
		n := node()
		n.Alive, n.Eligible, n.Since = true, true, time.Unix(int64(len(nodes)), 0)
		if len(f) > 2 {
			n.Zone = f[2]
		}
		answers(true)
		if v.Self == "" {
			v.Self = f[1]
			v.Members = []Member{{ID: f[1], Voter: true, Alive: true, CaughtUp: true}}
		}
	case "kill":
		node().Alive = false
		answers(false)
	case "bar":
		node().Eligible = false
	case "lead":
		v.Self = f[1]
	default:
		t.Fatalf("unknown command %q", f[0])
	}
	v.Nodes = nodes
	return v
}

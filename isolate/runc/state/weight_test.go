package state

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWeightIsThatOfTheCPUs(t *testing.T) {
	for _, c := range []struct {
		controller, file string
		cpus             int
		want             string
	}{
		{"cpu", "cpu.shares", 1, "1024"},
		{"cpu", "cpu.shares", 48, "49152"},
		{"cpu", "cpu.shares", 300, "262144"},
		{"", "cpu.weight", 1, "100"},
		{"", "cpu.weight", 48, "4800"},
		{"", "cpu.weight", 300, "10000"},
	} {
		root := t.TempDir()
		if err := weigh(map[string]string{c.controller: root, "memory": "/nowhere"}, "/muster/a", c.cpus); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(root, "muster/a", c.file))
		if err != nil || string(got) != c.want {
			t.Errorf("%s for %d CPUs: %q, %v, want %s", c.file, c.cpus, got, err, c.want)
		}
		for _, dir := range []string{root, filepath.Join(root, "muster")} {
			got, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
			if passed := err == nil && string(got) == "+cpu"; passed == (c.controller == "cpu") {
				t.Errorf("%s: version 2 has its controllers passed on, and only that: %q, %v", c.file, got, err)
			}
		}
	}
}

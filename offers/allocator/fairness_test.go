package allocator

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSharesDifferByNoMoreThanAnAgent holds the bound of dominant resource
// fairness: whoever got an agent was, before he got it, no better off than
// anybody else, each measured by his weight.
func TestSharesDifferByNoMoreThanAnAgent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		a, total := New(Config{Seed: rapid.Uint64().Draw(t, "seed")}), parse(t, "cpus:2;mem:100;disk:7")
		roles, agents := rapid.IntRange(2, 6).Draw(t, "roles"), rapid.IntRange(1, 40).Draw(t, "agents")
		weights := map[string]float64{}
		for i := range roles {
			role := fmt.Sprint("r", i)
			weights[role] = rapid.SampledFrom([]float64{1, 1, 2, 3, 0.5}).Draw(t, "weight")
			a.SetWeight(now, role, weights[role])
			for j := range rapid.IntRange(1, 3).Draw(t, "frameworks") {
				a.AddFramework(now, fmt.Sprint(role, "f", j), FrameworkOptions{Roles: []string{role}, Active: true})
			}
		}
		for i := range agents {
			a.AddAgent(now, fmt.Sprint(i), AgentOptions{Total: total}, nil)
		}
		got := map[string]float64{}
		for _, o := range a.Allocate(now) {
			got[o.Role]++
		}
		for r := range weights {
			for s := range weights {
				if (got[r]-1)/weights[r] > got[s]/weights[s]+1e-9 {
					t.Fatalf("%s has %v agents at weight %v, %s has %v at %v", r, got[r], weights[r], s, got[s], weights[s])
				}
			}
		}
	})
}

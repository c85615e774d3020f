package allocator

import (
	"fmt"
	"testing"
	"time"

	"muster/offers/resource"
)

// BenchmarkExplain looks at 50,000 agents, a quarter each in use, refused,
// excluded by constraints and about to be offered.
func BenchmarkExplain(b *testing.B) {
	now := time.Unix(0, 0)
	a := New(Config{})
	total, err := resource.Parse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]")
	if err != nil {
		b.Fatal(err)
	}
	constraints, err := CompileConstraints(PatternLimits{}, constraintsOf(b, "*/rack~r[0-2]"))
	if err != nil {
		b.Fatal(err)
	}
	a.AddFramework(now, "f", FrameworkOptions{Roles: []string{"*"}, Active: true, Constraints: constraints})
	for i := range 50_000 {
		var used []Use
		if i%4 == 0 {
			used = []Use{{fmt.Sprint("other", i%100), total.Allocate("*")}}
		}
		a.AddAgent(now, fmt.Sprint("agent", i), AgentOptions{Hostname: "h", Total: total, Attributes: attributesOf(fmt.Sprint("rack:r", i%4))}, used)
	}
	hour := time.Hour
	for _, o := range a.Allocate(now) {
		refuse := &hour
		if a.agents[o.Agent].options.Attributes[0].GetText().GetValue() == "r2" {
			refuse = nil
		}
		a.Recover(now, o.Framework, o.Agent, o.Resources, refuse)
	}
	for b.Loop() {
		why, known := a.Explain(now, "f", "*", "", func(string) string { return "" })
		if !known || len(why.Findings) != 4 {
			b.Fatal(why)
		}
	}
}

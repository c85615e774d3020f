package allocator

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"muster/offers/resource"
)

// TestDemandsTakeNothingFromOthers holds that whatever some frameworks ask for,
// an agent goes to the most entitled of those who take it, and so to whoever got
// it if nobody had asked for anything, unless that one itself asked for
// something else.
func TestDemandsTakeNothingFromOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		a := New(Config{AllocationInterval: 1000 * time.Hour})
		total := parse(t, "cpus:8;mem:800")
		for _, id := range agentIDs {
			a.AddAgent(now, id, AgentOptions{Total: total}, nil)
		}
		for _, id := range frameworkIDs {
			role := draw(t, []string{"a", "a/b", "c"}, "role")
			a.AddFramework(now, id, FrameworkOptions{Roles: []string{role}, Active: true})
		}
		offers := slices.Clone(a.Allocate(now))
		for range rapid.IntRange(1, 60).Draw(t, "rounds") {
			if rapid.IntRange(0, 3).Draw(t, "ask") == 0 {
				requests := []Request{{
					Agent:     draw(t, []string{"", "", "a1", "gone"}, "agent"),
					Resources: parse(t, draw(t, []string{"cpus:3", "cpus:8", "mem:500", "cpus:9"}, "wanted")),
				}}
				a.Request(now, draw(t, frameworkIDs, "who"), requests)
				offers = append(offers, a.Allocate(now)...) // to everybody what is left
			}
			if len(offers) == 0 {
				return
			}
			i := rapid.IntRange(0, len(offers)-1).Draw(t, "offer")
			o := offers[i]
			offers = append(offers[:i], offers[i+1:]...)
			back := o.Resources
			if rapid.Bool().Draw(t, "use some") {
				if used := parse(t, "cpus:1;mem:50").Allocate(o.Role); back.Contains(used) {
					back = back.Sub(used)
				}
			}
			a.Recover(now, o.Framework, o.Agent, back, nil)
			taker, unasked := firstOf(a, a.agents[o.Agent])
			made := a.Allocate(now)
			if taker == nil && len(made) > 0 || taker != nil && (len(made) == 0 || made[0].Framework != taker.framework.id) {
				t.Fatalf("%s was offered as %v, but it was due to %v", o.Agent, made, taker)
			}
			if unasked != taker && unasked.demand == nil {
				t.Fatalf("%s lost %s to what others asked for", unasked.framework.id, o.Agent)
			}
			offers = append(offers, made...)
		}
	})
}

// firstOf returns who is the most entitled of those who take the agent, with what
// is asked for and without.
func firstOf(a *Allocator, ag *agent) (taker, unasked *client) {
	r := run{Allocator: a}
	r.arrive(ag)
	a.root.walk(a, r.lastRank(), func(role *role) bool {
		r.enter(role)
		role.clients.refresh(a)
		for it := range role.clients.all {
			_, why := r.judge(it.client)
			if taker == nil && why == Due {
				taker = it.client
			}
			if unasked == nil && (why == Due || why == Unasked) {
				unasked = it.client
			}
		}
		return true
	})
	return taker, unasked
}

// BenchmarkDemands is a cycle in which many frameworks ask for something, over
// agents of which all is free.
func BenchmarkDemands(b *testing.B) {
	now := time.Unix(0, 0)
	a := New(Config{})
	total, err := resource.Parse("cpus:24;mem:4096;ports:[31000-32000]")
	if err != nil {
		b.Fatal(err)
	}
	wanted, err := resource.Parse("cpus:25")
	if err != nil {
		b.Fatal(err)
	}
	a.AddAgent(now, "large", AgentOptions{Total: total.Add(total)}, nil)
	for i := range 10_000 {
		a.AddAgent(now, fmt.Sprint("agent", i), AgentOptions{Total: total}, nil)
	}
	for i := range 1000 {
		id := fmt.Sprint("framework", i)
		a.AddFramework(now, id, FrameworkOptions{Roles: []string{"*"}, Active: true})
		a.Request(now, id, []Request{{Resources: wanted}})
	}
	for b.Loop() {
		now = now.Add(time.Second)
		for _, ag := range a.list {
			a.touch(ag)
		}
		for _, o := range a.Allocate(now) {
			a.Recover(now, o.Framework, o.Agent, o.Resources, nil)
		}
	}
}

package sim

import (
	"fmt"
	"time"

	"muster/offers/allocator"
	"muster/offers/resource"
)

// Suppress is the workload in which frameworks give back every offer without a
// filter and suppress: a fifth of them after each of five rounds, or, if
// Extreme, 99 of a hundred before the first. Agents are those of Decline, with a
// little less of memory in use.
// Mesos: src/tests/hierarchical_allocator_tests.cpp, SuppressOffers, ExtremeSuppressOffers.
type Suppress struct {
	Agents, Frameworks int
	Extreme            bool
}

// SuppressRound is one round: all offers are given back, then one allocation.
type SuppressRound struct {
	Recover    time.Duration
	Cycle      time.Duration
	Offers     int
	Suppressed int // frameworks, so far
}

// Run runs the five rounds.
func (w Suppress) Run() ([]SuppressRound, error) {
	r, err := Decline{Agents: w.Agents, Frameworks: w.Frameworks}.start("cpus:16;mem:1024;disk:1024")
	if err != nil {
		return nil, err
	}
	suppressed := 0
	suppress := func(n int) {
		for range n {
			r.allocator.Suppress(framework(suppressed), nil)
			suppressed++
		}
	}
	if w.Extreme {
		suppress(w.Frameworks * 99 / 100)
	}
	var rounds []SuppressRound
	for range 5 {
		round := SuppressRound{}
		round.Recover = elapsed(func() {
			for _, o := range r.offers {
				r.allocator.Recover(r.now, o.Framework, o.Agent, o.Resources, nil)
			}
		})
		if !w.Extreme {
			suppress(w.Frameworks / 5)
		}
		r.now = r.now.Add(time.Second)
		round.Cycle = elapsed(func() { r.offers = r.allocator.Allocate(r.now) })
		round.Offers, round.Suppressed = len(r.offers), suppressed
		if want := w.Agents; suppressed < w.Frameworks && round.Offers != want || suppressed == w.Frameworks && round.Offers > 0 {
			return rounds, fmt.Errorf("%d offers of %d agents while %d of %d suppress", round.Offers, want, suppressed, w.Frameworks)
		}
		rounds = append(rounds, round)
	}
	return rounds, nil
}

// AddUpdate is the workload in which agents join and then each lends revocable
// resources on top, all of which is offered and never given back.
// Mesos: src/tests/hierarchical_allocator_tests.cpp, AddAndUpdateSlave.
type AddUpdate struct{ Agents, Frameworks int }

// AddUpdateReport is what a run took, by the wall clock, with the offers made.
type AddUpdateReport struct {
	AddFrameworks, AddAgents, UpdateAgents time.Duration
	Offers                                 int
}

// Run runs the workload; offers are made after each event, as by a master that
// has nothing else to do.
func (w AddUpdate) Run() (AddUpdateReport, error) {
	sets := map[string]resource.Set{}
	for name, text := range map[string]string{
		"total": "cpus:2;mem:1024;disk:4096;ports:[31000-32000]", "lent": "cpus{REV}:10",
		"used": "cpus:1;mem:128;disk:1024;ports:[31126-31510,31512-31623,31810-31852,31854-31964]",
	} {
		set, err := resource.Parse(text)
		if err != nil {
			return AddUpdateReport{}, err
		}
		sets[name] = set
	}
	var report AddUpdateReport
	a, now := allocator.New(allocator.Config{}), time.Unix(0, 0)
	report.AddFrameworks = elapsed(func() {
		for i := range w.Frameworks {
			a.AddFramework(now, framework(i), allocator.FrameworkOptions{
				Roles: []string{"*"}, Capabilities: allocator.Capabilities{MultiRole: true, Revocable: true}, Active: true,
			})
			a.Allocate(now)
		}
	})
	used := sets["used"].Allocate("*")
	report.AddAgents = elapsed(func() {
		for i := range w.Agents {
			id := fmt.Sprintf("agent%d", i+1)
			a.AddAgent(now, id, allocator.AgentOptions{Hostname: id, Total: sets["total"]},
				[]allocator.Use{{Framework: framework(i % w.Frameworks), Resources: used}})
			report.Offers += len(a.Allocate(now))
		}
	})
	report.UpdateAgents = elapsed(func() {
		for i := range w.Agents {
			a.UpdateRevocable(now, fmt.Sprintf("agent%d", i+1), sets["lent"])
			report.Offers += len(a.Allocate(now))
		}
	})
	if report.Offers != 2*w.Agents {
		return report, fmt.Errorf("%d offers of what %d agents have and lend", report.Offers, w.Agents)
	}
	return report, nil
}

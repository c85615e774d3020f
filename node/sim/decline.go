package sim

import (
	"fmt"
	"math"
	"time"

	"muster/offers/allocator"
	"muster/offers/resource"
)

// Decline is the workload in which every framework declines every offer for as
// long as it may: all agents are offered again and again, each time to a
// framework that has not refused them yet.
//
// Each agent has cpus:24, mem:4096, disk:4096 and ports:[31000-32000], of which
// a framework in role * uses two thirds of the cpus and half of the memory, in
// 16 port ranges.
// Mesos: src/tests/hierarchical_allocator_tests.cpp, DeclineOffers.
type Decline struct {
	Agents, Frameworks int
	Rounds             int // [3]; less than Frameworks
}

// DeclineReport is what a run took, by the wall clock.
type DeclineReport struct {
	AddFrameworks time.Duration
	AddAgents     time.Duration // with the offers of all that is free
	Rounds        []DeclineRound
}

// DeclineRound is one round of declines and the allocation after it.
type DeclineRound struct {
	Declines time.Duration
	Cycle    time.Duration
	Offers   int
	Filtered int // declines so far
}

// DeclineRun is the workload at one point. Step it with Decline and Cycle.
type DeclineRun struct {
	workload  Decline
	allocator *allocator.Allocator
	now       time.Time
	offers    []allocator.Offer
	report    DeclineReport
}

// Run runs the workload from beginning to end.
func (w Decline) Run() (DeclineReport, error) {
	if w.Rounds == 0 {
		w.Rounds = 3
	}
	r, err := w.Start()
	if err != nil {
		return DeclineReport{}, err
	}
	for range w.Rounds {
		declines := r.Decline()
		cycle, err := r.Cycle()
		if err != nil {
			return DeclineReport{}, err
		}
		r.report.Rounds = append(r.report.Rounds, DeclineRound{
			Declines: declines, Cycle: cycle, Offers: len(r.offers),
			Filtered: (len(r.report.Rounds) + 1) * w.Agents,
		})
	}
	return r.report, nil
}

// Start adds the frameworks and the agents; all that is free is then offered.
func (w Decline) Start() (*DeclineRun, error) { return w.start("cpus:16;mem:2014;disk:1024") }

// start takes what is used of each agent, besides ports.
func (w Decline) start(scalars string) (*DeclineRun, error) {
	total, err := resource.Parse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]")
	if err != nil {
		return nil, err
	}
	ports := "[31030-32000"
	for port := 31000; port < 31030; port += 2 {
		ports += fmt.Sprintf(",%d", port)
	}
	used, err := resource.Parse(scalars + ";ports:" + ports + "]")
	if err != nil {
		return nil, err
	}
	r := &DeclineRun{workload: w, allocator: allocator.New(allocator.Config{}), now: time.Unix(0, 0)}
	r.report.AddFrameworks = elapsed(func() { r.addFrameworks() })
	r.report.AddAgents = elapsed(func() { r.addAgents(total, used.Allocate("*")) })
	return r, r.check()
}

func (r *DeclineRun) addFrameworks() {
	for i := range r.workload.Frameworks {
		r.allocator.AddFramework(r.now, framework(i), allocator.FrameworkOptions{
			Roles: []string{"*"}, Capabilities: allocator.Capabilities{MultiRole: true}, Active: true,
		})
	}
	r.allocator.Allocate(r.now)
}

func (r *DeclineRun) addAgents(total, used resource.Set) {
	for i := range r.workload.Agents {
		id := fmt.Sprintf("agent%d", i+1)
		r.allocator.AddAgent(r.now, id, allocator.AgentOptions{Hostname: id, Total: total},
			[]allocator.Use{{Framework: framework(i % r.workload.Frameworks), Resources: used}})
	}
	r.offers = r.allocator.Allocate(r.now)
}

func framework(i int) string { return fmt.Sprintf("framework%d", i+1) }

// Decline refuses every outstanding offer for the longest time there is.
func (r *DeclineRun) Decline() time.Duration {
	return elapsed(func() {
		for i := range r.offers {
			r.decline(&r.offers[i])
		}
	})
}

func (r *DeclineRun) decline(o *allocator.Offer) {
	refuse := time.Duration(math.MaxInt32) * time.Second
	r.allocator.Recover(r.now, o.Framework, o.Agent, o.Resources, &refuse)
}

// Cycle lets one allocation interval pass and allocates over all agents.
func (r *DeclineRun) Cycle() (time.Duration, error) {
	r.now = r.now.Add(time.Second)
	d := elapsed(func() { r.offers = r.allocator.Allocate(r.now) })
	return d, r.check()
}

// DeclineAtOnce refuses every outstanding offer, and each time has what was
// refused offered to the next at once, as a master does.
func (r *DeclineRun) DeclineAtOnce() (time.Duration, error) {
	next := make([]allocator.Offer, 0, len(r.offers))
	d := elapsed(func() {
		for i := range r.offers {
			r.decline(&r.offers[i])
			next = append(next, r.allocator.Allocate(r.now)...)
		}
	})
	r.offers = next
	return d, r.check()
}

// check holds that every agent is offered.
func (r *DeclineRun) check() error {
	if len(r.offers) != r.workload.Agents {
		return fmt.Errorf("%d offers for %d agents", len(r.offers), r.workload.Agents)
	}
	return nil
}

func elapsed(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

// FreeOne gives back what is offered of one agent and allocates; it returns how
// long the resources took to be offered again.
func (r *DeclineRun) FreeOne(i int) (time.Duration, error) {
	o := &r.offers[i%len(r.offers)]
	var next []allocator.Offer
	d := elapsed(func() {
		r.allocator.Recover(r.now, o.Framework, o.Agent, o.Resources, nil)
		next = r.allocator.Allocate(r.now)
	})
	if len(next) != 1 || next[0].Agent != o.Agent {
		return d, fmt.Errorf("%d offers for one agent that is free", len(next))
	}
	*o = next[0]
	return d, nil
}

// AddOne adds an agent and allocates.
func (r *DeclineRun) AddOne(i int) (time.Duration, error) {
	id := fmt.Sprintf("new%d", i)
	total := r.offers[0].Resources.Unallocate()
	var next []allocator.Offer
	d := elapsed(func() {
		r.allocator.AddAgent(r.now, id, allocator.AgentOptions{Hostname: id, Total: total}, nil)
		next = r.allocator.Allocate(r.now)
	})
	if len(next) != 1 || next[0].Agent != id {
		return d, fmt.Errorf("%d offers for one agent that is new", len(next))
	}
	r.allocator.RemoveAgent(r.now, id)
	return d, nil
}

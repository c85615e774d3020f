package allocator

import (
	"slices"
	"time"

	"muster/offers/resource"
)

// Request is what a framework would like to be offered together: of the agent it
// names, or of any. One that names an agent and nothing else wants anything of it.
type Request struct {
	Agent     string
	Resources resource.Set // however they are reserved
}

// demand is what a client asked for. It is offered nothing else, as long as
// there is an agent that could meet one of the requests if all of it were free and
// the client had nothing yet.
type demand struct {
	requests []request
	met      *agent // one that could, nil: none, and the demand does not hold
	revision uint64 // when met was looked for
}

type request struct {
	agent string
	least resource.Quantities // of scalars
	rest  resource.Set        // other than scalars
}

// Request replaces what a framework asked for, under all roles that it
// subscribes to now; no requests are none to heed. It never gets anything by it
// that it was not entitled to: it leaves to others what it does not ask for.
func (a *Allocator) Request(now time.Time, id string, requests []Request) {
	a.observe(now)
	compiled := make([]request, len(requests))
	for i, r := range requests {
		set := r.Resources.Unallocate().StripReservations()
		compiled[i] = request{agent: r.Agent, least: set.Quantities()}
		var scalars []string
		for name := range compiled[i].least.All {
			scalars = append(scalars, name)
		}
		compiled[i].rest = set.Without(scalars...)
	}
	for _, c := range a.named(id, nil) {
		a.forgo(c)
		if len(compiled) == 0 {
			continue
		}
		c.demand = &demand{requests: compiled}
		a.demanding = append(a.demanding, c)
		a.meet(c)
		a.freshen(c)
	}
}

// forgo ends a client's demand.
func (a *Allocator) forgo(c *client) {
	if c.demand == nil {
		return
	}
	c.demand = nil
	a.demanding = slices.DeleteFunc(a.demanding, func(o *client) bool { return o == c })
	a.freshen(c)
}

// reweigh looks which demands can be met, after agents have changed. Who asked
// for what nobody has any more takes again what there is.
func (a *Allocator) reweigh() {
	for _, c := range a.demanding {
		if c.demand.revision == a.revision {
			continue
		}
		if held := c.demand.met != nil; held && !a.meet(c) {
			a.freshen(c)
		} else if !held {
			a.meet(c)
		}
	}
}

// meet finds an agent that could meet a client's demand, the last one if it still can.
func (a *Allocator) meet(c *client) bool {
	d := c.demand
	could := func(ag *agent) bool {
		if !ag.active || !ag.suits(c, &a.cfg) || c.screen != nil && c.screen.excludes(ag) {
			return false
		}
		total := readableBy(ag.options.Total.AllocatableTo(c.role.name), c.framework.caps.class())
		for r := c.role; r.parent != nil; r = r.parent {
			total = total.Chop(r.quota.limits)
		}
		return d.fits(ag.id, &total)
	}
	d.revision = a.revision
	if d.met == nil || a.agents[d.met.id] != d.met || !could(d.met) {
		d.met = nil
		if i := slices.IndexFunc(a.list, could); i >= 0 {
			d.met = a.list[i]
		}
	}
	return d.met != nil
}

// leaves reports whether the client asked for something else than what it would
// be offered of an agent.
func (d *demand) leaves(agent string, set *resource.Set) bool {
	return d.met != nil && !d.fits(agent, set)
}

// fits reports whether one of the requests is met.
func (d *demand) fits(agent string, set *resource.Set) bool {
	have := set.Quantities()
	for i := range d.requests {
		r := &d.requests[i]
		if (r.agent == "" || r.agent == agent) && have.Contains(r.least) &&
			(r.rest.Empty() || set.Unallocate().StripReservations().Contains(r.rest)) {
			return true
		}
	}
	return false
}

// namedFirst moves the agents that were asked for by name to the front: who
// asked for one and is entitled to something gets that, not another.
func (a *Allocator) namedFirst(agents []*agent) {
	named := map[string]bool{}
	for _, c := range a.demanding {
		for i := range c.demand.requests {
			if name := c.demand.requests[i].agent; name != "" {
				named[name] = true
			}
		}
	}
	if len(named) == 0 {
		return
	}
	slices.SortStableFunc(agents, func(x, y *agent) int {
		switch {
		case named[x.id] == named[y.id]:
			return 0
		case named[x.id]:
			return -1
		}
		return 1
	})
}

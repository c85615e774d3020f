package allocator

import "muster/offers/resource"

// split divides agents among those who have nothing, in a run in which there
// are more of them than agents.
type split struct {
	hungry int          // frameworks that compete and have nothing
	left   int          // agents to visit, with this one
	parts  int          // into which what is left of this agent is divided; 0: it is not
	got    []*framework // those who have a part of it
}

// splitting counts who has nothing, where agents may be split.
func (a *Allocator) splitting() split {
	s := split{}
	if a.cfg.Split.Empty() {
		return s
	}
	for _, f := range a.frameworks {
		if f.active && f.starves() {
			s.hungry++
		}
	}
	return s
}

// starves reports whether the framework competes for offers and has nothing.
func (f *framework) starves() bool {
	competes := false
	for _, c := range f.clients {
		if c.holds > 0 {
			return false
		}
		competes = competes || c.in != nil
	}
	return competes
}

// divide finds into how many parts the agent goes: so many that each framework
// without anything gets one from some agent, no more than there are frameworks
// that take a part of this one, and none smaller than it is worth.
func (r *run) divide() {
	r.got = r.got[:0]
	most := (r.hungry + r.left - 1) / r.left
	whole := chargeable(&r.agent.available)
	for name, least := range r.cfg.Split.All {
		most = min(most, int(whole.Get(name)/least))
	}
	if most < 2 {
		return
	}
	size, takers := whole.Share(most), map[*framework]bool{}
	r.root.walk(r.Allocator, r.lastRank(), func(role *role) bool {
		r.enter(role)
		role.clients.refresh(r.Allocator)
		for it := range role.clients.all {
			c := it.client
			if !c.framework.starves() || takers[c.framework] {
				continue
			}
			if v, why := r.judge(c); why == Due && r.takes(c, v.set.Chop(whole.Bound(size))) {
				takers[c.framework] = true
			}
		}
		return len(takers) < most
	})
	if n := min(most, len(takers)); n > 1 {
		r.parts = n
	}
}

// takes reports whether a part is something that the client wants.
func (r *run) takes(c *client, part resource.Set) bool {
	minimum := r.cfg.MinAllocatable
	if c.minimum != nil {
		minimum = c.minimum
	}
	if !enough(part, minimum) || c.demand != nil && c.demand.leaves(r.agent.id, &part) {
		return false
	}
	for _, refusal := range r.agent.refusals {
		if refusal.has(c.slot) && refusal.refused.Contains(part) {
			return false
		}
	}
	return true
}

// served reports whether the client's framework has a part of this agent: the
// others are for the others.
func (r *run) served(c *client) bool {
	for _, f := range r.got {
		if f == c.framework {
			return true
		}
	}
	return false
}

// part is what of set the client is offered: of a divided agent, its part.
// Whoever has something already and is more entitled all the same, and whoever
// has no use for a part, gets all that is left.
func (r *run) part(c *client, set resource.Set) resource.Set {
	if !c.framework.starves() {
		return set
	}
	r.hungry--
	if r.parts == 0 {
		return set
	}
	part := set
	if r.parts > 1 {
		whole := chargeable(&r.agent.available)
		part = set.Chop(whole.Bound(whole.Share(r.parts)))
	}
	if !r.takes(c, part) {
		return set
	}
	r.parts--
	r.got = append(r.got, c.framework)
	return part
}

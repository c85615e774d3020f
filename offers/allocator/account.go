package allocator

import (
	"slices"
	"time"

	"muster/offers/resource"
)

// Recover takes back what was offered or allocated, all of it allocated to
// roles. With a refusal the framework is not offered it, nor a part of it, for
// that long: 0 is until the next batch, negative the default. What the
// framework does not have is ignored.
func (a *Allocator) Recover(now time.Time, frameworkID, agentID string, r resource.Set, refuse *time.Duration) {
	a.observe(now)
	f, ag := a.frameworks[frameworkID], a.agents[agentID]
	if f == nil || ag == nil {
		return
	}
	for _, role := range r.AllocatedRoles() {
		c := f.find(role)
		if c == nil {
			continue
		}
		freed := a.reclaim(c, ag, r.AllocatedTo(role))
		if refuse != nil && f.known && f.active && c.subscribed && !freed.Empty() {
			a.refuse(c, ag, freed.Unallocate(), *refuse)
		}
		a.settle(c)
	}
	a.touch(ag)
}

// UpdateAllocation replaces old by new in what a framework has of an agent, and
// in what the agent has: an operation has converted it. Nothing happens when the
// framework does not have old.
func (a *Allocator) UpdateAllocation(frameworkID, agentID string, old, new resource.Set) {
	f, ag := a.frameworks[frameworkID], a.agents[agentID]
	if f == nil || ag == nil || !ag.heldBy(f).Contains(old) {
		return
	}
	gone, come := old.Unallocate(), new.Unallocate()
	options, before := ag.options, ag.options.Total
	options.Total = before.NonShared().Sub(gone.NonShared()).Add(come.NonShared()).
		Add(convertShared(before.Shared(), gone.Shared(), come.Shared()))
	a.describe(ag, options)
	a.setTotal(a.total.Sub(before.Quantities()).Add(ag.options.Total.Quantities()))
	for _, role := range new.AllocatedRoles() {
		a.grant(f.client(a, role), ag, new.AllocatedTo(role))
	}
	a.free(f, ag, old)
	a.recompute(ag)
	a.touch(ag)
}

// convertShared returns the shared volumes of an agent after an operation:
// each once, however many use it.
func convertShared(have, gone, come resource.Set) resource.Set {
	have = have.Sub(gone.Sub(come))
	return have.Add(come.Sub(gone).Sub(have))
}

// use accounts r, allocated to roles, as held by the framework.
func (a *Allocator) use(f *framework, ag *agent, r resource.Set) {
	if r.Empty() {
		return
	}
	a.hold(f, ag, r)
	a.recompute(ag)
	a.setOpen(ag)
}

// hold accounts for r without a look at what is available.
func (a *Allocator) hold(f *framework, ag *agent, r resource.Set) {
	for _, role := range r.AllocatedRoles() {
		c := f.client(a, role)
		a.grant(c, ag, r.AllocatedTo(role))
		c.chosen()
	}
}

// free takes r from the framework.
func (a *Allocator) free(f *framework, ag *agent, r resource.Set) {
	for _, role := range r.AllocatedRoles() {
		if c := f.find(role); c != nil {
			a.reclaim(c, ag, r.AllocatedTo(role))
			a.settle(c)
		}
	}
	a.touch(ag)
}

// grant accounts for r as held by the client.
func (a *Allocator) grant(c *client, ag *agent, r resource.Set) {
	i := ag.holding(c)
	if i < 0 {
		ag.holdings = append(ag.holdings, holding{client: c})
		i = len(ag.holdings) - 1
		c.holds++
	}
	h := &ag.holdings[i]
	a.replace(ag, h, h.set.Add(r), r, resource.Set{})
}

// chosen counts an allocation that was made to the client.
func (c *client) chosen() {
	c.count++
	c.role.self.count++
	for r := c.role; r.parent != nil; r = r.parent {
		r.below.count++
	}
}

// reclaim takes from the client what it has of r and makes it available. It
// returns what it was.
func (a *Allocator) reclaim(c *client, ag *agent, r resource.Set) resource.Set {
	i := ag.holding(c)
	if i < 0 {
		return resource.Set{}
	}
	h := &ag.holdings[i]
	if !h.set.Contains(r) {
		r = h.set.Sub(h.set.Sub(r))
	}
	if r.Empty() {
		return r
	}
	a.replace(ag, h, h.set.Sub(r), resource.Set{}, r)
	if h.set.Empty() {
		ag.holdings = slices.Delete(ag.holdings, i, i+1)
		c.holds--
	}
	if ag.excess {
		a.recompute(ag)
	} else {
		ag.available = ag.available.Add(r.Unallocate().NonShared())
	}
	return r
}

// replace puts next in the place of a holding and accounts for what came and
// went. Shared volumes count once in each item, however many below have them.
func (a *Allocator) replace(ag *agent, h *holding, next, came, went resource.Set) {
	c := h.client
	if came.Plain() && went.Plain() || came.Shared().Empty() && went.Shared().Empty() {
		plus, minus := came.Quantities(), went.Quantities()
		h.set = next
		if came.Plain() && went.Plain() {
			a.charge(c.role, plus, minus)
		} else {
			a.charge(c.role, chargeable(&came), chargeable(&went))
		}
		c.item.adjust(plus, minus)
		c.role.self.adjust(plus, minus)
		for r := c.role; r.parent != nil; r = r.parent {
			r.below.adjust(plus, minus)
		}
		return
	}
	plus, minus := came.NonShared().Quantities(), went.NonShared().Quantities()
	items := []*item{&c.item, &c.role.self}
	for r := c.role; r.parent != nil; r = r.parent {
		items = append(items, &r.below)
	}
	before := make([]resource.Quantities, len(items))
	for i, it := range items {
		before[i] = ag.sharedBelow(it)
	}
	h.set = next
	a.charge(c.role, chargeable(&came), chargeable(&went))
	for i, it := range items {
		it.adjust(plus, minus)
		it.adjust(ag.sharedBelow(it), before[i])
	}
}

// adjust changes what the item has.
func (it *item) adjust(plus, minus resource.Quantities) {
	if !plus.Empty() {
		it.allocated = it.allocated.Add(plus)
	}
	if !minus.Empty() {
		it.allocated = it.allocated.Sub(minus)
	}
	it.touch()
}

// sharedBelow is the size of the shared volumes of the agent that the clients
// that it stands for have.
func (ag *agent) sharedBelow(it *item) resource.Quantities {
	sum := resource.Set{}
	for _, h := range ag.holdings {
		if h.client.counts(it) {
			sum = sum.Add(h.set.Shared().Unallocate())
		}
	}
	return sum.Quantities()
}

// counts reports whether it is the client's item or one of its roles'.
func (c *client) counts(it *item) bool {
	if it == &c.item || it == &c.role.self {
		return true
	}
	for r := c.role; r.parent != nil; r = r.parent {
		if it == &r.below {
			return true
		}
	}
	return false
}

// recompute finds what is available from what is held.
func (a *Allocator) recompute(ag *agent) {
	total := ag.options.Total
	a.held = a.held[:0]
	for i := range ag.holdings {
		a.held = append(a.held, ag.holdings[i].set.Unallocate().NonShared())
	}
	used := resource.Sum(a.held...)
	ag.excess = !total.Contains(used)
	ag.available = total.NonShared().Sub(used).Add(total.Shared())
}

func (ag *agent) holding(c *client) int {
	for i := range ag.holdings {
		if ag.holdings[i].client == c {
			return i
		}
	}
	return -1
}

// heldBy is all that a framework has of the agent.
func (ag *agent) heldBy(f *framework) resource.Set {
	sum := resource.Set{}
	for i := range ag.holdings {
		if ag.holdings[i].client.framework == f {
			sum = sum.Add(ag.holdings[i].set)
		}
	}
	return sum
}

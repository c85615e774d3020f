package allocator

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"muster/offers/resource"
)

// Verify counts from scratch what the allocator keeps up to date, and returns the
// first difference. It costs what the cluster holds: it is for tests, those of
// whoever has an allocator among them.
func (a *Allocator) Verify() error {
	for _, check := range []func() error{a.verifyAgents, a.verifyTree, a.verifyCharges, a.verifyFilters} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// Held is what a framework has of an agent, offered or in use.
func (a *Allocator) Held(frameworkID, agentID string) resource.Set {
	f, ag := a.frameworks[frameworkID], a.agents[agentID]
	if f == nil || ag == nil {
		return resource.Set{}
	}
	return ag.heldBy(f)
}

// verifyAgents holds that what is available is what is not held, however much more
// is held than there is.
func (a *Allocator) verifyAgents() error {
	sum := resource.Quantities{}
	for i, ag := range a.list {
		total, held := ag.options.Total, resource.Set{}
		for _, h := range ag.holdings {
			held = held.Add(h.set.Unallocate())
		}
		available := total.NonShared().Sub(held.NonShared()).Add(total.Shared())
		if !ag.available.Equal(available) || ag.excess == total.Contains(held.NonShared()) {
			return fmt.Errorf("agent %s: of %s %s is held, %s available", ag.id, total, held, ag.available)
		}
		if open := ag.active && !available.Empty(); open != (ag.open > 0) || open && a.open[ag.open-1] != ag {
			return fmt.Errorf("agent %s is open: %v", ag.id, open)
		}
		if ag.index != i || a.agents[ag.id] != ag {
			return fmt.Errorf("agent %s is not where it should be", ag.id)
		}
		sum = sum.Add(total.Quantities())
	}
	if len(a.list) != len(a.agents) || !sum.Equal(a.total) {
		return fmt.Errorf("%d agents of %d, with %s of %s", len(a.list), len(a.agents), sum, a.total)
	}
	return nil
}

// verifyTree holds that roles and clients have what the holdings say, and the
// entitled compete, in order.
func (a *Allocator) verifyTree() error {
	want := map[*item]resource.Quantities{}
	for _, ag := range a.list {
		held := map[*item]resource.Set{}
		for _, h := range ag.holdings {
			for _, it := range h.client.path() {
				held[it] = held[it].Add(h.set.Unallocate())
			}
		}
		for it, r := range held {
			want[it] = want[it].Add(r.Quantities())
		}
	}
	clients := map[*role]int{}
	for _, f := range a.frameworks {
		for _, c := range f.clients {
			for _, it := range c.path() {
				if !it.allocated.Equal(want[it]) {
					return fmt.Errorf("%s %s has %s, not %s", c.role.name, it.name, want[it], it.allocated)
				}
			}
			if entitled := f.active && c.subscribed && !c.suppressed; entitled != (c.in == &c.role.clients) {
				return fmt.Errorf("%s under %s is entitled: %v", f.id, c.role.name, entitled)
			} else if entitled {
				clients[c.role]++
			}
		}
	}
	for _, r := range a.roles {
		if r.clients.n != clients[r] || r.users == 0 {
			return fmt.Errorf("role %s: %d clients of %d, %d users", r.name, r.clients.n, clients[r], r.users)
		}
		if err := cmp.Or(r.clients.verify(a), r.children.verify(a)); err != nil {
			return err
		}
	}
	return a.root.children.verify(a)
}

func (o *order) verify(a *Allocator) error {
	o.refresh(a)
	var last *item
	n := 0
	for it := range o.all {
		if it.key != it.fairness(a) || it.pending || it.in != o {
			return fmt.Errorf("%s is at %v, not %v", it.name, it.key, it.fairness(a))
		}
		if last != nil && (entry{last.key, last}).compare(entry{it.key, it}) >= 0 {
			return fmt.Errorf("%s is before %s", last.name, it.name)
		}
		last = it
		n++
	}
	if n != o.n || len(o.pending) != 0 {
		return fmt.Errorf("%d items of %d, %d pending", n, o.n, len(o.pending))
	}
	return nil
}

// verifyCharges holds that what counts against quotas is what agents and holdings
// say, and that the needs are what the charges say.
func (a *Allocator) verifyCharges() error {
	charged, headroom := map[*role]resource.Quantities{}, resource.Quantities{}
	charge := func(r *role, q resource.Quantities) {
		for ; r.parent != nil; r = r.parent {
			charged[r] = charged[r].Add(q)
		}
	}
	for _, ag := range a.list {
		for _, name := range ag.options.Total.ReservedRoles() {
			charge(a.roles[name], ag.options.Total.ReservedTo(name).Quantities())
		}
		for _, h := range ag.holdings {
			charge(h.client.role, h.set.Unreserved().NonRevocable().Quantities())
		}
		if ag.active {
			headroom = headroom.Add(ag.available.Unreserved().NonRevocable().Quantities())
		}
	}
	if !headroom.Equal(a.headroom) {
		return fmt.Errorf("headroom %s, not %s", headroom, a.headroom)
	}
	quotas, owed := 0, map[*role]resource.Quantities{}
	for _, r := range a.roles {
		owed[r.parent] = owed[r.parent].Add(r.quota.need)
		if r.quota.set() {
			quotas++
		}
		if !r.quota.charged.Equal(charged[r]) {
			return fmt.Errorf("%s is charged %s, not %s", r.name, charged[r], r.quota.charged)
		}
	}
	for _, r := range a.roles {
		if !r.quota.owed.Equal(owed[r]) || !r.quota.need.Equal(r.quota.guarantees.Sub(charged[r]).Max(owed[r])) {
			return fmt.Errorf("%s needs %s and owes %s", r.name, r.quota.need, r.quota.owed)
		}
	}
	if !a.root.quota.owed.Equal(owed[a.root]) || quotas != a.quotas {
		return fmt.Errorf("%s is needed, not %s; %d quotas, not %d", owed[a.root], a.root.quota.owed, quotas, a.quotas)
	}
	return nil
}

// verifyFilters holds that refusals, their bits and counters agree, and all end.
func (a *Allocator) verifyFilters() error {
	filters, forgiven, bySlot := 0, 0, map[uint32]int{}
	for _, ag := range a.list {
		for _, r := range ag.refusals {
			set := 0
			for _, word := range r.bits {
				set += bits.OnesCount64(word)
			}
			if set != len(r.members) || set == 0 || !slices.IsSortedFunc(r.members, func(x, y member) int { return int(x.slot) - int(y.slot) }) {
				return fmt.Errorf("agent %s: %d bits, %d members", ag.id, set, len(r.members))
			}
			for _, m := range r.members {
				bySlot[m.slot]++
				if a.slots.clients[m.slot] != nil {
					filters++
				} else {
					forgiven++
				}
				if !r.has(m.slot) || !slices.ContainsFunc(a.expiries, func(e expiry) bool {
					return e.refusal == r && e.slot == m.slot && e.until == m.until
				}) {
					return fmt.Errorf("agent %s: a filter of %d never ends", ag.id, m.slot)
				}
			}
		}
	}
	retired := 0
	for slot, c := range a.slots.clients {
		n := a.slots.filters[slot]
		free := slices.Contains(a.slots.free, uint32(slot))
		if n != bySlot[uint32(slot)] || c != nil && !c.framework.active && n > 0 || free != (c == nil && n == 0) {
			return fmt.Errorf("slot %d, free %t: %d filters, not %d", slot, free, bySlot[uint32(slot)], n)
		}
		if c == nil && n > 0 {
			retired++
		}
	}
	if filters != a.filters || forgiven != a.forgiven || retired != a.slots.retired {
		return fmt.Errorf("%d filters, not %d; %d forgiven, not %d; %d slots retired, not %d",
			filters, a.filters, forgiven, a.forgiven, retired, a.slots.retired)
	}
	return nil
}

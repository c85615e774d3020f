package allocator

import (
	"math/bits"
	"slices"

	"pgregory.net/rapid"

	"muster/offers/resource"
)

// checkNothingLeft holds that whoever may have something and wants it has been
// offered it: with a look at every agent, client and filter.
func (s *simulation) checkNothingLeft(t *rapid.T) {
	for _, ag := range s.a.list {
		if !ag.available.Shared().Empty() || ag.open > 0 && !ag.quiet && !s.a.cfg.Split.Empty() {
			continue // what was offered without the volume, or in parts, may be offered again in the next batch
		}
		for _, f := range s.a.frameworks {
			for _, c := range f.clients {
				if !ag.active || !f.active || !c.subscribed || c.suppressed || ag.gpu && !f.caps.GPU ||
					c.screen != nil && ag.options.Hostname != "one" {
					continue
				}
				set := ag.available.AllocatableTo(c.role.name)
				if !f.caps.Revocable {
					set = set.NonRevocable()
				}
				set = set.Chop(allowance(s.a, c.role))
				minimum := s.a.cfg.MinAllocatable
				if c.minimum != nil {
					minimum = c.minimum
				}
				if c.demand != nil && c.demand.leaves(ag.id, &set) {
					continue
				}
				if enough(set, minimum) && !slices.ContainsFunc(ag.refusals, func(r *refusal) bool {
					_, member := r.find(c.slot)
					return member && r.refused.Contains(set)
				}) {
					t.Fatalf("%s was not offered to %s under %s", set, f.id, c.role.name)
				}
			}
		}
	}
}

// checkExplained asks the allocator, and not its twin, why everybody is offered
// nothing more: it knows nothing that is due, and it makes no difference.
func (s *simulation) checkExplained(t *rapid.T) {
	for _, f := range s.a.frameworks {
		for _, c := range f.clients {
			for _, ag := range s.a.list {
				why, known := s.a.Explain(s.now, f.id, c.role.name, ag.id, func(string) string { return "away" })
				if known != (f.known && c.subscribed) || known && (len(why.Findings) != 1 || why.Findings[0].Agents != 1) {
					t.Fatalf("%s under %s on %s: %v, %t", f.id, c.role.name, ag.id, why, known)
				}
				if known && c.in != nil && why.Findings[0].Reason == Due && ag.quiet && s.a.quotas == 0 {
					t.Fatalf("%s is due to %s under %s after a run", ag.id, f.id, c.role.name)
				}
			}
		}
	}
}

func (s *simulation) check(t *rapid.T) {
	s.checkHoldings(t)
	s.checkAccounts(t)
	checkFilters(t, s.a)
	if len(s.total) != len(s.a.agents) || len(s.total) != len(s.a.list) {
		t.Fatalf("%d agents of %d", len(s.a.agents), len(s.total))
	}
}

// checkHoldings holds that nothing is lost or made, and offered and allocated
// never exceed what there is.
func (s *simulation) checkHoldings(t *rapid.T) {
	sum := resource.Quantities{}
	for id, total := range s.total {
		ag, held := s.a.agents[id], resource.Set{}
		for _, h := range ag.holdings {
			key := [2]string{h.client.framework.id, id}
			if want := s.have[key].AllocatedTo(h.client.role.name); !h.set.Equal(want) || want.Empty() {
				t.Fatalf("%v has %s, not %s", key, want, h.set)
			}
			held = held.Add(h.set.Unallocate())
		}
		all := resource.Set{}
		for key, r := range s.have {
			if key[1] == id {
				all = all.Add(r.Unallocate())
			}
		}
		if !all.Equal(held) {
			t.Fatalf("of %s %s is held, not %s", id, all, held)
		}
		available := total.NonShared().Sub(held.NonShared()).Add(total.Shared())
		if !ag.options.Total.Equal(total) || !ag.available.Equal(available) || ag.excess == total.Contains(held.NonShared()) {
			t.Fatalf("%s: total %s, held %s, available %s", id, total, held, ag.available)
		}
		if open := ag.active && !ag.available.Empty(); open != (ag.open > 0) || open && s.a.open[ag.open-1] != ag {
			t.Fatalf("%s is open: %v", id, open)
		}
		sum = sum.Add(total.Quantities())
	}
	if !sum.Equal(s.a.total) {
		t.Fatalf("total %s, not %s", sum, s.a.total)
	}
}

// checkAccounts holds that the tree has what the holdings say and the entitled,
// in order.
func (s *simulation) checkAccounts(t *rapid.T) {
	want := map[*item]resource.Quantities{}
	for _, ag := range s.a.list {
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
	clients := map[string]int{}
	for _, f := range s.a.frameworks {
		for _, c := range f.clients {
			for _, it := range c.path() {
				if !it.allocated.Equal(want[it]) {
					t.Fatalf("%s %s has %s, not %s", c.role.name, it.name, want[it], it.allocated)
				}
			}
			if entitled := f.active && c.subscribed && !c.suppressed; entitled != (c.in == &c.role.clients) {
				t.Fatalf("%s under %s is entitled: %v", f.id, c.role.name, entitled)
			} else if entitled {
				clients[c.role.name]++
			}
		}
	}
	s.checkCharges(t)
	for _, r := range s.a.roles {
		if r.clients.n != clients[r.name] || r.users == 0 {
			t.Fatalf("role %s: %d clients of %d, %d users", r.name, r.clients.n, clients[r.name], r.users)
		}
		checkOrder(t, s.a, &r.clients)
		checkOrder(t, s.a, &r.children)
	}
	checkOrder(t, s.a, &s.a.root.children)
}

func checkOrder(t *rapid.T, a *Allocator, o *order) {
	o.refresh(a)
	var last *item
	n := 0
	for it := range o.all {
		if it.key != it.fairness(a) || it.pending || it.in != o {
			t.Fatalf("%s is at %v, not %v", it.name, it.key, it.fairness(a))
		}
		if last != nil && (entry{last.key, last}).compare(entry{it.key, it}) >= 0 {
			t.Fatalf("%s is before %s", last.name, it.name)
		}
		last = it
		n++
	}
	if n != o.n || len(o.pending) != 0 {
		t.Fatalf("%d items of %d, %d pending", n, o.n, len(o.pending))
	}
}

func checkFilters(t *rapid.T, a *Allocator) {
	filters, byClient := 0, map[uint32]int{}
	for _, ag := range a.list {
		for _, r := range ag.refusals {
			set := 0
			for _, word := range r.bits {
				set += bits.OnesCount64(word)
			}
			if set != len(r.members) || set == 0 || !slices.IsSortedFunc(r.members, func(x, y member) int { return int(x.slot) - int(y.slot) }) {
				t.Fatalf("%d bits, %d members", set, len(r.members))
			}
			for _, m := range r.members {
				byClient[m.slot]++
				filters++
				if !r.has(m.slot) || !slices.ContainsFunc(a.expiries, func(e expiry) bool {
					return e.refusal == r && e.slot == m.slot && e.until == m.until
				}) {
					t.Fatalf("a filter of %d never ends", m.slot)
				}
			}
		}
	}
	for slot, c := range a.slots.clients {
		if c != nil && (c.filters != byClient[uint32(slot)] || !c.framework.active && c.filters > 0) {
			t.Fatalf("%s has %d filters, not %d", c.framework.id, byClient[uint32(slot)], c.filters)
		}
	}
	if filters != a.filters {
		t.Fatalf("%d filters, not %d", filters, a.filters)
	}
}

package allocator

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"muster/offers/resource"
)

// simulation does random things to an allocator and keeps an account of its
// own: what each framework has of each agent.
type simulation struct {
	now   time.Time
	a     *Allocator
	twin  *Allocator // is done the same to
	have  map[[2]string]resource.Set
	total map[string]resource.Set
}

var (
	frameworkIDs = []string{"f1", "f2", "f3", "f4"}
	agentIDs     = []string{"a1", "a2", "a3", "a4", "a5"}
	roleNames    = []string{"*", "a", "a/b", "c"}
	totals       = []string{
		"cpus:4;mem:256;ports:[1-20]", "cpus:2;mem:128;cpus(a):2;mem(a):64", "cpus:1;mem:64;cpus{REV}:3",
		"cpus:2;mem:100;gpus:1", "disk:100", "cpus:8;mem:1000;cpus(a/b):1;x:5",
	}
	parts = []string{"cpus:1;mem:10", "cpus:0.5;ports:[3-4]", "mem:64;cpus(a):1", "cpus{REV}:1", "gpus:1", "cpus(a/b):1;x:2"}
)

func draw(t *rapid.T, from []string, label string) string {
	return rapid.SampledFrom(from).Draw(t, label)
}

func parse(t *rapid.T, text string) resource.Set {
	s, err := resource.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// both does the same to the allocator and to its twin.
func (s *simulation) both(do func(a *Allocator)) {
	do(s.a)
	do(s.twin)
}

func (s *simulation) drawFramework(t *rapid.T) FrameworkOptions {
	o := FrameworkOptions{Active: rapid.IntRange(0, 4).Draw(t, "active") > 0}
	for _, role := range roleNames {
		switch rapid.IntRange(0, 3).Draw(t, "role "+role) {
		case 0, 1:
			o.Roles = append(o.Roles, role)
		case 2:
			o.Roles = append(o.Roles, role)
			o.Suppressed = append(o.Suppressed, role)
		}
	}
	caps := rapid.IntRange(0, 15).Draw(t, "capabilities")
	o.Capabilities = Capabilities{Revocable: caps&1 != 0, GPU: caps&2 != 0, Refinement: caps&4 != 0}
	if caps&8 != 0 {
		o.MinAllocatable = map[string][]resource.Quantities{"a": {parse(t, "cpus:2").Quantities()}}
	}
	return o
}

func (s *simulation) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"":                    s.check,
		"add framework":       s.addFramework,
		"update framework":    s.updateFramework,
		"remove framework":    s.removeFramework,
		"toggle framework":    s.toggleFramework,
		"suppress or revive":  s.suppressOrRevive,
		"add or update agent": s.addOrUpdateAgent,
		"remove agent":        s.removeAgent,
		"toggle agent":        s.toggleAgent,
		"give back":           s.giveBack,
		"decline a part":      s.giveBackPart,
		"convert":             s.convert,
		"allocate":            s.allocate,
		"allocate later":      s.allocateLater,
	}
}

func (s *simulation) addFramework(t *rapid.T) {
	id, o := draw(t, frameworkIDs, "id"), s.drawFramework(t)
	used := map[string]resource.Set{}
	for key, r := range s.have {
		if key[0] == id {
			used[key[1]] = r
		}
	}
	s.both(func(a *Allocator) { a.AddFramework(s.now, id, o, used) })
}

func (s *simulation) updateFramework(t *rapid.T) {
	id, o := draw(t, frameworkIDs, "id"), s.drawFramework(t)
	s.both(func(a *Allocator) { a.UpdateFramework(s.now, id, o) })
}

func (s *simulation) removeFramework(t *rapid.T) {
	id := draw(t, frameworkIDs, "id")
	s.both(func(a *Allocator) { a.RemoveFramework(id) })
	for key := range s.have {
		if key[0] == id {
			delete(s.have, key)
		}
	}
}

func (s *simulation) toggleFramework(t *rapid.T) {
	id, active := draw(t, frameworkIDs, "id"), rapid.Bool().Draw(t, "active")
	s.both(func(a *Allocator) {
		if active {
			a.ActivateFramework(s.now, id)
		} else {
			a.DeactivateFramework(s.now, id)
		}
	})
}

func (s *simulation) suppressOrRevive(t *rapid.T) {
	id, roles := draw(t, frameworkIDs, "id"), rapid.SliceOfN(rapid.SampledFrom(roleNames), 0, 2).Draw(t, "roles")
	suppress := rapid.Bool().Draw(t, "suppress")
	s.both(func(a *Allocator) {
		if suppress {
			a.Suppress(id, roles)
		} else {
			a.Revive(s.now, id, roles)
		}
	})
}

func (s *simulation) addOrUpdateAgent(t *rapid.T) {
	id, total := draw(t, agentIDs, "id"), parse(t, draw(t, totals, "total"))
	o := AgentOptions{Total: total}
	if _, known := s.total[id]; known {
		s.both(func(a *Allocator) { a.UpdateAgent(s.now, id, o) })
		s.total[id] = total
		return
	}
	s.total[id] = total
	user, role := draw(t, frameworkIDs, "user"), draw(t, roleNames, "role")
	used := total.AllocatableTo(role).Sub(parse(t, draw(t, parts, "left"))).Allocate(role)
	if rapid.Bool().Draw(t, "unused") {
		used = resource.Set{}
	}
	s.both(func(a *Allocator) { a.AddAgent(s.now, id, o, map[string]resource.Set{user: used}) })
	if !used.Empty() {
		s.have[[2]string{user, id}] = used
	}
}

func (s *simulation) removeAgent(t *rapid.T) {
	id := draw(t, agentIDs, "id")
	s.both(func(a *Allocator) { a.RemoveAgent(s.now, id) })
	delete(s.total, id)
	for key := range s.have {
		if key[1] == id {
			delete(s.have, key)
		}
	}
}

func (s *simulation) toggleAgent(t *rapid.T) {
	id, active := draw(t, agentIDs, "id"), rapid.Bool().Draw(t, "active")
	s.both(func(a *Allocator) {
		if active {
			a.ActivateAgent(s.now, id)
		} else {
			a.DeactivateAgent(s.now, id)
		}
	})
}

func (s *simulation) giveBack(t *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(t, "times") {
		key := s.someone(t)
		s.recover(t, key, s.have[key])
	}
}

// someone draws a framework that has something of an agent, if there is one.
func (s *simulation) someone(t *rapid.T) [2]string {
	var keys [][2]string
	for _, f := range frameworkIDs {
		for _, ag := range agentIDs {
			if _, some := s.have[[2]string{f, ag}]; some {
				keys = append(keys, [2]string{f, ag})
			}
		}
	}
	if len(keys) == 0 {
		return [2]string{frameworkIDs[0], agentIDs[0]}
	}
	return rapid.SampledFrom(keys).Draw(t, "who")
}

func (s *simulation) giveBackPart(t *rapid.T) {
	key := s.someone(t)
	s.recover(t, key, parse(t, draw(t, parts, "part")).Allocate(draw(t, roleNames, "role")))
}

func (s *simulation) recover(t *rapid.T, key [2]string, r resource.Set) {
	var refuse *time.Duration
	if i := rapid.IntRange(-1, 4).Draw(t, "refuse"); i >= 0 {
		d := []time.Duration{0, -1, 300 * time.Millisecond, 3 * time.Second, time.Hour}[i]
		refuse = &d
	}
	s.both(func(a *Allocator) { a.Recover(s.now, key[0], key[1], r, refuse) })
	if s.have[key] = s.have[key].Sub(r); s.have[key].Empty() {
		delete(s.have, key)
	}
}

func (s *simulation) convert(t *rapid.T) {
	key := s.someone(t)
	from, to := parse(t, "cpus:1").Allocate("a"), parse(t, "cpus(a):1").Allocate("a")
	if rapid.Bool().Draw(t, "back") {
		from, to = to, from
	}
	s.both(func(a *Allocator) { a.UpdateAllocation(key[0], key[1], from, to) })
	if r, some := s.have[key]; some && r.Contains(from) {
		s.have[key] = r.Sub(from).Add(to)
		s.total[key[1]] = s.total[key[1]].Sub(from.Unallocate()).Add(to.Unallocate())
	}
}

func (s *simulation) allocateLater(t *rapid.T) {
	s.now = s.now.Add(time.Duration(rapid.IntRange(1, 7000).Draw(t, "ms")) * time.Millisecond)
	s.allocate(t)
}

func (s *simulation) allocate(t *rapid.T) {
	offers := s.a.Allocate(s.now)
	if again := s.twin.Allocate(s.now); fmt.Sprint(offers) != fmt.Sprint(again) {
		t.Fatalf("the same events gave %v and %v", offers, again)
	}
	seen := map[string]int{}
	for i, o := range offers {
		key := [2]string{o.Framework, o.Agent}
		s.have[key] = s.have[key].Add(o.Resources)
		c := s.a.frameworks[o.Framework].find(o.Role)
		if !c.framework.active || !c.subscribed || c.suppressed {
			t.Fatalf("%v was offered to one that may not be", o)
		}
		if r := o.Resources; !r.AllocatedTo(o.Role).Equal(r) || !r.Unallocate().AllocatableTo(o.Role).Equal(r.Unallocate()) {
			t.Fatalf("%v is not for its role", o)
		}
		if last, some := seen[o.Framework]; some && last != i-1 {
			t.Fatalf("offers are not gathered by framework: %v", offers)
		}
		seen[o.Framework] = i
	}
	if next := s.a.Next(); !next.IsZero() && !next.After(s.now) {
		t.Fatalf("due at %v at once after a run at %v", next, s.now)
	}
	s.checkNothingLeft(t)
}

// checkNothingLeft holds that whoever may have something and wants it has been
// offered it: with a look at every agent, client and filter.
func (s *simulation) checkNothingLeft(t *rapid.T) {
	for _, ag := range s.a.list {
		for _, f := range s.a.frameworks {
			for _, c := range f.clients {
				if !ag.active || !f.active || !c.subscribed || c.suppressed || ag.gpu && !f.caps.GPU {
					continue
				}
				set := ag.available.AllocatableTo(c.role.name)
				if !f.caps.Revocable {
					set = set.NonRevocable()
				}
				minimum := s.a.cfg.MinAllocatable
				if c.minimum != nil {
					minimum = c.minimum
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
		if !ag.options.Total.Equal(total) || !ag.available.Equal(total.Sub(held)) || ag.excess == total.Contains(held) {
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
		for _, h := range ag.holdings {
			for _, it := range h.client.path() {
				want[it] = want[it].Add(h.set.Quantities())
			}
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

func TestRandomSimulation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		s := &simulation{
			now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), a: New(Config{Seed: seed}), twin: New(Config{Seed: seed}),
			have: map[[2]string]resource.Set{}, total: map[string]resource.Set{},
		}
		for range 3 {
			s.addFramework(t)
			s.addOrUpdateAgent(t)
		}
		t.Repeat(s.actions())
	})
}

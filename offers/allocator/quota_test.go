package allocator

import (
	"pgregory.net/rapid"

	"muster/offers/resource"
)

// allowance is what a role may have more, from the definition: the room of its
// limits, and what is not kept for the guarantees of others.
func allowance(a *Allocator, role *role) resource.Limits {
	most := resource.Limits{}
	for r := role; r.parent != nil; r = r.parent {
		most = most.Min(r.quota.limits.Sub(r.quota.charged))
	}
	kept := a.root.quota.owed
	return most.Min(kept.Bound(a.headroom.Sub(kept)).Add(role.claim()))
}

// quotaState is what a run may not make worse.
type quotaState struct {
	charged map[string]resource.Quantities
	missing resource.Quantities // for guarantees
}

func (a *Allocator) quotaBefore() quotaState {
	s := quotaState{charged: map[string]resource.Quantities{}, missing: a.root.quota.owed.Sub(a.headroom)}
	for name, r := range a.roles {
		s.charged[name] = r.quota.charged
	}
	return s
}

// checkQuotas holds that a run let no role go beyond its limits, nor took what
// is kept for guarantees.
func (s *simulation) checkQuotas(t *rapid.T, before quotaState) {
	for name, r := range s.a.roles {
		for kind, most := range r.quota.limits.All {
			if now := r.quota.charged.Get(kind); now > max(most, before.charged[name].Get(kind)) {
				t.Fatalf("%s is charged %s, its limits are %s", name, r.quota.charged, r.quota.limits)
			}
		}
	}
	if missing := s.a.root.quota.owed.Sub(s.a.headroom); !before.missing.Contains(missing) {
		t.Fatalf("%s is missing for guarantees, before it was %s", missing, before.missing)
	}
}

// checkCharges holds that what counts against quotas is what agents and holdings
// say, and that the needs are what the charges say.
func (s *simulation) checkCharges(t *rapid.T) {
	charged, headroom := map[*role]resource.Quantities{}, resource.Quantities{}
	charge := func(r *role, q resource.Quantities) {
		for ; r.parent != nil; r = r.parent {
			charged[r] = charged[r].Add(q)
		}
	}
	for _, ag := range s.a.list {
		for _, name := range ag.options.Total.ReservedRoles() {
			charge(s.a.roles[name], ag.options.Total.ReservedTo(name).Quantities())
		}
		for _, h := range ag.holdings {
			charge(h.client.role, h.set.Unreserved().NonRevocable().Quantities())
		}
		if ag.active {
			headroom = headroom.Add(ag.available.Unreserved().NonRevocable().Quantities())
		}
	}
	if !headroom.Equal(s.a.headroom) {
		t.Fatalf("headroom %s, not %s", headroom, s.a.headroom)
	}
	quotas, owed := 0, map[*role]resource.Quantities{}
	for _, r := range s.a.roles {
		owed[r.parent] = owed[r.parent].Add(r.quota.need)
		if r.quota.set() {
			quotas++
		}
		if !r.quota.charged.Equal(charged[r]) {
			t.Fatalf("%s is charged %s, not %s", r.name, charged[r], r.quota.charged)
		}
	}
	for _, r := range s.a.roles {
		if !r.quota.owed.Equal(owed[r]) || !r.quota.need.Equal(r.quota.guarantees.Sub(charged[r]).Max(owed[r])) {
			t.Fatalf("%s needs %s and owes %s", r.name, r.quota.need, r.quota.owed)
		}
	}
	if !s.a.root.quota.owed.Equal(owed[s.a.root]) || quotas != s.a.quotas {
		t.Fatalf("%s is needed, not %s; %d quotas, not %d", owed[s.a.root], s.a.root.quota.owed, quotas, s.a.quotas)
	}
}

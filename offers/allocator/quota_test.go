package allocator

import (
	"pgregory.net/rapid"

	"muster/offers/resource"
)

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

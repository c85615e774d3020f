package allocator

import (
	"pgregory.net/rapid"

	"muster/offers/resource"
)

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
	if err := s.a.Verify(); err != nil {
		t.Fatal(err)
	}
}

// checkHoldings holds that nothing is lost or made: agents have, and frameworks
// hold, what the account of the simulation says.
func (s *simulation) checkHoldings(t *rapid.T) {
	if len(s.total) != len(s.a.agents) {
		t.Fatalf("%d agents of %d", len(s.a.agents), len(s.total))
	}
	for id, total := range s.total {
		ag := s.a.agents[id]
		if !ag.options.Total.Equal(total) {
			t.Fatalf("%s has %s, not %s", id, total, ag.options.Total)
		}
		all := resource.Set{}
		for key, r := range s.have {
			if key[1] == id {
				all = all.Add(r)
				if held := s.a.Held(key[0], id); !held.Equal(r) {
					t.Fatalf("%v has %s, not %s", key, r, held)
				}
			}
		}
		for _, h := range ag.holdings {
			all = all.Sub(h.set)
			if h.set.Empty() || !h.set.AllocatedTo(h.client.role.name).Equal(h.set) {
				t.Fatalf("%s holds %s under %s", h.client.framework.id, h.set, h.client.role.name)
			}
		}
		if !all.Empty() {
			t.Fatalf("%s of %s is held by nobody", all, id)
		}
	}
}

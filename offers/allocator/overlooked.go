package allocator

import (
	"fmt"
	"slices"
	"time"

	"muster/offers/resource"
)

// Overlooked names someone who may have something, wants it and was not offered
// it, though nothing is left to be looked at in this run or the next batch. It
// looks at every agent, client and refusal, from the definitions: it is for tests.
func (a *Allocator) Overlooked() error {
	if a.unsettled() {
		return nil
	}
	return a.overlooked()
}

func (a *Allocator) overlooked() error {
	for _, ag := range a.list {
		if !ag.active || !ag.available.Shared().Empty() || ag.open > 0 && !ag.quiet && !a.cfg.Split.Empty() {
			continue // what was offered without the volume, or in parts, may be offered again in the next batch
		}
		for _, f := range a.frameworks {
			for _, c := range f.clients {
				if set := a.entitlement(c, ag); !set.Empty() {
					return fmt.Errorf("%s of %s was not offered to %s under %s", set, ag.id, f.id, c.role.name)
				}
			}
		}
	}
	return nil
}

// unsettled reports whether a run would look at something: now, or in a batch
// since quotas leave more than when it was last looked at.
func (a *Allocator) unsettled() bool {
	next := a.Next()
	return a.awaiting() || !next.IsZero() && !next.After(a.origin.Add(time.Duration(a.now))) ||
		len(a.eased) > 0 || a.requota || a.moreSurplus()
}

// entitlement is what of the agent the client should be offered now.
func (a *Allocator) entitlement(c *client, ag *agent) resource.Set {
	f := c.framework
	if !f.active || !c.subscribed || c.suppressed || !ag.suits(c, &a.cfg) || c.screen != nil && c.screen.Excludes(&ag.options) {
		return resource.Set{}
	}
	set := readableBy(ag.available.AllocatableTo(c.role.name), f.caps.class()).Chop(a.allowance(c.role))
	minimum := a.cfg.MinAllocatable
	if c.minimum != nil {
		minimum = c.minimum
	}
	refused := slices.ContainsFunc(ag.refusals, func(r *refusal) bool {
		_, member := r.find(c.slot)
		return member && r.refused.Contains(set)
	})
	if !enough(set, minimum) || refused || c.demand != nil && c.demand.leaves(ag.id, &set) {
		return resource.Set{}
	}
	return set
}

// allowance is what a role may have more: the room of its limits, and what is not
// kept for the guarantees of others.
func (a *Allocator) allowance(role *role) resource.Limits {
	most := resource.Limits{}
	for r := role; r.parent != nil; r = r.parent {
		most = most.Min(r.quota.limits.Sub(r.quota.charged))
	}
	kept := a.root.quota.owed
	return most.Min(kept.Bound(a.headroom.Sub(kept)).Add(role.claim()))
}

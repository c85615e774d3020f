package allocator

import (
	"slices"
	"time"

	"muster/offers/resource"
)

// quota is what a role with all below it is promised and may have at most, and
// what counts against that. The zero value is a role without quota.
//
// Charged are all reservations in the tree of the role, whether they are used
// or not, and what the tree has, offered or in use, of unreserved firm scalars.
// Mesos: src/master/allocator/mesos/hierarchical.hpp, Role::quotaOfferedOrConsumed.
type quota struct {
	guarantees resource.Quantities
	limits     resource.Limits

	charged resource.Quantities
	need    resource.Quantities // what must be kept for the tree: max(guarantees - charged, owed)
	owed    resource.Quantities // the needs of the children

	bound bool // somebody below was given less because of the quota
	eased bool // is in the list of those where that may have ended
}

// SetQuota replaces the quota of a role, which holds for all below it together.
// A role without guarantees and limits has none. What the role has already
// stays; Excess tells which offers are to be taken back.
func (a *Allocator) SetQuota(now time.Time, name string, guarantees resource.Quantities, limits resource.Limits) {
	a.observe(now)
	r := a.role(name)
	r.users++ // for the length of this function
	had := r.quota.set()
	r.quota.guarantees, r.quota.limits = guarantees, limits
	a.charge(r, resource.Quantities{}, resource.Quantities{})
	switch has := r.quota.set(); {
	case has && !had:
		r.users++
		a.quotas++
	case had && !has:
		a.release(r)
		a.quotas--
	}
	a.all, a.requota = true, true
	a.revision++
	a.release(r)
}

// set reports whether the role has a quota of its own.
func (q *quota) set() bool { return !q.guarantees.Empty() || !q.limits.Empty() }

// claims reports whether the role may have of what is kept for guarantees, not
// counting what roles above it may.
func (q *quota) claims() bool { return !q.need.Sub(q.owed).Empty() }

// SetWeight makes a role's share count as that of weight roles among its
// siblings; 1 is the default. What is not above zero is ignored.
func (a *Allocator) SetWeight(now time.Time, name string, weight float64) {
	a.observe(now)
	if !(weight > 0) {
		return
	}
	r := a.role(name)
	r.users++ // for the length of this function
	if had, has := r.below.weight != 1, weight != 1; has && !had {
		r.users++
	} else if had && !has {
		a.release(r)
	}
	r.below.weight = weight
	r.below.touch()
	a.release(r)
}

// Charged is what counts against the quota of a role: the reservations of its
// tree, and the unreserved firm scalars that the tree was offered or uses.
func (a *Allocator) Charged(name string) resource.Quantities {
	if r := a.roles[name]; r != nil {
		return r.quota.charged
	}
	return resource.Quantities{}
}

// Excess is what of an offer to the role should be taken back: so much of it is
// beyond a limit of the role or of one above it, or is missing for the
// guarantees of others. Who asks about offer after offer, and takes back those
// of which something is excess before he asks on, takes back what is needed.
func (a *Allocator) Excess(name string, offered resource.Set) resource.Quantities {
	role := a.roles[name]
	if role == nil || a.quotas == 0 {
		return resource.Quantities{}
	}
	q := chargeable(&offered)
	excess, back := resource.Quantities{}, resource.Quantities{}
	for r := role; r.parent != nil; r = r.parent {
		beyond := r.quota.charged.Sub(r.quota.limits.Cap(r.quota.charged))
		excess = excess.Max(common(q, beyond))
		back = r.quota.needAfter(q, back).Sub(r.quota.need)
	}
	missing := a.root.quota.owed.Sub(a.headroom)
	return excess.Max(common(q.Sub(back), missing))
}

// common is what both have.
func common(a, b resource.Quantities) resource.Quantities { return a.Sub(a.Sub(b)) }

// needAfter is what would have to be kept for the tree if it gave q back and its
// children then needed that much more.
func (q *quota) needAfter(freed, more resource.Quantities) resource.Quantities {
	return q.guarantees.Sub(q.charged.Sub(freed)).Max(q.owed.Add(more))
}

// chargeable is what of the set counts against quotas unless it is only there:
// unreserved firm scalars.
func chargeable(s *resource.Set) resource.Quantities {
	if s.Plain() {
		return s.Quantities()
	}
	return s.Unreserved().NonRevocable().Quantities()
}

// charge accounts for what came to the role and went, and keeps the needs.
func (a *Allocator) charge(r *role, plus, minus resource.Quantities) {
	for ; r.parent != nil; r = r.parent {
		q := &r.quota
		held := !minus.Empty() && (q.bound || a.rank(r) == barred)
		q.charged = q.charged.Add(plus)
		if !minus.Empty() {
			q.charged = q.charged.Sub(minus)
		}
		more := q.renewNeed(r.parent)
		if (held || more && !minus.Empty()) && !q.eased {
			q.eased = true
			a.eased = append(a.eased, r)
		}
		r.below.touch()
	}
}

// renewNeed finds what must be kept for the tree now, and tells the parent. It
// reports whether that is more of anything.
func (q *quota) renewNeed(parent *role) bool {
	if q.guarantees.Empty() && q.owed.Empty() && q.need.Empty() {
		return false // as everywhere where nothing is promised
	}
	need, was := q.needAfter(resource.Quantities{}, resource.Quantities{}), q.need
	q.need = need
	parent.quota.owed = parent.quota.owed.Sub(was).Add(need)
	return !was.Contains(need)
}

// ease lets those try again who were given less because of quotas that have
// more room now or are owed more, and offers again what was kept for guarantees
// if less is. It is
// done once in a batch: or whatever a role at its limit gives back would have
// all that is left in the cluster looked at again.
func (a *Allocator) ease() {
	for _, r := range a.eased {
		r.quota.eased, r.quota.bound = false, false
		r.each(a.freshen)
	}
	if a.requota {
		a.root.each(a.freshen)
	}
	a.eased, a.requota = nil, false
	if !a.moreSurplus() {
		return
	}
	a.slack = resource.Limits{}
	for _, ag := range a.open {
		if ag.kept {
			ag.kept, ag.quiet = false, false
		}
	}
}

// surplus is how much can be given to who has no claim: what is available
// beyond what is kept for guarantees.
func (a *Allocator) surplus() resource.Limits {
	owed := a.root.quota.owed
	return owed.Bound(a.headroom.Sub(owed))
}

// moreSurplus reports whether there is more of anything than when agents of
// which something was kept were visited.
func (a *Allocator) moreSurplus() bool {
	surplus := a.surplus()
	for name, was := range a.slack.All {
		if now, bounded := surplus.Get(name); !bounded || now > was {
			return true
		}
	}
	return false
}

// rank is the place of a role's tree among its siblings apart from fairness.
func (a *Allocator) rank(r *role) rank {
	switch {
	case a.quotas == 0:
	case r.overrides == 0 && !r.quota.limits.Empty() && !worthwhile(r.quota.limits.Sub(r.quota.charged), a.cfg.MinAllocatable):
		return barred
	case !r.quota.need.Empty():
		return owed
	}
	return ordinary
}

// worthwhile reports whether an offer within the limits can have one of the
// minimums.
func worthwhile(room resource.Limits, minimum []resource.Quantities) bool {
	return len(minimum) == 0 || slices.ContainsFunc(minimum, room.Contains)
}

// claim is how much the role may take of what is kept for guarantees: what it
// is owed, or a role above it is and does not owe to another below.
func (r *role) claim() resource.Quantities {
	claim := resource.Quantities{}
	for ; r.parent != nil; r = r.parent {
		claim = claim.Add(r.quota.need.Sub(r.quota.owed))
	}
	return claim
}

// room is how much more the role may have by its limits and those above.
func (r *role) room() resource.Limits {
	room := resource.Limits{}
	for ; r.parent != nil; r = r.parent {
		if !r.quota.limits.Empty() {
			room = room.Min(r.quota.limits.Sub(r.quota.charged))
		}
	}
	return room
}

// countHeadroom keeps the sum of what is neither held nor reserved of the
// agents that may be offered.
func (a *Allocator) countHeadroom(ag *agent) {
	loose := resource.Quantities{}
	if ag.active {
		loose = chargeable(&ag.available)
	}
	if !loose.Equal(ag.loose) {
		a.headroom = a.headroom.Sub(ag.loose).Add(loose)
		ag.loose = loose
	}
}

// chargeReservations accounts for the reservations on an agent, used or not:
// they are there instead of those of old.
func (a *Allocator) chargeReservations(old, now resource.Set) {
	for _, name := range now.ReservedRoles() {
		r := a.role(name)
		r.users++
		a.charge(r, now.ReservedTo(name).Quantities(), resource.Quantities{})
	}
	for _, name := range old.ReservedRoles() {
		r := a.roles[name]
		a.charge(r, resource.Quantities{}, old.ReservedTo(name).Quantities())
		a.release(r)
	}
}

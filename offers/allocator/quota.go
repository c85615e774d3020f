package allocator

import (
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
}

// SetQuota replaces the quota of a role, which holds for all below it together.
// A role without guarantees and limits has none. What the role has already
// stays; Excess tells which offers are to be taken back.
func (a *Allocator) SetQuota(now time.Time, name string, guarantees resource.Quantities, limits resource.Limits) {
	a.observe(now)
	r := a.role(name)
	r.users++ // for the length of this function
	had, has := r.hasQuota(), !guarantees.Empty() || !limits.Empty()
	r.quota.guarantees, r.quota.limits = guarantees, limits
	r.charge(resource.Quantities{}, resource.Quantities{})
	switch {
	case has && !had:
		r.users++
		a.quotas++
	case had && !has:
		a.release(r)
		a.quotas--
	}
	a.release(r)
}

func (r *role) hasQuota() bool { return !r.quota.guarantees.Empty() || !r.quota.limits.Empty() }

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
func (r *role) charge(plus, minus resource.Quantities) {
	for ; r.parent != nil; r = r.parent {
		q := &r.quota
		q.charged = q.charged.Add(plus).Sub(minus)
		need := q.needAfter(resource.Quantities{}, resource.Quantities{})
		owed := &r.parent.quota.owed
		*owed = owed.Sub(q.need).Add(need)
		q.need = need
	}
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
		r.charge(now.ReservedTo(name).Quantities(), resource.Quantities{})
	}
	for _, name := range old.ReservedRoles() {
		r := a.roles[name]
		r.charge(resource.Quantities{}, old.ReservedTo(name).Quantities())
		a.release(r)
	}
}

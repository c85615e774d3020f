package allocator

import "muster/offers/resource"

// sight is what is seen of the agent being visited, under a role.
type sight struct {
	agent   *agent
	under   *role
	loose   resource.Quantities // unreserved firm scalars of it that are available
	spare   resource.Limits     // what the cluster has beyond what is kept for guarantees
	room    resource.Limits     // what the role may have of loose
	cut     bool                // that is less than loose
	views   [8]view             // by what the client understands
	plain   bool                // every role and every client sees the same, if not cut
	general bool                // every role sees the same, if not cut
}

// view is what of the agent a client of a role and with certain capabilities
// may be offered, and who refuses that.
type view struct {
	ready    bool
	enough   bool // by the general minimum
	set      resource.Set
	refusals []*refusal
}

// arrive turns to an agent.
func (r *run) arrive(ag *agent) {
	r.agent, r.under, r.cut, r.parts = ag, nil, false, 0
	r.changed()
}

// enter makes the views those of the role.
func (r *run) enter(role *role) {
	if r.under == role {
		return
	}
	if !r.general || r.cut {
		r.forgetViews()
	}
	r.under = role
	r.measure()
}

// changed notes that what is available is not what it was.
func (r *run) changed() {
	r.plain = r.agent.available.Plain()
	r.general = r.plain || r.agent.available.Reserved().Empty()
	r.forgetViews()
	if r.quotas == 0 {
		return
	}
	r.loose, r.spare = chargeable(&r.agent.available), r.surplus()
	if r.under != nil {
		r.measure()
	}
}

// measure finds what the role may have by the quotas, and notes that somebody
// gets less for them.
func (r *run) measure() {
	r.cut = false
	if r.quotas == 0 {
		return
	}
	r.room = r.under.room()
	limited := !r.room.Contains(r.loose)
	if !r.spare.Empty() {
		spare := r.spare.Add(r.under.claim())
		if !spare.Contains(r.loose) {
			r.agent.kept, r.cut = true, true
		}
		r.room = r.room.Min(spare)
	}
	if r.cut = r.cut || limited; !r.cut {
		return
	}
	r.forgetViews()
	for role := r.under; role.parent != nil; role = role.parent {
		role.quota.bound = role.quota.set()
	}
}

// progress reports whether the role gets nearer to a guarantee by what it may
// have of the agent.
func (r *run) progress() bool {
	return !common(r.room.Cap(r.loose), r.under.claim()).Empty()
}

// allKept reports whether nobody may have enough of the agent, as its scalars
// are kept for guarantees, and those it helps towards one do not want it.
func (r *run) allKept() bool {
	if r.spare.Empty() || !r.plain || r.root.overrides > 0 || len(r.cfg.MinAllocatable) == 0 ||
		reaches(r.spare.Cap(r.loose), r.cfg.MinAllocatable) {
		return false
	}
	r.agent.kept = true
	return true
}

// lastRank is the last of those who may have something of the agent: whoever is
// at its limit may have only what is reserved or revocable.
func (r *run) lastRank() rank {
	if r.plain {
		return ordinary
	}
	return barred
}

// lend notes that shared volumes of the agent were offered in this run.
func (r *run) lend(shared resource.Set) {
	if r.lent == nil {
		r.lent = make(map[*agent]resource.Set)
	}
	r.lent[r.agent] = r.lent[r.agent].Add(shared)
}

func (r *run) forgetViews() {
	for i := range r.views {
		r.views[i].ready = false
	}
}

func (r *run) view(class int) *view {
	if r.plain {
		class = everything
	}
	v := &r.views[class]
	if !v.ready {
		r.look(v, class)
	}
	return v
}

// everything is the class of a framework that understands all resources.
const everything = 7

// class numbers what a framework understands of resources.
func (c Capabilities) class() int {
	class := 0
	for i, has := range [...]bool{c.Shared, c.Revocable, c.Refinement} {
		if has {
			class |= 1 << i
		}
	}
	return class
}

func (r *run) look(v *view, class int) {
	set := r.agent.available
	if !r.plain {
		set = set.AllocatableTo(r.under.name).Sub(r.lent[r.agent])
	}
	if r.cut {
		set = set.Chop(r.room)
	}
	set = readableBy(set, class)
	v.ready, v.set = true, set
	v.enough = enough(set, r.cfg.MinAllocatable)
	v.refusals = v.refusals[:0]
	for _, refusal := range r.agent.refusals {
		if refusal.refused.Contains(set) {
			v.refusals = append(v.refusals, refusal)
		}
	}
}

// readableBy is what a framework of a class understands.
func readableBy(set resource.Set, class int) resource.Set {
	if class&1 == 0 {
		set = set.NonShared()
	}
	if class&2 == 0 {
		set = set.NonRevocable()
	}
	if class&4 == 0 {
		set = set.Unrefined()
	}
	return set
}

// enough reports whether there is what makes an offer worth while.
func enough(set resource.Set, minimum []resource.Quantities) bool {
	return !set.Empty() && (len(minimum) == 0 || reaches(set.Quantities(), minimum))
}

// reaches reports whether there is as much as one of the minimums.
func reaches(q resource.Quantities, minimum []resource.Quantities) bool {
	for i := range minimum {
		if q.Contains(minimum[i]) {
			return true
		}
	}
	return false
}

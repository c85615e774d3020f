package allocator

import (
	"slices"
	"time"

	"muster/offers/resource"
)

// few is up to how many fresh clients a quiet agent is shown to alone.
const few = 8

// Allocate offers what the events since the last time have touched, and all
// there is once in every interval. The offers count as allocated. They come by
// framework; one that is offered nothing does not appear.
func (a *Allocator) Allocate(now time.Time) []Offer {
	a.observe(now)
	a.expire()
	if a.awaiting() {
		return nil
	}
	if a.now >= a.lastBatch+moment(a.cfg.AllocationInterval) {
		a.lastBatch = a.now
		a.all = true
		a.renewShares()
	}
	fresh := a.takeFresh()
	candidates := a.candidates(len(fresh) > 0)
	if len(candidates) == 0 {
		return nil
	}
	a.rand.Shuffle(len(candidates), func(i, j int) {
		candidates[i], candidates[j] = candidates[j], candidates[i]
	})
	r := run{Allocator: a, fresh: fresh}
	r.made = make([]made, 0, len(candidates))
	for _, ag := range candidates {
		r.visit(ag)
	}
	return r.byFramework()
}

// candidates returns the agents to consider: those touched, or all that have
// something for anyone who was not asked yet.
func (a *Allocator) candidates(fresh bool) []*agent {
	out := a.touched
	if a.all {
		out = make([]*agent, 0, len(a.open))
		for _, ag := range a.open {
			if fresh || !ag.quiet {
				out = append(out, ag)
			}
		}
	}
	for _, ag := range a.touched {
		ag.touched = false
	}
	a.touched, a.all = nil, false
	return out
}

// takeFresh returns the clients that may have become entitled to what others
// refused, those that still compete.
func (a *Allocator) takeFresh() []*client {
	out := a.fresh[:0]
	for _, c := range a.fresh {
		c.fresh = false
		if c.in != nil {
			out = append(out, c)
		}
	}
	a.fresh = nil
	return out
}

// run is one allocation.
type run struct {
	*Allocator
	fresh []*client
	made  []made

	// of the agent being visited
	agent   *agent
	lent    resource.Set // shared volumes offered in this visit
	role    *role
	views   [8]view // by what the client understands
	plain   bool    // every role and every client sees the same
	general bool    // every role sees the same
}

// made is an offer.
type made struct {
	client *client
	agent  *agent
	set    resource.Set // allocated to the client's role
}

// view is what of the agent a client of a role and with certain capabilities
// may be offered, and who refuses that.
type view struct {
	ready    bool
	enough   bool // by the general minimum
	set      resource.Set
	refusals []*refusal
}

// visit offers what the agent has to the most entitled clients that want it.
func (r *run) visit(ag *agent) {
	if ag.open == 0 {
		return
	}
	r.agent, r.lent, r.role = ag, resource.Set{}, nil
	r.changed()
	switch {
	case !ag.quiet || len(r.fresh) > few:
		r.root.walk(r.Allocator, r.visitRole)
	case len(r.fresh) > 1:
		r.visitFew(slices.Clone(r.fresh))
	case len(r.fresh) == 1:
		r.visitFew(r.fresh)
	}
	// Whoever was asked and did not take it wants no part of it either, until
	// something changes. But a shared volume that was offered may be offered
	// again, to another.
	ag.quiet = ag.available.Shared().Empty()
	r.setOpen(ag)
}

func (r *run) visitFew(clients []*client) {
	slices.SortFunc(clients, func(x, y *client) int {
		switch {
		case x == y:
			return 0
		case x.before(r.Allocator, y):
			return -1
		}
		return 1
	})
	for _, c := range clients {
		r.enter(c.role)
		r.consider(c)
	}
}

// visitRole asks the clients of a role; false ends the visit to the agent.
func (r *run) visitRole(role *role) bool {
	if r.agent.available.Empty() {
		return false
	}
	r.enter(role)
	if all := r.view(everything); all.set.Empty() || !all.enough && r.overrides == 0 {
		return true
	}
	role.clients.refresh(r.Allocator)
	for _, block := range role.clients.blocks {
		for i := range block {
			if r.consider(block[i].item.client) && r.agent.available.Empty() {
				return false
			}
		}
	}
	return true
}

// enter makes the views those of the role.
func (r *run) enter(role *role) {
	if !r.general && r.role != role {
		r.forgetViews()
	}
	r.role = role
}

// changed notes that what is available is not what it was.
func (r *run) changed() {
	r.plain = r.agent.available.Plain()
	r.general = r.plain || r.agent.available.Reserved().Empty()
	r.forgetViews()
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
		set = set.AllocatableTo(r.role.name).Sub(r.lent)
	}
	if class&1 == 0 {
		set = set.NonShared()
	}
	if class&2 == 0 {
		set = set.NonRevocable()
	}
	if class&4 == 0 {
		set = set.Unrefined()
	}
	v.ready, v.set = true, set
	v.enough = enough(set, r.cfg.MinAllocatable)
	v.refusals = v.refusals[:0]
	for _, refusal := range r.agent.refusals {
		if refusal.refused.Contains(set) {
			v.refusals = append(v.refusals, refusal)
		}
	}
}

// enough reports whether there is what makes an offer worth while.
func enough(set resource.Set, minimum []resource.Quantities) bool {
	if set.Empty() {
		return false
	}
	if len(minimum) == 0 {
		return true
	}
	q := set.Quantities()
	for i := range minimum {
		if q.Contains(minimum[i]) {
			return true
		}
	}
	return false
}

// consider offers the client all it may have of the agent, and reports whether
// it did.
func (r *run) consider(c *client) bool {
	caps := &c.framework.caps
	if r.agent.gpu && !caps.GPU && !r.cfg.GPUsForAll || r.agent.remote && !caps.RegionAware {
		return false
	}
	v := r.view(caps.class())
	if c.minimum == nil && !v.enough || c.minimum != nil && !enough(v.set, c.minimum) {
		return false
	}
	for _, refusal := range v.refusals {
		if refusal.has(c.slot) {
			return false
		}
	}
	if c.screen != nil && c.screen.excludes(r.agent) {
		return false
	}
	r.offer(c, v.set)
	return true
}

func (r *run) offer(c *client, set resource.Set) {
	ag := r.agent
	allocated := set.Allocate(c.role.name)
	r.made = append(r.made, made{c, ag, allocated})
	r.grant(c, ag, allocated)
	c.chosen()
	if set.Plain() {
		ag.available = ag.available.Sub(set)
	} else {
		ag.available = ag.available.Sub(set.NonShared())
		r.lent = r.lent.Add(set.Shared())
	}
	r.changed()
}

// byFramework gathers the offers of each framework, in the order in which the
// frameworks came to their first.
func (r *run) byFramework() []Offer {
	var frameworks []*framework
	var counts []int
	for i := range r.made {
		f := r.made[i].client.framework
		if f.ordinal == 0 {
			frameworks = append(frameworks, f)
			counts = append(counts, 0)
			f.ordinal = len(frameworks)
		}
		counts[f.ordinal-1]++
	}
	at := 0
	for i, n := range counts {
		counts[i] = at
		at += n
	}
	out := make([]Offer, len(r.made))
	for i := range r.made {
		m := &r.made[i]
		place := &counts[m.client.framework.ordinal-1]
		out[*place] = Offer{m.client.framework.id, m.client.role.name, m.agent.id, m.set}
		*place++
	}
	for _, f := range frameworks {
		f.ordinal = 0
	}
	return out
}

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
	batch := a.now >= a.lastBatch+moment(a.cfg.AllocationInterval)
	if batch {
		a.lastBatch = a.now
		a.all = true
		a.renewShares()
	}
	if batch || a.requota {
		a.ease()
	}
	a.reweigh()
	fresh := a.takeFresh()
	candidates := a.candidates(len(fresh) > 0)
	if len(candidates) == 0 {
		return nil
	}
	r := run{Allocator: a, fresh: fresh, split: a.splitting()}
	r.out, r.to = slices.Grow(a.scratch.out, len(candidates)), slices.Grow(a.scratch.to, len(candidates))
	if !a.root.quota.owed.Empty() {
		r.guarantees = true
		r.visitAll(candidates)
		r.guarantees = false
	}
	r.visitAll(candidates)
	r.byFramework()
	a.scratch.keep(r.out, r.to, candidates)
	return r.out
}

// scratch is memory that a run has used and the next one uses again: a run over a
// cluster makes an offer of every agent, and new memory costs more than the
// decision.
type scratch struct {
	out        []Offer
	to         []addressee
	candidates []*agent
}

// maxScratch is how many offers of a run leave their memory to the next one.
const maxScratch = 1 << 16

func (s *scratch) keep(out []Offer, to []addressee, candidates []*agent) {
	*s = scratch{candidates: s.candidates}
	if cap(out) <= maxScratch {
		clear(to)
		s.out, s.to = out[:0], to[:0]
	}
	if n := cap(candidates); n <= maxScratch && n > cap(s.candidates) {
		clear(candidates)
		s.candidates = candidates[:0]
	}
}

// addressee is to whom an offer of a run is made, and its place among all.
type addressee struct {
	framework *framework
	place     int
}

// candidates returns the agents to consider: those touched, or all that have
// something for anyone who was not asked yet.
func (a *Allocator) candidates(fresh bool) []*agent {
	out := a.touched
	if a.all {
		out = slices.Grow(a.scratch.candidates, len(a.open))
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

// run is one allocation. Where guarantees are not met it has two stages: the
// first is for those only who get nearer to one, wherever that is.
// Mesos: src/master/allocator/mesos/hierarchical.cpp, __generateOffers.
type run struct {
	*Allocator
	fresh      []*client
	out        []Offer // as they are made
	to         []addressee
	guarantees bool                    // this is the first stage
	lent       map[*agent]resource.Set // shared volumes offered in this run
	warmed     int
	sight
	split
}

// visitAll visits the agents in an order that favours none.
func (r *run) visitAll(agents []*agent) {
	r.rand.Shuffle(len(agents), func(i, j int) { agents[i], agents[j] = agents[j], agents[i] })
	if len(r.demanding) > 0 {
		r.namedFirst(agents)
	}
	for i, ag := range agents {
		if i%ahead == 0 {
			r.warmed += warm(agents[i:min(i+ahead, len(agents))])
		}
		if ag.open > 0 {
			r.left = len(agents) - i
			r.visit(ag)
		}
	}
}

// ahead is how many agents are read together before they are visited.
const ahead = 16

// warm reads what visits to the agents will look at first. They are all over the
// memory, which answers many questions asked together as fast as one: asked in each
// visit they would be half of a cycle. What it returns only keeps the reads.
func warm(agents []*agent) (n int) {
	if len(agents) == 1 {
		return 0
	}
	for _, ag := range agents {
		if !ag.available.Plain() {
			n += ag.open
		}
		n += len(ag.refusals)
	}
	for _, ag := range agents {
		if len(ag.holdings) > 0 && ag.holdings[len(ag.holdings)-1].set.Plain() {
			n++
		}
		for _, r := range ag.refusals {
			n += len(r.bits)
		}
	}
	return n
}

// visit offers what the agent has to the most entitled clients that want it.
func (r *run) visit(ag *agent) {
	r.arrive(ag)
	alone := ag.quiet && len(r.fresh) <= few // the others would say what they said
	if !alone {
		ag.kept = false
	}
	if r.hungry > r.left && !r.guarantees {
		r.divide()
	}
	divided := r.parts > 0
	switch {
	case alone:
		r.visitFew(r.fresh)
	case r.guarantees:
		r.root.walkOwed(r.Allocator, r.visitRole)
	case !r.allKept():
		r.root.walk(r.Allocator, r.lastRank(), r.visitRole)
	}
	r.setOpen(ag)
	if r.guarantees {
		return
	}
	// Whoever was asked and did not take it wants no part of it either, until
	// something changes. But a shared volume that was offered may be offered
	// again, to another; and who has a part was not asked about the rest.
	ag.quiet = ag.available.Shared().Empty() && !divided
	if ag.kept {
		r.slack = r.slack.Min(r.spare)
	}
}

func (r *run) visitFew(clients []*client) {
	if len(clients) > 1 {
		clients = slices.Clone(clients)
	}
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
		if r.enter(c.role); !r.guarantees || r.progress() {
			r.consider(c)
		}
	}
}

// visitRole asks the clients of a role; false ends the visit to the agent.
func (r *run) visitRole(role *role) bool {
	if r.agent.available.Empty() {
		return false
	}
	r.enter(role)
	if r.guarantees && !r.progress() {
		return true
	}
	if all := r.view(everything); all.set.Empty() || !all.enough && role.overrides == 0 {
		return true
	}
	role.clients.refresh(r.Allocator)
	for _, block := range role.clients.blocks {
		for i := range block {
			if !r.consider(block[i].item.client) {
				continue
			}
			if r.agent.available.Empty() {
				return false
			}
			if r.guarantees && !r.progress() {
				return true
			}
		}
	}
	return true
}

// consider offers the client all it may have of the agent, and reports whether
// it did.
func (r *run) consider(c *client) bool {
	v, why := r.judge(c)
	if why != Due || r.parts > 0 && r.served(c) {
		return false
	}
	set := v.set
	if r.hungry > 0 {
		set = r.part(c, set)
	}
	r.offer(c, set)
	return true
}

// judge says what the client may have of the agent, and why it is not offered it
// if it is not.
func (r *run) judge(c *client) (*view, Reason) {
	if r.agent.special && !r.agent.suits(c, &r.cfg) {
		return nil, Unsuited
	}
	v := r.view(c.framework.caps.class())
	if c.minimum == nil && !v.enough || c.minimum != nil && !enough(v.set, c.minimum) {
		return v, TooLittle
	}
	for _, refusal := range v.refusals {
		if refusal.has(c.slot) {
			return v, Refused
		}
	}
	if c.screen != nil && c.screen.excludes(r.agent) {
		return v, Constrained
	}
	if c.demand != nil && c.demand.leaves(r.agent.id, &v.set) {
		return v, Unasked
	}
	return v, Due
}

func (r *run) offer(c *client, set resource.Set) {
	ag := r.agent
	allocated := set.Allocate(c.role.name)
	r.out, r.to = append(r.out, Offer{c.framework.id, c.role.name, ag.id, allocated}), append(r.to, addressee{framework: c.framework})
	r.grant(c, ag, allocated)
	c.chosen()
	if set.Plain() {
		ag.available = ag.available.Sub(set)
	} else {
		ag.available = ag.available.Sub(set.NonShared())
		if shared := set.Shared(); !shared.Empty() {
			r.lend(shared)
		}
	}
	if r.quotas > 0 { // else it is time enough at the end of the visit
		r.countHeadroom(ag)
	}
	r.changed()
}

// byFramework puts the offers of each framework together, the frameworks in the
// order in which they came to their first.
func (r *run) byFramework() {
	var frameworks []*framework
	var places []int // where the next offer of each belongs
	for i := range r.to {
		f := r.to[i].framework
		if f.ordinal == 0 {
			frameworks, places = append(frameworks, f), append(places, 0)
			f.ordinal = len(frameworks)
		}
		places[f.ordinal-1]++
	}
	at := 0
	for i, n := range places {
		places[i] = at
		at += n
	}
	for i := range r.to {
		place := &places[r.to[i].framework.ordinal-1]
		r.to[i].place = *place
		*place++
	}
	for i := range r.to {
		for p := r.to[i].place; p != i; p = r.to[i].place {
			r.out[i], r.out[p] = r.out[p], r.out[i]
			r.to[i], r.to[p] = r.to[p], r.to[i]
		}
	}
	for _, f := range frameworks {
		f.ordinal = 0
	}
}

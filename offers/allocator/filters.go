package allocator

import (
	"cmp"
	"slices"
	"time"

	"muster/offers/resource"
)

const (
	defaultRefusal = 5 * time.Second
	maxRefusal     = 365 * 24 * time.Hour
)

// refusal is resources of one agent and the clients that do not want them, nor
// any part of them. Frameworks refuse the same offer one after the other, so
// one set stands for many filters, and one look at a bit for each client.
type refusal struct {
	agent   *agent
	refused resource.Set // unallocated
	bits    []uint64     // by slot
	members []member     // sorted by slot
}

type member struct {
	slot  uint32
	until moment
}

func (r *refusal) has(slot uint32) bool {
	word := int(slot / 64)
	return word < len(r.bits) && r.bits[word]&(1<<(slot%64)) != 0
}

func (r *refusal) find(slot uint32) (int, bool) {
	return slices.BinarySearchFunc(r.members, slot, func(m member, slot uint32) int { return cmp.Compare(m.slot, slot) })
}

// lifetime is how long a refusal holds from now. It outlasts the next batch,
// as Mesos has it; and to refuse for no time is to refuse until then, or what
// is offered again at once would be refused again at once, for ever.
func (a *Allocator) lifetime(refuse time.Duration) moment {
	interval := a.cfg.AllocationInterval
	switch {
	case refuse == 0:
		return a.lastBatch + moment(interval) - a.now
	case refuse < 0:
		refuse = defaultRefusal
	}
	return moment(max(interval, min(refuse, maxRefusal)))
}

// refuse installs a filter. refused is not allocated.
// Mesos: src/master/allocator/mesos/hierarchical.cpp, recoverResources.
func (a *Allocator) refuse(c *client, ag *agent, refused resource.Set, refuse time.Duration) {
	lifetime := a.lifetime(refuse)
	if lifetime <= 0 {
		return
	}
	until := a.now + lifetime
	r := ag.refusal(refused)
	i, found := r.find(c.slot)
	if found {
		if r.members[i].until >= until {
			return
		}
		r.members[i].until = until
	} else {
		r.members = slices.Insert(r.members, i, member{c.slot, until})
		for int(c.slot/64) >= len(r.bits) {
			r.bits = append(r.bits, 0)
		}
		r.bits[c.slot/64] |= 1 << (c.slot % 64)
		a.slots.filters[c.slot]++
		a.filters++
	}
	a.expiries.push(expiry{until, r, c.slot})
	if len(a.expiries) > 2*(a.filters+a.forgiven)+1024 {
		a.expiries.compact()
	}
}

func (ag *agent) refusal(refused resource.Set) *refusal {
	for _, r := range ag.refusals {
		if r.refused.Equal(refused) {
			return r
		}
	}
	r := &refusal{agent: ag, refused: refused}
	ag.refusals = append(ag.refusals, r)
	return r
}

// drop ends a client's filter, if there is one.
func (a *Allocator) drop(r *refusal, slot uint32) {
	i, found := r.find(slot)
	if !found {
		return
	}
	r.members = slices.Delete(r.members, i, i+1)
	r.bits[slot/64] &^= 1 << (slot % 64)
	if a.slots.clients[slot] != nil {
		a.filters--
	} else {
		a.forgiven--
	}
	a.slots.drop(slot)
	if len(r.members) == 0 {
		r.agent.refusals = slices.DeleteFunc(r.agent.refusals, func(o *refusal) bool { return o == r })
	}
}

// forgive ends all filters of a client: by another slot, for these may be on every
// agent there is. Those of the old one mean nothing any more. They are dropped when
// they end, or all together once there are more of them than of those in force.
func (a *Allocator) forgive(c *client) {
	n := a.slots.filters[c.slot]
	if n == 0 {
		return
	}
	a.slots.remove(c)
	a.slots.add(c)
	a.filters -= n
	a.forgiven += n
	if a.forgiven > a.filters+512 || a.slots.retired > a.slots.taken()+64 {
		a.sweep()
	}
}

// sweep drops all filters that were forgiven.
func (a *Allocator) sweep() {
	for _, ag := range a.list {
		for i := len(ag.refusals) - 1; i >= 0; i-- {
			r := ag.refusals[i]
			for j := len(r.members) - 1; j >= 0; j-- {
				if slot := r.members[j].slot; a.slots.clients[slot] == nil {
					a.drop(r, slot)
				}
			}
		}
	}
	a.expiries.compact()
}

// forget ends all filters on an agent.
func (a *Allocator) forget(ag *agent) {
	for i := len(ag.refusals) - 1; i >= 0; i-- {
		r := ag.refusals[i]
		for j := len(r.members) - 1; j >= 0; j-- {
			a.drop(r, r.members[j].slot)
		}
	}
}

// expire ends the filters whose time has come; their agents are considered.
func (a *Allocator) expire() {
	for len(a.expiries) > 0 && a.expiries[0].until <= a.now {
		e := a.expiries.pop()
		if !e.current() {
			continue
		}
		inForce := a.slots.clients[e.slot] != nil
		if a.drop(e.refusal, e.slot); inForce {
			a.touch(e.refusal.agent)
		}
	}
}

// expiry is the end of a filter, unless it was renewed or dropped meanwhile.
type expiry struct {
	until   moment
	refusal *refusal
	slot    uint32
}

func (e expiry) current() bool {
	i, found := e.refusal.find(e.slot)
	return found && e.refusal.members[i].until == e.until
}

// expiries is a heap, the first to end on top.
type expiries []expiry

func (h expiries) first() (moment, bool) {
	if len(h) == 0 {
		return 0, false
	}
	return h[0].until, true
}

func (h *expiries) push(e expiry) {
	*h = append(*h, e)
	s := *h
	i := len(s) - 1
	for i > 0 && e.until < s[(i-1)/2].until {
		s[i] = s[(i-1)/2]
		i = (i - 1) / 2
	}
	s[i] = e
}

func (h *expiries) pop() expiry {
	s := *h
	top, last := s[0], s[len(s)-1]
	s[len(s)-1] = expiry{}
	*h = s[:len(s)-1]
	if len(*h) > 0 {
		(*h).sink(0, last)
	}
	return top
}

// sink puts e at i or below.
func (h expiries) sink(i int, e expiry) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].until < h[child].until {
			child++
		}
		if e.until <= h[child].until {
			break
		}
		h[i] = h[child]
		i = child
	}
	h[i] = e
}

// compact forgets the expiries of filters that are no more.
func (h *expiries) compact() {
	*h = slices.DeleteFunc(*h, func(e expiry) bool { return !e.current() })
	for i := len(*h)/2 - 1; i >= 0; i-- {
		h.sink(i, (*h)[i])
	}
}

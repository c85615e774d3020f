package offers

import (
	"cmp"
	"slices"
	"time"

	"muster/offers/registry"
)

// pace spaces the agents that are given up, so that a fault which silences many at
// once does not end them all before somebody has looked.
// Mesos: src/master/master.cpp, SlaveObserver::markUnreachable.
type pace struct {
	every time.Duration // 0: no pace
	next  time.Time
}

// turn returns when the next agent may be given up, and takes that place.
func (p *pace) turn(now time.Time) time.Time {
	at := now
	if p.every > 0 && p.next.After(now) {
		at = p.next
	}
	p.next = at.Add(p.every)
	return at
}

// scheduleAging forgets agents that departed long ago, now and then, and the oldest
// of too many.
func (m *Master) scheduleAging() {
	m.timers.set(m.now.Add(m.cfg.RegistryGCInterval), func() {
		for _, id := range m.aged() {
			m.propose(&registry.Op{Op: &registry.Op_RemoveAgent{RemoveAgent: &registry.RemoveAgent{AgentId: agentID(id)}}},
				func(error) {}) // what stays is looked at again the next time
		}
		m.scheduleAging()
	})
}

// aged returns the departed agents that are to be forgotten by now.
func (m *Master) aged() []string {
	var departed []*registry.Agent
	for _, a := range m.facts.Agents() {
		if a.GetStatus() != registry.Agent_ADMITTED {
			departed = append(departed, a)
		}
	}
	slices.SortStableFunc(departed, func(a, b *registry.Agent) int { return cmp.Compare(a.GetSince(), b.GetSince()) })
	before, over := m.now.Add(-m.cfg.AgentAge).UnixNano(), len(departed)-m.cfg.AgentCount
	var out []string
	for i, a := range departed {
		id := a.GetInfo().GetId().GetValue()
		if (i < over || a.GetSince() < before) && !m.busy(id) {
			out = append(out, id)
		}
	}
	return out
}

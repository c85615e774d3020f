package offers

import (
	"slices"

	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/resource"
)

// oversubscribed takes in what an agent lends.
func (m *Master) oversubscribed(a *agent, msg *protocol.Oversubscribed) {
	total, err := lent(msg.GetTotal())
	if err != nil || total.Equal(a.revocable) {
		return // an agent that computes nonsense lends nothing new
	}
	m.lend(a, total)
}

// lent is the revocable part of what an agent says that it lends.
func lent(rs []*mesos.Resource) (resource.Set, error) {
	total, err := resource.FromProto(rs)
	return total.Unallocate().Revocable(), err
}

// lend makes total what is offered of an agent as revocable. If it lends less than
// tasks and offers have of it, offers are taken back, the newest first, until the
// rest fits; offers without revocable resources stay.
// Mesos takes back all that hold some, also when the agent lends more:
// src/master/master.cpp, Master::updateSlave.
func (m *Master) lend(a *agent, total resource.Set) {
	a.revocable = total
	excess := m.allocator.UpdateRevocable(m.now, a.id, total)
	for _, o := range slices.Backward(a.sortedOffers()) {
		rest := excess.Sub(o.resources.Unallocate().Revocable())
		if rest.Equal(excess) {
			continue // nothing of what is too much is in it
		}
		m.rescind(o, nil)
		excess = rest
	}
	m.dirty.agent(a)
}

package offers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"muster/offers/mesos"
	answers "muster/offers/mesos/allocator"
	"muster/offers/mesos/scheduler"
	"muster/offers/view"
)

// inverseOffer asks a framework to give up what it holds of an agent whose machine
// will be out of service. The answer binds nobody: operators read it.
type inverseOffer struct {
	id        string
	number    int
	framework *framework
	agent     *agent
	expiry    *timer
}

// upkeep is the coming maintenance of an agent's machine.
type upkeep struct {
	unavailability *mesos.Unavailability
	asked          map[string]*inverseOffer               // outstanding, by framework
	answers        map[string]*answers.InverseOfferStatus // the last one of each framework
	refused        map[string]*timer                      // those not asked again until then
}

func newUpkeep(u *mesos.Unavailability) *upkeep {
	return &upkeep{
		unavailability: u, asked: map[string]*inverseOffer{},
		answers: map[string]*answers.InverseOfferStatus{}, refused: map[string]*timer{},
	}
}

// when returns the planned unavailability; u may be nil.
func (u *upkeep) when() *mesos.Unavailability {
	if u == nil {
		return nil
	}
	return u.unavailability
}

// oweInverse has the next Tick see who is to be asked to leave an agent.
func (m *Master) oweInverse(a *agent) {
	if a.upkeep != nil {
		m.owed[a.id] = a
	}
}

// makeInverseOffers asks every active framework that holds something of an agent
// under coming maintenance, is not being asked, and has not refused lately.
// Mesos: src/master/allocator/mesos/hierarchical.cpp, generateInverseOffers.
func (m *Master) makeInverseOffers() {
	if len(m.owed) == 0 {
		return
	}
	made := map[string][]*mesos.InverseOffer{}
	for _, a := range sorted(m.owed) {
		if m.agents[a.id] != a || a.upkeep == nil || !m.offerable(a) {
			continue
		}
		for _, id := range a.holders() {
			f := m.frameworks[id]
			if f == nil || !f.active || a.upkeep.asked[id] != nil || a.upkeep.refused[id] != nil {
				continue
			}
			msg := m.addInverse(f, a).message()
			m.publish(view.InverseOfferEvent(msg))
			made[id] = append(made[id], msg)
		}
	}
	clear(m.owed)
	for _, id := range sortedKeys(made) {
		m.event(m.frameworks[id], &scheduler.Event{
			Type:          scheduler.Event_INVERSE_OFFERS.Enum(),
			InverseOffers: &scheduler.Event_InverseOffers{InverseOffers: made[id]},
		})
	}
}

// holders returns the frameworks that are offered or use something of an agent.
func (a *agent) holders() []string {
	ids := map[string]bool{}
	for _, o := range a.offers {
		ids[o.framework.id] = true
	}
	for _, t := range a.tasks {
		if !t.freed {
			ids[t.framework] = true
		}
	}
	for id := range a.executors {
		ids[id] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

func (m *Master) addInverse(f *framework, a *agent) *inverseOffer {
	o := &inverseOffer{
		id: fmt.Sprintf("%s-O%d", m.cfg.MasterID, m.lastOffer), number: m.lastOffer, framework: f, agent: a,
	}
	m.lastOffer++
	m.inverse[o.id] = o
	a.upkeep.asked[f.id] = o
	if m.cfg.OfferTimeout > 0 {
		o.expiry = m.timers.set(m.now.Add(m.cfg.OfferTimeout), func() { m.rescindInverse(o) })
	}
	return o
}

func (o *inverseOffer) message() *mesos.InverseOffer {
	return &mesos.InverseOffer{
		Id: offerID(o.id), Url: o.agent.url, FrameworkId: o.framework.info.GetId(), AgentId: o.agent.info.GetId(),
		Unavailability: o.agent.upkeep.unavailability,
	}
}

// takeInverse ends an inverse offer. If nothing else is said the framework is asked again.
func (m *Master) takeInverse(o *inverseOffer) {
	m.timers.stop(o.expiry)
	delete(m.inverse, o.id)
	delete(o.agent.upkeep.asked, o.framework.id)
	m.publish(view.InverseOfferRemovedEvent(o.id))
	m.oweInverse(o.agent)
}

// rescindInverse takes an inverse offer back and tells its framework.
func (m *Master) rescindInverse(o *inverseOffer) {
	m.takeInverse(o)
	m.event(o.framework, &scheduler.Event{
		Type:                scheduler.Event_RESCIND_INVERSE_OFFER.Enum(),
		RescindInverseOffer: &scheduler.Event_RescindInverseOffer{InverseOfferId: offerID(o.id)},
	})
}

// inverseTo returns a framework's outstanding inverse offers, the oldest first.
func (m *Master) inverseTo(f *framework) []*inverseOffer {
	var out []*inverseOffer
	for _, a := range m.upkept {
		if o := a.upkeep.asked[f.id]; o != nil {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *inverseOffer) int { return cmp.Compare(a.number, b.number) })
	return out
}

func (m *Master) rescindInverseOn(a *agent) {
	if a.upkeep == nil {
		return
	}
	for _, o := range sorted(a.upkeep.asked) {
		m.rescindInverse(o)
	}
}

// dropUpkeep forgets an agent's maintenance.
func (m *Master) dropUpkeep(a *agent) {
	if a.upkeep == nil {
		return
	}
	m.rescindInverseOn(a)
	for _, t := range a.upkeep.refused {
		m.timers.stop(t)
	}
	a.upkeep = nil
	delete(m.upkept, a.id)
	delete(m.owed, a.id)
	m.dirty.maintenance = true
}

// forgiveInverse ends what a framework has refused; it is asked again.
func (m *Master) forgiveInverse(f *framework) {
	for _, a := range m.upkept {
		m.timers.stop(a.upkeep.refused[f.id])
		delete(a.upkeep.refused, f.id)
		m.oweInverse(a)
	}
}

// forgetInverse forgets what a framework that ends has answered.
func (m *Master) forgetInverse(f *framework) {
	m.forgiveInverse(f)
	for _, a := range m.upkept {
		if a.upkeep.answers[f.id] != nil {
			delete(a.upkeep.answers, f.id)
			m.dirty.maintenance = true
		}
	}
}

// answerInverse takes in a framework's answer to inverse offers; unknown ones are
// ignored. It is asked again when what it refuses by its filters is over.
// Mesos: src/master/master.cpp, Master::acceptInverseOffers.
func (m *Master) answerInverse(f *framework, ids []*mesos.OfferID, filters *mesos.Filters, s answers.InverseOfferStatus_Status) {
	wait := max(*refusal(filters), m.cfg.AllocationInterval)
	for _, id := range ids {
		o := m.inverse[id.GetValue()]
		if o == nil || o.framework != f {
			continue
		}
		m.takeInverse(o)
		m.refuseInverse(o.agent, f, wait)
		o.agent.upkeep.answers[f.id] = &answers.InverseOfferStatus{
			Status: s.Enum(), FrameworkId: f.info.GetId(), Timestamp: timeInfo(m.now),
		}
		m.dirty.maintenance = true
	}
}

// refuseInverse leaves a framework in peace about an agent for some time.
func (m *Master) refuseInverse(a *agent, f *framework, wait time.Duration) {
	u := a.upkeep
	m.timers.stop(u.refused[f.id])
	u.refused[f.id] = m.timers.set(m.now.Add(wait), func() {
		delete(u.refused, f.id)
		if a.upkeep == u {
			m.oweInverse(a)
		}
	})
}

package offers

import (
	"time"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/resource"
)

// operatorRefusal is for how long those whose offers an operator needed are not
// offered the same again: he would lose the race against the next offers.
const operatorRefusal = defaultRefusal

// operation returns the operation that an operator's call asks for, and of which
// agent; nil for other calls.
func operationOf(call *master.Call) (agent *mesos.AgentID, op *mesos.Offer_Operation) {
	switch call.GetType() {
	case master.Call_RESERVE_RESOURCES:
		c := call.GetReserveResources()
		return c.GetAgentId(), &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(),
			Reserve: &mesos.Offer_Operation_Reserve{Source: c.GetSource(), Resources: c.GetResources()}}
	case master.Call_UNRESERVE_RESOURCES:
		c := call.GetUnreserveResources()
		return c.GetAgentId(), &mesos.Offer_Operation{Type: mesos.Offer_Operation_UNRESERVE.Enum(),
			Unreserve: &mesos.Offer_Operation_Unreserve{Resources: c.GetResources()}}
	case master.Call_CREATE_VOLUMES:
		c := call.GetCreateVolumes()
		return c.GetAgentId(), &mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(),
			Create: &mesos.Offer_Operation_Create{Volumes: c.GetVolumes()}}
	case master.Call_DESTROY_VOLUMES:
		c := call.GetDestroyVolumes()
		return c.GetAgentId(), &mesos.Offer_Operation{Type: mesos.Offer_Operation_DESTROY.Enum(),
			Destroy: &mesos.Offer_Operation_Destroy{Volumes: c.GetVolumes()}}
	case master.Call_GROW_VOLUME:
		c := call.GetGrowVolume()
		return c.GetAgentId(), &mesos.Offer_Operation{Type: mesos.Offer_Operation_GROW_VOLUME.Enum(),
			GrowVolume: &mesos.Offer_Operation_GrowVolume{Volume: c.GetVolume(), Addition: c.GetAddition()}}
	case master.Call_SHRINK_VOLUME:
		c := call.GetShrinkVolume()
		return c.GetAgentId(), &mesos.Offer_Operation{Type: mesos.Offer_Operation_SHRINK_VOLUME.Enum(),
			ShrinkVolume: &mesos.Offer_Operation_ShrinkVolume{Volume: c.GetVolume(), Subtract: c.GetSubtract()}}
	}
	return nil, nil
}

// operateResources carries out an operator's call that converts resources.
// Mesos: src/master/http.cpp, Master::Http::_operation.
func (m *Master) operateResources(l Link, id uint64, principal string, call *master.Call) {
	on, op := operationOf(call)
	a := m.agents[on.GetValue()]
	if a == nil {
		m.reply(l, id, statusBadRequest, "No agent found with specified ID")
		return
	}
	op, err := upgraded(op, "")
	if err != nil {
		m.reply(l, id, statusBadRequest, err.Error())
		return
	}
	if err := validateOperation(op, a, party{principal: principal}); err != nil {
		m.reply(l, id, statusBadRequest, "Invalid "+op.GetType().String()+" operation on agent "+a.id+" ("+a.info.GetHostname()+"): "+err.Error())
		return
	}
	conversions, err := resource.Convert(op)
	if err != nil {
		m.reply(l, id, statusBadRequest, "Invalid "+op.GetType().String()+" operation: "+err.Error())
		return
	}
	if a.link == nil {
		m.reply(l, id, statusConflict, "Agent "+a.id+" is disconnected: try again when it is back")
		return
	}
	if _, err := a.total.Sub(a.allocated.Unallocate()).Apply(conversions...); err != nil {
		m.reply(l, id, statusConflict, "Not available on agent "+a.id+": "+err.Error())
		return
	}
	m.clear(a, conversions)
	m.applyOperation(a, nil, op, conversions)
	m.reply(l, id, statusAccepted, "")
}

// clear takes back the offers that are in the way of an operation: one after the
// other until what it takes is free, and all that have a volume which is to go.
func (m *Master) clear(a *agent, conversions []resource.Conversion) {
	refuse := time.Duration(operatorRefusal)
	need := resource.Consumed(conversions)
	for _, o := range a.sortedOffers() {
		free := a.total.Sub(a.allocated.Unallocate()).Sub(a.offered.Unallocate())
		if _, err := free.Apply(conversions...); err == nil {
			return
		}
		if offered := o.resources.Unallocate(); !need.Sub(offered).Equal(need) {
			m.rescind(o, &refuse)
		}
	}
}

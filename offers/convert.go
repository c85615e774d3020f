package offers

import (
	"muster/offers/mesos"
	"muster/offers/resource"
)

// convert carries out an operation of an ACCEPT that converts resources, on what
// remains of the offers.
// Mesos: src/master/master.cpp, Master::accept and Master::_accept.
func (x *acceptance) convert(op *mesos.Offer_Operation) {
	if err := x.tryConvert(op); err != nil {
		x.m.failOperation(x.framework, op, err.Error())
	}
}

func (x *acceptance) tryConvert(op *mesos.Offer_Operation) error {
	own, err := upgraded(op, x.role)
	switch {
	case err != nil:
		return answerf("Operation attempted with invalid resources: %v", err)
	case len(op.GetReserve().GetSource()) > 0:
		return answer("Operation attempted with invalid resources: Reservation updates are not yet implemented for the scheduler API.")
	case op.Id != nil:
		if err := x.validateFeedback(op.GetId().GetValue()); err != nil {
			return err
		}
	}
	by := party{principal: x.framework.info.GetPrincipal(), framework: x.framework}
	if err := validateOperation(own, x.agent, by); err != nil {
		return answerf("%v; on agent %s (%s)", err, x.agent.id, x.agent.info.GetHostname())
	}
	conversions, err := resource.Convert(own)
	if err != nil {
		return err
	}
	if err := x.take(own, conversions); err != nil {
		return err
	}
	if own.GetType() == mesos.Offer_Operation_DESTROY {
		x.m.rescindVolumes(x.agent, setOf(own.GetDestroy().GetVolumes()...))
	}
	x.m.applyOperation(x.agent, x.framework, own, conversions)
	return nil
}

// validateFeedback checks the ID of an operation whose framework wants to be told of it.
func (x *acceptance) validateFeedback(id string) error {
	if err := validateID(id); err != nil {
		return answerf("Invalid operation ID: %v", err)
	}
	if len(x.framework.operations[id]) > 0 {
		return answerf("Operation ID '%s' is that of an operation which has not ended or was not acknowledged", id)
	}
	if !x.agent.can(mesos.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK) || !x.agent.can(mesos.AgentInfo_Capability_RESOURCE_PROVIDER) {
		return answerf("Operation on agent default resources requested feedback, but agent %s does not have the required "+
			"AGENT_OPERATION_FEEDBACK and RESOURCE_PROVIDER capabilities", x.agent.id)
	}
	return nil
}

// take converts what remains of the offers. A volume that was resized is offered
// again only after the call, as in Mesos.
func (x *acceptance) take(op *mesos.Offer_Operation, conversions []resource.Conversion) error {
	switch op.GetType() {
	case mesos.Offer_Operation_GROW_VOLUME, mesos.Offer_Operation_SHRINK_VOLUME:
		c := conversions[0]
		if !x.remaining.Contains(c.Consumed) {
			return answerf("Invalid %s operation: %s does not contain %s", op.GetType(), x.remaining, c.Consumed)
		}
		x.remaining = x.remaining.Sub(c.Consumed)
		x.resized = x.resized.Add(c.Converted)
		return nil
	}
	remaining, err := x.remaining.Apply(conversions...)
	if err != nil {
		return err
	}
	x.remaining = remaining
	if op.GetType() == mesos.Offer_Operation_CREATE || op.GetType() == mesos.Offer_Operation_DESTROY {
		x.shared = remaining.Shared()
	}
	return nil
}

// rescindVolumes takes back every offer that has one of the volumes, whoever has
// it: of a shared volume there may be many.
func (m *Master) rescindVolumes(a *agent, volumes resource.Set) {
	for _, o := range a.sortedOffers() {
		for _, v := range volumes.Unallocate().Proto() {
			if o.resources.Unallocate().Contains(setOf(v)) {
				m.rescind(o, nil)
				break
			}
		}
	}
}

// available is what a task may use: shared volumes as often as it likes, for they
// stay in the offer when they are used.
func (x *acceptance) available() resource.Set { return x.remaining.NonShared().Add(x.shared) }

// spend takes what is used from what remains. More uses of a shared volume than
// were offered are allocated, too.
func (x *acceptance) spend(used resource.Set) {
	if more := used.Shared().Sub(x.remaining.Shared()); !more.Empty() {
		x.m.allocator.UpdateAllocation(x.framework.id, x.agent.id, resource.Set{}, more)
	}
	x.remaining = x.remaining.Sub(used)
}

// giveBack returns what was not used: what operations have made of the offers at
// once, the rest as declined.
func (x *acceptance) giveBack(filters *mesos.Filters) {
	left := x.remaining.Add(x.resized)
	made := left.Sub(x.offered)
	x.m.recover(x.framework.id, x.agent.id, made, nil)
	x.m.recover(x.framework.id, x.agent.id, left.Sub(made), refusal(filters))
}

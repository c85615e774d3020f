package offers

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// validateReserve checks that a RESERVE adds reservations that the agent
// understands, to one role, in the name of who makes it.
// Mesos: src/master/validation.cpp, operation::validate(Reserve).
func validateReserve(op *mesos.Offer_Operation_Reserve, a *agent, by party) error {
	if err := validateCommon(op.GetResources()); err != nil {
		return err
	}
	if err := validateSource(op); err != nil {
		return err
	}
	for _, r := range op.GetResources() {
		if !dynamic(r) {
			return answerf("Resource %s is not dynamically reserved", setOf(r))
		}
		if err := validateStack(r, a, "Resource", "reserved"); err != nil {
			return err
		}
		last := r.GetReservations()[len(r.GetReservations())-1]
		switch {
		case by.principal == "":
		case last.Principal == nil:
			return answerf("A reserve operation was attempted by principal '%s', but there is a reserved resource in the request "+
				"with no principal set", by.principal)
		case last.GetPrincipal() != by.principal:
			return answerf("A reserve operation was attempted by authenticated principal '%s', which does not match a reserved "+
				"resource in the request with principal '%s'", by.principal, last.GetPrincipal())
		}
		if err := validateReserver(r, by); err != nil {
			return err
		}
	}
	if by.framework == nil {
		return nil
	}
	return prefixed("Invalid reservation resources: ", oneRole(setOf(op.GetResources()...)))
}

// validateSource checks a RESERVE that changes reservations. Static ones stay as
// they are: the agent's settings make them.
func validateSource(op *mesos.Offer_Operation_Reserve) error {
	if len(op.GetSource()) == 0 {
		return nil
	}
	if err := validateResources(op.GetSource()); err != nil {
		return answerf("Invalid source: %v", err)
	}
	if err := sameReservations(op.GetSource()); err != nil {
		return answerf("Invalid source: %v", err)
	}
	if err := sameReservations(op.GetResources()); err != nil {
		return answerf("Invalid resources: %v", err)
	}
	source, target := setOf(op.GetSource()...), setOf(op.GetResources()...)
	if from, to := source.StripReservations(), target.StripReservations(); !from.Equal(to) {
		return answerf("Source and target resources should refer to identical resource quantities: %s vs. %s", from, to)
	}
	if !source.Original().Equal(target.Original()) {
		return answerf("Static reservations cannot be changed: %s vs. %s", source.Original(), target.Original())
	}
	return nil
}

// sameReservations checks that resources are all reserved alike.
func sameReservations(rs []*mesos.Resource) error {
	if len(rs) == 0 {
		return answer("Resource cannot be empty")
	}
	for _, r := range rs[1:] {
		if !slices.EqualFunc(r.GetReservations(), rs[0].GetReservations(), func(a, b *mesos.Resource_ReservationInfo) bool { return proto.Equal(a, b) }) {
			return answerf("Mixed reservations are not supported: %s", setOf(rs...))
		}
	}
	return nil
}

// validateReserver checks that the one who reserves may reserve to that role.
func validateReserver(r *mesos.Resource, by party) error {
	role, allocated := reservedTo(r), r.GetAllocationInfo().GetRole()
	switch {
	case by.framework == nil && r.AllocationInfo != nil:
		return answer("A reserve operation was attempted with an allocated resource, but the operator API only allows " +
			"reservations to be made to unallocated resources")
	case by.framework == nil:
		return nil
	case allocated != role:
		return answerf("A reserve operation was attempted for a resource with role '%s', but the resource was allocated to role '%s'",
			role, allocated)
	case !slices.Contains(by.framework.roles, role):
		return answerf("A reserve operation was attempted for a resource allocated to role '%s', but the framework only has roles '%s'",
			role, strings.Join(by.framework.roles, ", "))
	}
	return nil
}

// validateUnreserve checks that what loses its reservation has one that was made at
// run time, and is no volume.
func validateUnreserve(op *mesos.Offer_Operation_Unreserve) error {
	if err := validateCommon(op.GetResources()); err != nil {
		return err
	}
	for _, r := range op.GetResources() {
		switch {
		case !dynamic(r):
			return answerf("Resource %s is not dynamically reserved", setOf(r))
		case r.GetDisk().GetPersistence() != nil:
			return answerf("A dynamically reserved persistent volume %s cannot be unreserved directly. Please destroy the persistent "+
				"volume first then unreserve the resource", setOf(r))
		}
	}
	return nil
}

// validateStack checks that the agent understands a resource's reservations.
func validateStack(r *mesos.Resource, a *agent, noun, verb string) error {
	switch role := reservedTo(r); {
	case strings.Contains(role, "/") && !a.can(mesos.AgentInfo_Capability_HIERARCHICAL_ROLE):
		return answerf("%s %s with reservation for hierarchical role '%s' cannot be %s on an agent without HIERARCHICAL_ROLE capability",
			noun, setOf(r), role, verb)
	case len(r.GetReservations()) > 1 && !a.can(mesos.AgentInfo_Capability_RESERVATION_REFINEMENT):
		return answerf("%s %s with reservation refinement cannot be %s on an agent without RESERVATION_REFINEMENT capability",
			noun, setOf(r), verb)
	}
	return nil
}

package offers

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/resource"
)

// party is on whose behalf an operation is validated.
type party struct {
	principal string     // "": nobody in particular
	framework *framework // nil: an operator
}

// Bounds of one ACCEPT, and of how finely operations may divide an agent: each costs
// what the agent's parts cost.
const (
	maxConversions = 200    // operations that launch nothing
	maxPieces      = 50_000 // resources, ranges and items of sets in all
	maxParts       = 1000   // reservations and volumes of an agent that differ
)

// validateAccept checks the size of an ACCEPT.
func validateAccept(call *scheduler.Call_Accept) error {
	conversions, pieces := 0, 0
	count := func(list []*mesos.Resource) {
		for _, r := range list {
			pieces += 1 + len(r.GetRanges().GetRange()) + len(r.GetSet().GetItem())
		}
	}
	for _, op := range call.GetOperations() {
		if !launches(op) {
			conversions++
		}
		for _, list := range operands(op) {
			count(list)
		}
		count(op.GetLaunchGroup().GetExecutor().GetResources())
		for _, t := range Launched(op) {
			count(t.GetResources())
			count(t.GetExecutor().GetResources())
		}
	}
	if conversions > maxConversions {
		return answerf("'accept.operations' has %d elements that launch nothing; at most %d are taken", conversions, maxConversions)
	}
	if pieces > maxPieces {
		return answerf("'accept.operations' names %d resources, ranges and items of sets; at most %d are taken", pieces, maxPieces)
	}
	return nil
}

// checkParts checks that an agent is not divided too finely by as many more parts.
func checkParts(a *agent, more int) error {
	if n := a.total.Parts(); n+more > maxParts {
		return answerf("Agent %s has %d different reservations and volumes; with %d more it would have more than %d", a.id, n, more, maxParts)
	}
	return nil
}

// operands returns the lists of resources that an operation names.
func operands(op *mesos.Offer_Operation) [][]*mesos.Resource {
	switch op.GetType() {
	case mesos.Offer_Operation_RESERVE:
		return [][]*mesos.Resource{op.GetReserve().GetSource(), op.GetReserve().GetResources()}
	case mesos.Offer_Operation_UNRESERVE:
		return [][]*mesos.Resource{op.GetUnreserve().GetResources()}
	case mesos.Offer_Operation_CREATE:
		return [][]*mesos.Resource{op.GetCreate().GetVolumes()}
	case mesos.Offer_Operation_DESTROY:
		return [][]*mesos.Resource{op.GetDestroy().GetVolumes()}
	case mesos.Offer_Operation_GROW_VOLUME:
		return [][]*mesos.Resource{{op.GetGrowVolume().GetVolume()}, {op.GetGrowVolume().GetAddition()}}
	case mesos.Offer_Operation_SHRINK_VOLUME:
		return [][]*mesos.Resource{{op.GetShrinkVolume().GetVolume()}}
	case mesos.Offer_Operation_CREATE_DISK:
		return [][]*mesos.Resource{{op.GetCreateDisk().GetSource()}}
	case mesos.Offer_Operation_DESTROY_DISK:
		return [][]*mesos.Resource{{op.GetDestroyDisk().GetSource()}}
	}
	return nil
}

// upgraded returns an operation with its resources in the form that is used inside,
// allocated to role where it is not said to whom.
// Mesos: src/common/resources_utils.cpp, validateAndUpgradeResources.
func upgraded(op *mesos.Offer_Operation, role string) (*mesos.Offer_Operation, error) {
	empty := true
	for _, list := range operands(op) {
		if err := resource.Validate(list); err != nil {
			return nil, err
		}
		empty = empty && len(list) == 0
	}
	if empty {
		return nil, answer("Operation contains no resources")
	}
	op = proto.CloneOf(op)
	for _, list := range operands(op) {
		for _, r := range list {
			u := resource.Upgrade(r, role)
			r.Role, r.Reservation = nil, nil
			r.Reservations, r.AllocationInfo = u.Reservations, u.AllocationInfo
		}
	}
	return op, nil
}

// validateOperation checks what an operation asks of an agent's resources; it has
// been upgraded. Mesos: src/master/validation.cpp, operation::validate.
func validateOperation(op *mesos.Offer_Operation, a *agent, by party) error {
	switch op.GetType() {
	case mesos.Offer_Operation_RESERVE:
		if err := checkParts(a, len(op.GetReserve().GetResources())); err != nil {
			return err
		}
		return validateReserve(op.GetReserve(), a, by)
	case mesos.Offer_Operation_UNRESERVE:
		return validateUnreserve(op.GetUnreserve())
	case mesos.Offer_Operation_CREATE:
		if err := checkParts(a, len(op.GetCreate().GetVolumes())); err != nil {
			return err
		}
		return validateCreate(op.GetCreate(), a, by)
	case mesos.Offer_Operation_DESTROY:
		return validateDestroy(op.GetDestroy(), a)
	case mesos.Offer_Operation_GROW_VOLUME:
		return validateGrow(op.GetGrowVolume(), a)
	case mesos.Offer_Operation_SHRINK_VOLUME:
		return validateShrink(op.GetShrinkVolume(), a)
	}
	// CREATE_DISK and DESTROY_DISK are for resource providers, and no agent has one.
	return answer("'source' is not managed by a resource provider")
}

// validateResources checks what Mesos's masters check beyond the algebra.
// Mesos: src/master/validation.cpp, resource::validate.
func validateResources(rs []*mesos.Resource) error {
	for _, r := range rs {
		if r.GetName() == "gpus" && setOf(r).Scalar("gpus")%resource.Milli != 0 {
			return answer("Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer")
		}
	}
	for _, r := range rs {
		if err := validateDisk(r); err != nil {
			return answerf("Invalid DiskInfo: %v", err)
		}
	}
	for _, r := range rs {
		if dynamic(r) && r.Revocable != nil {
			return answerf("Invalid ReservationInfo: Dynamically reserved resource %s cannot be created from revocable resources", setOf(r))
		}
	}
	return nil
}

func validateDisk(r *mesos.Resource) error {
	d := r.GetDisk()
	switch {
	case d == nil:
		return nil
	case d.Persistence == nil && d.Volume != nil:
		return answer("Non-persistent volume not supported")
	case d.Persistence == nil && d.Source == nil:
		return answer("DiskInfo is set but empty")
	case d.Persistence == nil:
		return nil
	case r.Revocable != nil:
		return answer("Persistent volumes cannot be created from revocable resources")
	case reservedTo(r) == "":
		return answer("Persistent volumes cannot be created from unreserved resources")
	case d.Volume == nil:
		return answer("Expecting 'volume' to be set for persistent volume")
	case d.GetVolume().HostPath != nil:
		return answer("Expecting 'host_path' to be unset for persistent volume")
	}
	return prefixed("Invalid persistence ID for persistent volume: ", validateID(d.GetPersistence().GetId()))
}

// validatePersistent checks that all are persistent volumes.
func validatePersistent(rs []*mesos.Resource) error {
	for _, r := range rs {
		switch d := r.GetDisk(); {
		case d == nil:
			return answerf("Resource %s does not have DiskInfo", setOf(r))
		case d.Persistence == nil:
			return answer("'persistence' is not set in DiskInfo")
		case d.Volume == nil:
			return answer("Expecting 'volume' to be set for persistent volume")
		case d.GetVolume().GetMode() == mesos.Volume_RO:
			return answer("Read-only persistent volume not supported")
		}
	}
	return nil
}

// validateProvider checks that all resources are of one resource provider.
func validateProvider(rs []*mesos.Resource) error {
	var ids []string
	seen := map[string]bool{}
	for _, r := range rs {
		if id := r.GetProviderId().GetValue(); !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	switch {
	case len(ids) > 1 && slices.Contains(ids, ""):
		return answer("Some resources have a resource provider and some do not")
	case len(ids) > 1:
		return answerf("The resources have multiple resource providers: %s", strings.Join(ids, ", "))
	}
	return nil
}

// validateCommon is what RESERVE, UNRESERVE, CREATE and DESTROY begin with.
func validateCommon(rs []*mesos.Resource) error {
	if err := validateResources(rs); err != nil {
		return answerf("Invalid resources: %v", err)
	}
	return prefixed("Invalid resources: ", validateProvider(rs))
}

// setOf returns resources that were validated before as a set.
func setOf(rs ...*mesos.Resource) resource.Set {
	set, err := resource.FromProto(rs)
	if err != nil {
		return resource.Set{}
	}
	return set
}

// dynamic reports whether the last reservation was made at run time.
func dynamic(r *mesos.Resource) bool {
	n := len(r.GetReservations())
	return n > 0 && r.GetReservations()[n-1].GetType() == mesos.Resource_ReservationInfo_DYNAMIC
}

// reservedTo is the role of the last reservation, "" when there is none.
func reservedTo(r *mesos.Resource) string {
	if n := len(r.GetReservations()); n > 0 {
		return r.GetReservations()[n-1].GetRole()
	}
	return ""
}

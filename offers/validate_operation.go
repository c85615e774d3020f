package offers

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/resource"
)

// party is on whose behalf an operation is validated.
type party struct {
	principal string     // "": nobody in particular
	framework *framework // nil: an operator
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
		return validateReserve(op.GetReserve(), a, by)
	case mesos.Offer_Operation_UNRESERVE:
		return validateUnreserve(op.GetUnreserve())
	case mesos.Offer_Operation_CREATE:
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
	for _, r := range rs {
		if id := r.GetProviderId().GetValue(); !slices.Contains(ids, id) {
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
	return prefixed("Invalid reservation resources: ", oneRole(resource.Sum(setOf(op.GetResources()...))))
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

func validateCreate(op *mesos.Offer_Operation_Create, a *agent, by party) error {
	if err := validateCommon(op.GetVolumes()); err != nil {
		return err
	}
	if err := validatePersistent(op.GetVolumes()); err != nil {
		return answerf("Not a persistent volume: %v", err)
	}
	if err := newPersistence(a, op.GetVolumes()); err != nil {
		return err
	}
	for _, r := range op.GetVolumes() {
		if f := by.framework; f != nil && r.Shared != nil && !f.caps.shared {
			return answerf("Create volume operation for '%s' has been attempted by framework '%s' with no SHARED_RESOURCES capability",
				setOf(r), f.id)
		}
		if err := validateStack(r, a, "Volume", "created"); err != nil {
			return err
		}
		p := r.GetDisk().GetPersistence()
		switch {
		case by.principal == "":
		case p.Principal == nil:
			return answerf("Create volume operation attempted by principal '%s', but there is a volume in the operation with no "+
				"principal set in 'disk.persistence'", by.principal)
		case p.GetPrincipal() != by.principal:
			return answerf("Create volume operation attempted by authenticated principal '%s', which does not match a volume in the "+
				"operation with principal '%s' set in 'disk.persistence'", by.principal, p.GetPrincipal())
		}
	}
	if by.framework == nil {
		return nil
	}
	return prefixed("Invalid volume resources: ", oneRole(setOf(op.GetVolumes()...)))
}

// newPersistence checks that the IDs of new volumes are used neither twice nor
// already: they name directories, one for each role and ID.
func newPersistence(a *agent, volumes []*mesos.Resource) error {
	seen := map[[2]string]bool{}
	for _, r := range a.total.PersistentVolumes().Proto() {
		seen[[2]string{reservedTo(r), r.GetDisk().GetPersistence().GetId()}] = true
	}
	for _, r := range volumes {
		key := [2]string{reservedTo(r), r.GetDisk().GetPersistence().GetId()}
		if seen[key] {
			return answerf("Persistence ID '%s' is not unique", key[1])
		}
		seen[key] = true
	}
	return nil
}

func validateDestroy(op *mesos.Offer_Operation_Destroy, a *agent) error {
	if err := validateCommon(op.GetVolumes()); err != nil {
		return err
	}
	if err := validatePersistent(op.GetVolumes()); err != nil {
		return answerf("Not a persistent volume: %v", err)
	}
	volumes := setOf(op.GetVolumes()...).Unallocate()
	if !a.total.Contains(volumes) {
		return answer("Persistent volumes not found")
	}
	used := a.allocated.Unallocate()
	for _, r := range op.GetVolumes() {
		if used.Contains(setOf(r).Unallocate()) {
			return answer("Persistent volumes in use")
		}
	}
	return nil
}

func validateGrow(op *mesos.Offer_Operation_GrowVolume, a *agent) error {
	volume, addition := op.GetVolume(), op.GetAddition()
	switch err := validatePersistent([]*mesos.Resource{volume}); {
	case setOf(addition).Scalar(addition.GetName()) <= 0:
		return answer("The size of 'GrowVolume.addition' field must be greater than zero")
	case volume.ProviderId != nil:
		return answer("Growing a volume from a resource provider is not supported")
	case err != nil:
		return answerf("Invalid persistent volume in the 'GrowVolume.volume' field: %v", err)
	case volume.Shared != nil:
		return answer("Growing a shared persistent volume is not supported")
	case len(resource.Sum(setOf(volume).StripVolumes(), setOf(addition)).Proto()) != 1:
		return answer("Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' fields")
	case !a.can(mesos.AgentInfo_Capability_RESIZE_VOLUME):
		return answerf("Volume %s cannot be grown on an agent without RESIZE_VOLUME capability", setOf(volume))
	}
	return nil
}

func validateShrink(op *mesos.Offer_Operation_ShrinkVolume, a *agent) error {
	volume, subtract := op.GetVolume(), op.GetSubtract().GetValue()
	switch err := validatePersistent([]*mesos.Resource{volume}); {
	case !(subtract >= 0.001):
		return answer("Value of 'ShrinkVolume.subtract' must be greater than zero")
	case !(subtract <= volume.GetScalar().GetValue()-0.001):
		return answer("Value of 'ShrinkVolume.subtract' must be smaller than the size of 'ShrinkVolume.volume'")
	case volume.ProviderId != nil:
		return answer("Shrinking a volume from a resource provider is not supported")
	case volume.GetDisk().GetSource().GetType() == mesos.Resource_DiskInfo_Source_MOUNT:
		return answer("Shrinking a volume on a MOUNT disk is not supported")
	case err != nil:
		return answerf("Invalid persistent volume in the 'ShrinkVolume.volume' field: %v", err)
	case volume.Shared != nil:
		return answer("Shrinking a shared persistent volume is not supported")
	case !a.can(mesos.AgentInfo_Capability_RESIZE_VOLUME):
		return answerf("Volume %s cannot be shrunk on an agent without RESIZE_VOLUME capability", setOf(volume))
	}
	return nil
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

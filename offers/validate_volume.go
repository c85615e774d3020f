package offers

import (
	"muster/offers/mesos"
	"muster/offers/resource"
)

// validateCreate checks that a CREATE makes persistent volumes under IDs of their own,
// on resources of one role, in the name of who makes them.
// Mesos: src/master/validation.cpp, operation::validate(Create).
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

// validateDestroy checks that volumes are there and nobody uses them.
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

// validateGrow checks that the addition is more of the resource that the volume is
// made of.
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

// validateShrink checks that something is taken off the volume and something is
// left, each a thousandth at least.
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

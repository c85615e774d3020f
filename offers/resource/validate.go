package resource

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"muster/offers/mesos"
)

// ErrInvalid is wrapped by every error about malformed resources.
var ErrInvalid = errors.New("invalid resource")

// maxScalar keeps every amount far from the end of int64.
const maxScalar = 1e12

// Validate checks resources of either format and names the offending one.
// Mesos: src/common/resources.cpp, Resources::validate.
func Validate(rs []*mesos.Resource) error {
	for _, r := range rs {
		if err := validate(r); err != nil {
			return fmt.Errorf("%w: %q: %w", ErrInvalid, r.GetName(), err)
		}
	}
	return nil
}

func validate(r *mesos.Resource) error {
	if r.GetName() == "" {
		return errors.New("name is empty")
	}
	if err := validateValue(r); err != nil {
		return err
	}
	if err := validateDisk(r); err != nil {
		return err
	}
	if len(r.Reservations) == 0 {
		if err := validatePreRefinement(r); err != nil {
			return err
		}
	} else if err := validateStack(r); err != nil {
		return err
	}
	if info := r.AllocationInfo; info != nil && info.Role != nil {
		if err := ValidateRole(info.GetRole()); err != nil {
			return fmt.Errorf("allocation_info.role: %w", err)
		}
	}
	return nil
}

func validateValue(r *mesos.Resource) error {
	name := r.GetName()
	if r.Type == nil {
		return errors.New("type is not set")
	}
	if want := fixedType(name); want != nil && r.GetType() != *want {
		return fmt.Errorf("type must be %s, not %s", want, r.GetType())
	}
	switch r.GetType() {
	case mesos.Value_SCALAR:
		if r.Scalar == nil || r.Ranges != nil || r.Set != nil {
			return errors.New("exactly the scalar must be set for type SCALAR")
		}
		return validateScalar(r.Scalar.GetValue())
	case mesos.Value_RANGES:
		if r.Scalar != nil || r.Ranges == nil || r.Set != nil {
			return errors.New("exactly the ranges must be set for type RANGES")
		}
		return validateRanges(r.Ranges.GetRange())
	case mesos.Value_SET:
		if r.Scalar != nil || r.Ranges != nil || r.Set == nil {
			return errors.New("exactly the set must be set for type SET")
		}
		items := slices.Sorted(slices.Values(r.Set.GetItem()))
		if len(slices.Compact(items)) != len(r.Set.GetItem()) {
			return errors.New("set has duplicated elements")
		}
		return nil
	}
	return fmt.Errorf("unsupported type %s", r.GetType())
}

// fixedType is the type a predefined name must have, nil for custom names.
func fixedType(name string) *mesos.Value_Type {
	switch {
	case baseIndex(name) >= 0:
		return mesos.Value_SCALAR.Enum()
	case name == portsName:
		return mesos.Value_RANGES.Enum()
	}
	return nil
}

func validateScalar(v float64) error {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0) || v > maxScalar:
		return fmt.Errorf("scalar %v is not a number up to %v", v, maxScalar)
	case v < 0 || v != 0 && toMilli(v) == 0:
		return fmt.Errorf("scalar %v is negative or below 0.001", v)
	}
	return nil
}

func toMilli(v float64) int64 { return int64(math.Round(v * Milli)) }

func validateRanges(ranges []*mesos.Value_Range) error {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b *mesos.Value_Range) int { return cmp.Compare(a.GetBegin(), b.GetBegin()) })
	for i, r := range sorted {
		if r.GetBegin() > r.GetEnd() {
			return fmt.Errorf("range [%d-%d] begins after its end", r.GetBegin(), r.GetEnd())
		}
		if i > 0 && r.GetBegin() <= sorted[i-1].GetEnd() {
			return errors.New("ranges overlap")
		}
	}
	return nil
}

func validateDisk(r *mesos.Resource) error {
	if r.Shared != nil && (r.GetName() != baseNames[disk] || r.GetDisk().GetPersistence() == nil) {
		return errors.New("shared: only persistent volumes can be shared")
	}
	if r.Disk == nil {
		return nil
	}
	if r.GetName() != baseNames[disk] {
		return errors.New("disk: must be set for disks only")
	}
	source := r.Disk.Source
	if source == nil {
		return nil
	}
	switch source.GetType() {
	case mesos.Resource_DiskInfo_Source_PATH, mesos.Resource_DiskInfo_Source_MOUNT:
		return nil
	case mesos.Resource_DiskInfo_Source_BLOCK, mesos.Resource_DiskInfo_Source_RAW:
		if source.Mount != nil || source.Path != nil {
			return fmt.Errorf("disk.source: neither mount nor path must be set for type %s", source.GetType())
		}
		return nil
	}
	return fmt.Errorf("disk.source.type: unsupported %s", source.GetType())
}

func validatePreRefinement(r *mesos.Resource) error {
	if err := ValidateRole(r.GetRole()); err != nil {
		return fmt.Errorf("role: %w", err)
	}
	switch reservation := r.Reservation; {
	case reservation == nil:
		return nil
	case reservation.Type != nil:
		return errors.New("reservation.type: must not be set in this format")
	case reservation.Role != nil:
		return errors.New("reservation.role: must not be set in this format")
	case r.GetRole() == "*":
		return errors.New(`reservation: role "*" cannot be dynamically reserved`)
	}
	return nil
}

func validateReservation(r *mesos.Resource_ReservationInfo) error {
	switch {
	case r.GetType() == mesos.Resource_ReservationInfo_UNKNOWN:
		return errors.New("reservations.type: must be set to a known type")
	case r.Role == nil:
		return errors.New("reservations.role: must be set")
	case r.GetRole() == "*":
		return errors.New(`reservations.role: role "*" cannot be reserved`)
	}
	if err := ValidateRole(r.GetRole()); err != nil {
		return fmt.Errorf("reservations.role: %w", err)
	}
	return nil
}

// validateStack checks the format with reservations. The older fields may be
// there too if they say the same as a single reservation.
func validateStack(r *mesos.Resource) error {
	for i, reservation := range r.Reservations {
		if err := validateReservation(reservation); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		if reservation.GetType() == mesos.Resource_ReservationInfo_STATIC {
			return errors.New("reservations: a refined reservation cannot be STATIC")
		}
		if under := r.Reservations[i-1].GetRole(); !IsBelow(reservation.GetRole(), under) {
			return fmt.Errorf("reservations: role %q is not a refinement of %q", reservation.GetRole(), under)
		}
	}
	first := r.Reservations[0]
	dynamic := first.GetType() == mesos.Resource_ReservationInfo_DYNAMIC
	switch {
	case r.Role == nil && r.Reservation == nil:
		return nil
	case len(r.Reservations) > 1:
		return errors.New("reservations: role and reservation must not be set beside more than one")
	case r.Role != nil && r.GetRole() != first.GetRole():
		return fmt.Errorf("role: %q does not match the role %q of reservations", r.GetRole(), first.GetRole())
	case !dynamic && r.Reservation != nil:
		return errors.New("reservation: must not be set beside a STATIC one in reservations")
	case dynamic && (r.Role == nil || r.Reservation == nil):
		return errors.New("role, reservation: set both or none beside a DYNAMIC one in reservations")
	case dynamic && r.Reservation.GetPrincipal() != first.GetPrincipal():
		return errors.New("reservation.principal: does not match that of reservations")
	case dynamic && !sameLabels(r.Reservation.Labels, first.Labels):
		return errors.New("reservation.labels: do not match those of reservations")
	}
	return nil
}

func sameLabels(a, b *mesos.Labels) bool {
	var x, y encoder
	x.labels(a)
	y.labels(b)
	return string(x) == string(y)
}

// Bounds of a role's name, in bytes: volumes lie in directories named by it, and each
// component is a node of the tree of roles.
const (
	maxRole      = 1024
	maxComponent = 255
)

// ValidateRole checks the name of a role. Mesos has no bounds.
// Mesos: src/common/roles.cpp.
func ValidateRole(role string) error {
	if role == "*" {
		return nil
	}
	if role == "" {
		return errors.New("role is empty")
	}
	if len(role) > maxRole {
		return fmt.Errorf("role %q... has %d bytes, more than %d", role[:32], len(role), maxRole)
	}
	for component := range strings.SplitSeq(role, "/") {
		switch {
		case component == "":
			return fmt.Errorf("role %q has an empty component", role)
		case len(component) > maxComponent:
			return fmt.Errorf("role %q has a component of %d bytes, more than %d", role, len(component), maxComponent)
		case component == "." || component == ".." || component == "*":
			return fmt.Errorf("role %q has %q as a component", role, component)
		case component[0] == '-':
			return fmt.Errorf("role %q has a component that starts with a dash", role)
		case strings.ContainsAny(component, "\x00\t\n\v\f\r \x7f"):
			return fmt.Errorf("role %q contains whitespace, NUL or DEL", role)
		}
	}
	return nil
}

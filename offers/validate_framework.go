package offers

import (
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/resource"
)

// validateFramework checks what a framework says of itself.
// Mesos: src/master/validation.cpp, framework::validate.
func (m *Master) validateFramework(info *mesos.FrameworkInfo) error {
	if n := proto.Size(info); n > maxFrameworkInfo {
		return answerf("'FrameworkInfo' has %d bytes; at most %d are taken", n, maxFrameworkInfo)
	}
	if err := validateRoles(info); err != nil {
		return err
	}
	if id := info.GetId().GetValue(); id != "" {
		if err := validateID(id); err != nil {
			return err
		}
	}
	for _, role := range sortedKeys(info.GetOfferFilters()) {
		if err := validateOfferFilters(info.GetOfferFilters()[role]); err != nil {
			return answerf("'FrameworkInfo.offer_filters' of role '%s': %v", role, err)
		}
	}
	if t := info.GetFailoverTimeout(); math.IsNaN(t) || math.Abs(t) > math.MaxInt64/1e9 {
		return answerf("The framework failover_timeout (%v) is invalid", t)
	}
	if strange := without(rolesOf(info), append(m.cfg.Roles, "*")); len(m.cfg.Roles) > 0 && len(strange) > 0 {
		return answerf("Roles %s are not present in the master's --roles", braces(strange))
	}
	if m.cfg.NoRootSubmissions && info.GetUser() == "root" {
		return answer("User 'root' is not allowed to run frameworks without --root_submissions set")
	}
	if id := info.GetId().GetValue(); id != "" && m.wasRemoved(id) {
		return answer("Framework has been removed")
	}
	return nil
}

func validateRoles(info *mesos.FrameworkInfo) error {
	if !capabilitiesOf(info).multiRole {
		if len(info.GetRoles()) > 0 {
			return answer("'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable")
		}
		if err := resource.ValidateRole(info.GetRole()); err != nil {
			return answerf("'FrameworkInfo.role' is not a valid role: %v", err)
		}
		return nil
	}
	if info.Role != nil {
		return answer("'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable")
	}
	if err := tooMany("FrameworkInfo.roles", len(info.GetRoles()), maxRoles); err != nil {
		return err
	}
	seen := map[string]bool{}
	var twice []string
	for _, r := range info.GetRoles() {
		if seen[r] && !slices.Contains(twice, r) {
			twice = append(twice, r)
		}
		seen[r] = true
	}
	if len(twice) > 0 {
		return answerf("'FrameworkInfo.roles' contains duplicate items: %s", braces(twice))
	}
	for _, r := range info.GetRoles() {
		if err := resource.ValidateRole(r); err != nil {
			return answerf("'FrameworkInfo.roles' contains invalid role: %v", err)
		}
	}
	return nil
}

// braces writes a set of names.
func braces(names []string) string { return "{ " + strings.Join(names, ", ") + " }" }

func validateOfferFilters(f *mesos.OfferFilters) error {
	quantities := f.GetMinAllocatableResources().GetQuantities()
	if err := tooMany("min_allocatable_resources.quantities", len(quantities), maxMinimums); err != nil {
		return err
	}
	for _, q := range quantities {
		if len(q.GetQuantities()) == 0 {
			return answer("a member of 'min_allocatable_resources.quantities' is empty")
		}
		if _, err := resource.QuantitiesFromProto(q.GetQuantities()); err != nil {
			return answerf("'min_allocatable_resources.quantities': %v", err)
		}
	}
	return nil
}

// wishesOf checks what comes along with a FrameworkInfo.
// Mesos: src/master/master.cpp, createAllocatorFrameworkOptions.
func (m *Master) wishesOf(info *mesos.FrameworkInfo, suppressed []string, c *scheduler.OfferConstraints) (wishes, error) {
	roles := rolesOf(info)
	var strange []string
	for _, r := range suppressed {
		if !slices.Contains(roles, r) && !slices.Contains(strange, r) {
			strange = append(strange, r)
		}
	}
	if len(strange) > 0 {
		return wishes{}, answerf("Suppressed roles %s are not contained in the set of roles", braces(strange))
	}
	for _, r := range sortedKeys(c.GetRoleConstraints()) {
		if !slices.Contains(roles, r) {
			return wishes{}, answerf("Offer constraints specify `role_constraints` for a role '%s' not contained in the set of roles", r)
		}
	}
	return m.wish(suppressed, c)
}

// validateUpdate checks that what a framework cannot change has not changed.
// Mesos: src/master/validation.cpp, framework::validateUpdate.
func validateUpdate(old, info *mesos.FrameworkInfo) error {
	if (old.Principal == nil) != (info.Principal == nil) || old.GetPrincipal() != info.GetPrincipal() {
		return answer("Changing framework's principal is not allowed.")
	}
	if old.GetUser() != info.GetUser() {
		return answerf("Updating 'FrameworkInfo.user' is unsupported; attempted to update from '%s' to '%s'",
			old.GetUser(), info.GetUser())
	}
	if old.GetCheckpoint() != info.GetCheckpoint() {
		return answerf("Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from '%t' to '%t'",
			old.GetCheckpoint(), info.GetCheckpoint())
	}
	return nil
}

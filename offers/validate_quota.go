package offers

import (
	"strings"

	"muster/offers/mesos"
	"muster/offers/mesos/quota"
	"muster/offers/resource"
)

// What a quota may name of memory and disk, in MB, and of anything else.
const (
	exabyte  = 1 << 40
	trillion = 1e12
)

// validateQuotas checks that quotas make sense, by themselves and together with
// those that stay.
// Mesos: src/master/quota.cpp, validate; src/master/quota_handler.cpp, QuotaTree.
func (m *Master) validateQuotas(configs []*quota.QuotaConfig) error {
	seen := map[string]bool{}
	for _, c := range configs {
		if err := m.validateQuota(c); err != nil {
			return err
		}
		if seen[c.GetRole()] {
			return answerf("Role '%s' is named twice", c.GetRole())
		}
		seen[c.GetRole()] = true
	}
	return checkTree(m.quotasWith(configs))
}

func (m *Master) validateQuota(c *quota.QuotaConfig) error {
	if c.GetRole() == "" {
		return answer("'QuotaConfig.role' must be set")
	}
	if err := resource.ValidateRole(c.GetRole()); err != nil {
		return answerf("Invalid 'QuotaConfig.role': %v", err)
	}
	if err := validateAmounts("guarantee", c.GetGuarantees()); err != nil {
		return err
	}
	if err := validateAmounts("limit", c.GetLimits()); err != nil {
		return err
	}
	if g, l := guaranteesOf(c), limitsOf(c); !l.Contains(g) {
		return answerf("'QuotaConfig.guarantees' %s is not contained within the 'QuotaConfig.limits' %s", g, l)
	}
	return nil
}

func validateAmounts(what string, amounts map[string]*mesos.Value_Scalar) error {
	for _, name := range sortedKeys(amounts) {
		most, text := float64(trillion), "1 trillion"
		if name == "mem" || name == "disk" {
			most, text = exabyte, "1 exabyte"
		}
		v := amounts[name].GetValue()
		if v > most {
			return answerf("Invalid 'QuotaConfig.%ss': {'%s': %v} is invalid: values greater than %s (%.0f) are not supported",
				what, name, v, text, most)
		}
		if _, err := resource.QuantitiesFromProto(map[string]*mesos.Value_Scalar{name: amounts[name]}); err != nil {
			return answerf("Invalid %s configuration {'%s': %v}: %v", what, name, v, err)
		}
	}
	return nil
}

// quotasWith returns the guarantees by role as they would be with configs.
func (m *Master) quotasWith(configs []*quota.QuotaConfig) map[string]resource.Quantities {
	guarantees := map[string]resource.Quantities{}
	for _, c := range append(m.facts.Quotas(), configs...) {
		guarantees[c.GetRole()] = guaranteesOf(c)
	}
	return guarantees
}

// checkTree checks that what is guaranteed to the children of a role is guaranteed
// to the role.
func checkTree(guarantees map[string]resource.Quantities) error {
	children := map[string]resource.Quantities{}
	for _, role := range sortedKeys(guarantees) {
		if i := strings.LastIndexByte(role, '/'); i >= 0 {
			children[role[:i]] = children[role[:i]].Add(guarantees[role])
		}
	}
	for _, role := range sortedKeys(children) {
		if own := guarantees[role]; !own.Contains(children[role]) {
			return answerf("Invalid quota configuration. Parent role '%s' with guarantees (%s) does not contain the sum of "+
				"its children's guarantees (%s)", role, own, children[role])
		}
	}
	return nil
}

// checkCapacity checks that the cluster has what is guaranteed, on all agents that
// are registered, be they linked or not.
func (m *Master) checkCapacity(configs []*quota.QuotaConfig) error {
	var total, capacity resource.Quantities
	for role, q := range m.quotasWith(configs) {
		if !strings.Contains(role, "/") { // it contains those below it
			total = total.Add(q)
		}
	}
	for _, a := range m.agents {
		capacity = capacity.Add(a.total.NonRevocable().Quantities())
	}
	if !capacity.Contains(total) {
		return answerf("total quota guarantees '%s' exceed cluster capacity '%s'", total, capacity)
	}
	return nil
}

// checkConsumption checks that no role has more than its limit would be, apart
// from offers: those can be taken back.
func (m *Master) checkConsumption(configs []*quota.QuotaConfig) error {
	for _, c := range configs {
		limits := limitsOf(c)
		if consumed := m.consumed(c.GetRole()); !limits.Contains(consumed) {
			return answerf("Role '%s' is already consuming '%s'; this is more than the requested limits '%s' "+
				"(use 'force' flag to bypass this check)", c.GetRole(), consumed, limits)
		}
	}
	return nil
}

// consumed is what counts against a role's quota without what is only offered.
func (m *Master) consumed(role string) resource.Quantities {
	consumed := m.allocator.Charged(role)
	for _, o := range m.offers {
		if o.role == role || resource.IsBelow(o.role, role) {
			consumed = consumed.Sub(o.resources.Unreserved().NonRevocable().Quantities())
		}
	}
	return consumed
}

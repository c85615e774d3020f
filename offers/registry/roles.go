package registry

import (
	"fmt"
	"math"

	"muster/offers/mesos"
	"muster/offers/mesos/quota"
)

// Quota returns a role's quota, nil when it has none.
func (s *State) Quota(role string) *quota.QuotaConfig { return s.quotas[role] }

// Quotas returns the quotas by role.
func (s *State) Quotas() []*quota.QuotaConfig { return sorted(s.quotas) }

// Weight returns a role's weight: 1 unless it was set.
func (s *State) Weight(role string) float64 {
	if w := s.weights[role]; w != nil {
		return w.GetWeight()
	}
	return 1
}

// Weights returns the weights that were set, by role.
func (s *State) Weights() []*mesos.WeightInfo { return sorted(s.weights) }

func (s *State) updateQuota(o *UpdateQuota) error {
	if len(o.GetConfigs()) == 0 {
		return missing("update quota", "configs")
	}
	for _, c := range o.GetConfigs() {
		if c.GetRole() == "" {
			return missing("update quota", "configs.role")
		}
	}
	for _, c := range o.GetConfigs() {
		if Unlimited(c) {
			delete(s.quotas, c.GetRole())
		} else {
			s.quotas[c.GetRole()] = c
		}
	}
	return nil
}

// Unlimited reports whether a quota says what a role without one has: it
// guarantees nothing and limits nothing. A limit of 0 is one.
func Unlimited(c *quota.QuotaConfig) bool {
	for _, v := range c.GetGuarantees() {
		if v.GetValue() != 0 {
			return false
		}
	}
	return len(c.GetLimits()) == 0
}

func (s *State) updateWeights(o *UpdateWeights) error {
	if len(o.GetWeights()) == 0 {
		return missing("update weights", "weights")
	}
	for _, w := range o.GetWeights() {
		if w.GetRole() == "" {
			return missing("update weights", "weights.role")
		}
		if v := w.GetWeight(); !(v > 0) || math.IsInf(v, 1) {
			return fmt.Errorf("update weights: %w: the weight %v of role %s is not positive", ErrInvalid, v, w.GetRole())
		}
	}
	for _, w := range o.GetWeights() {
		s.weights[w.GetRole()] = w
	}
	return nil
}

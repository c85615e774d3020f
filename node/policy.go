package node

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"muster/offers"
	"muster/offers/allocator"
	"muster/offers/resource"
)

// policy is what this node decides by while it leads. The error names the setting.
func (c Config) policy() (offers.Config, error) {
	out := offers.Config{
		OfferTimeout:           c.OfferTimeout,
		AllocationInterval:     c.AllocationInterval,
		UnfairNames:            names(c.UnfairNames),
		GPUsForAll:             c.GPUsForAll,
		RecoveryFactor:         c.RecoveryFactor,
		RecoveryTimeout:        c.RecoveryTimeout,
		AgentHeartbeat:         c.PingTimeout,
		ReregisterTimeout:      c.ReregisterTimeout,
		RegistryGCInterval:     c.RegistryGC,
		AgentAge:               c.RegistryAge,
		AgentCount:             c.RegistryCount,
		MaxCompletedFrameworks: c.MaxCompletedFrameworks,
		MaxCompletedTasks:      c.MaxCompletedTasks,
		MaxUnreachableTasks:    c.MaxUnreachableTasks,
		Roles:                  names(c.Roles),
		NoRootSubmissions:      c.NoRootSubmissions,
		HomeRegion:             c.HomeRegion,
		ConstraintPatterns:     allocator.PatternLimits{ProgramSize: c.ConstraintSize, Memory: c.ConstraintMemory},
	}
	if c.PingTimeout > 0 || c.PingTimeouts > 0 {
		out.AgentTimeout = cmp.Or(c.PingTimeout, 15*time.Second) * time.Duration(cmp.Or(c.PingTimeouts, 5))
	}
	if f := c.RecoveryFactor; !(f >= 0 && f <= 1) {
		return out, fmt.Errorf("%w: allocator_agent_recovery_factor: %v is not between 0 and 1", ErrConfig, f)
	}
	var err error
	if out.AgentRemovalInterval, err = removalInterval(c.RemovalRateLimit); err != nil {
		return out, fmt.Errorf("%w: agent_removal_rate_limit: %w", ErrConfig, err)
	}
	if err = c.rates(&out); err != nil {
		return out, err
	}
	if out.Weights, err = weights(c.Weights); err != nil {
		return out, fmt.Errorf("%w: weights: %w", ErrConfig, err)
	}
	for _, r := range out.Roles {
		if err := resource.ValidateRole(r); err != nil {
			return out, fmt.Errorf("%w: roles: %w", ErrConfig, err)
		}
	}
	for name, n := range map[string]int{
		"max_completed_frameworks": c.MaxCompletedFrameworks, "max_completed_tasks_per_framework": c.MaxCompletedTasks,
		"max_unreachable_tasks_per_framework": c.MaxUnreachableTasks,
	} {
		if n > math.MaxInt32 {
			return out, fmt.Errorf("%w: %s: %d is more than can be kept", ErrConfig, name, n)
		}
	}
	for name, n := range map[string]int{
		"max_agent_ping_timeouts": c.PingTimeouts, "registry_max_agent_count": c.RegistryCount,
		"offer_constraints_re2_max_mem": c.ConstraintMemory, "offer_constraints_re2_max_program_size": c.ConstraintSize,
	} {
		if n < 0 {
			return out, fmt.Errorf("%w: %s: %d is negative", ErrConfig, name, n)
		}
	}
	if out.Split, err = resource.ParseQuantities(c.SplitOffers); err != nil {
		return out, fmt.Errorf("%w: split_offers: %q: %w", ErrConfig, c.SplitOffers, err)
	}
	if c.MinAllocatable == "" {
		return out, nil
	}
	for text := range strings.SplitSeq(c.MinAllocatable, "|") {
		q, err := resource.ParseQuantities(text)
		if err == nil && q.Empty() {
			err = errors.New("an alternative asks for nothing")
		}
		if err != nil {
			return out, fmt.Errorf("%w: min_allocatable_resources: %q: %w", ErrConfig, text, err)
		}
		out.MinAllocatable = append(out.MinAllocatable, q)
	}
	return out, nil
}

// names reads "gpus,licenses".
func names(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// weights reads "web=2,db=0.5".
func weights(text string) (map[string]float64, error) {
	if text == "" {
		return nil, nil
	}
	out := map[string]float64{}
	for pair := range strings.SplitSeq(text, ",") {
		role, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if err := resource.ValidateRole(role); err != nil {
			return nil, fmt.Errorf("%q: %w", pair, err)
		}
		w, err := strconv.ParseFloat(value, 64)
		if err != nil || !(w > 0) || math.IsInf(w, 1) {
			return nil, fmt.Errorf("%q: expecting a role and its positive weight, as in web=2", pair)
		}
		out[role] = w
	}
	return out, nil
}

// removalInterval reads a limit such as "1/10m", so many agents in so long, and
// returns the time between two of them. "mins", "secs" and "hrs" are Mesos's words.
func removalInterval(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	count, span, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no limit: expecting a count of agents and a duration, as in 1/10m", text)
	}
	span = strings.NewReplacer("mins", "m", "secs", "s", "hrs", "h").Replace(span)
	d, err := time.ParseDuration(span)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no limit: expecting a count of agents and a duration, as in 1/10m", text)
	}
	return d / time.Duration(n), nil
}

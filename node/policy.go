package node

import (
	"errors"
	"fmt"
	"strings"

	"muster/offers"
	"muster/offers/allocator"
	"muster/offers/resource"
)

// policy is what this node decides by while it leads. The error names the setting.
func (c Config) policy() (offers.Config, error) {
	out := offers.Config{
		OfferTimeout:       c.OfferTimeout,
		ConstraintPatterns: allocator.PatternLimits{ProgramSize: c.ConstraintSize, Memory: c.ConstraintMemory},
	}
	for name, n := range map[string]int{"offer_constraints_re2_max_mem": c.ConstraintMemory, "offer_constraints_re2_max_program_size": c.ConstraintSize} {
		if n < 0 {
			return out, fmt.Errorf("%w: %s: %d is negative", ErrConfig, name, n)
		}
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

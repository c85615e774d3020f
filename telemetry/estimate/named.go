package estimate

import (
	"fmt"
	"slices"
	"strings"
)

// Names of the estimators that Named knows; the first is the default.
var Names = []string{"learned", "max", "noop", "share", "sigma", "percentiles"}

// Named returns an estimator for one node by its name; "" is the default. The
// classical ones have parameters that on the whole kept 1 % on real traces.
func Named(name string, cfg Config) (Estimator, error) {
	if name == "" {
		name = Names[0]
	}
	switch name {
	case "learned":
		m, err := DefaultModel()
		if err != nil {
			return nil, err
		}
		return NewLearned(m, cfg), nil
	case "noop":
		return Noop{}, nil
	case "share":
		return Share{Of: 0.4}, nil
	case "sigma":
		return Sigma{N: 10}, nil
	case "percentiles":
		return Percentiles{Of: 1}, nil
	case "max":
		return Max{Sigma{N: 3}, Percentiles{Of: 0.996}}, nil
	}
	known := slices.Sorted(slices.Values(Names))
	return nil, fmt.Errorf("estimator: %q is none of %s", name, strings.Join(known, ", "))
}

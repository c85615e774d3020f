package estimate

import (
	"fmt"
	"slices"
	"strings"
)

// Names of the estimators that Named knows; the first is the default.
var Names = []string{"max", "noop", "share", "sigma", "percentiles"}

// Named returns an estimator for one node by its name; "" is the default. The
// parameters of the classical ones are those that kept 1 % on real traces.
func Named(name string) (Estimator, error) {
	if name == "" {
		name = Names[0]
	}
	switch name {
	case "noop":
		return Noop{}, nil
	case "share":
		return Share{Of: 0.5}, nil
	case "sigma":
		return Sigma{N: 5}, nil
	case "percentiles":
		return Percentiles{Of: 0.99}, nil
	case "max":
		return Max{Sigma{N: 3}, Percentiles{Of: 0.98}}, nil
	}
	known := slices.Sorted(slices.Values(Names))
	return nil, fmt.Errorf("estimator: %q is none of %s", name, strings.Join(known, ", "))
}

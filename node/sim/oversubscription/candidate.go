package oversubscription

import (
	"fmt"
	"time"

	"muster/telemetry/estimate"
)

// candidate is an estimator with its parameter.
type candidate struct {
	family string // that shares a parameter to tune; "" is not tuned
	name   string
	param  string
	make   func() estimate.Estimator
}

const (
	noop    = "noop"
	learned = "learned"
	oracle  = "oracle"
)

// families of classical estimators that are tuned, in the order of the tables.
var families = []string{"share", "sigma 10h", "sigma 24h", "percentiles", "max"}

// candidates are all that are replayed side by side; within a family from the
// boldest parameter to the most careful.
func candidates(m *estimate.Model, cfg estimate.Config) []candidate {
	out := []candidate{{name: noop, make: func() estimate.Estimator { return estimate.Noop{} }}}
	add := func(family, param string, e estimate.Estimator) {
		out = append(out, candidate{family, family, param, func() estimate.Estimator { return e }})
	}
	for share := 20; share <= 90; share += 2 {
		add("share", fmt.Sprintf("φ=%.2f", float64(share)/100), estimate.Share{Of: float64(share) / 100})
	}
	for _, hours := range []time.Duration{10, 24} {
		for n := 2.0; n <= 20; n += step(n) {
			add(fmt.Sprintf("sigma %dh", hours), fmt.Sprintf("N=%g", n), estimate.Sigma{N: n, Over: hours * time.Hour})
		}
	}
	for _, p := range percentiles {
		add("percentiles", fmt.Sprintf("p=%g", 100*p), estimate.Percentiles{Of: p})
	}
	for _, p := range []float64{0.95, 0.98, 0.99, 1} {
		for _, n := range []float64{2, 3, 4, 6, 8} {
			add("max", fmt.Sprintf("p=%g N=%g", 100*p, n), estimate.Max{estimate.Percentiles{Of: p}, estimate.Sigma{N: n}})
		}
	}
	return append(out, candidate{name: learned, make: func() estimate.Estimator { return estimate.NewLearned(m, cfg) }})
}

var percentiles = []float64{0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.993, 0.996, 1}

// step is how far N is from the next that is tried.
func step(n float64) float64 {
	switch {
	case n < 6:
		return 0.5
	case n < 10:
		return 1
	}
	return 2
}

package offers

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// TestWeightsOfTheConfigurationAreForAClusterThatHasNone: what an operator has set
// outlives what a later leader is started with.
func TestWeightsOfTheConfigurationAreForAClusterThatHasNone(t *testing.T) {
	w := newWorld(t, Config{Weights: map[string]float64{"a": 2, "b": 3}})
	if got := w.registry.Weight("a"); got != 2 || w.registry.Weight("b") != 3 || len(w.view.Weights()) != 2 {
		t.Errorf("the weight of a is %g; the view shows %v", got, w.view.Weights())
	}
	if err := w.registry.Apply(updateWeights([]*mesos.WeightInfo{{Role: proto.String("a"), Weight: proto.Float64(5)}})); err != nil {
		t.Fatal(err)
	}
	w.failover()
	if got := w.registry.Weight("a"); got != 5 {
		t.Errorf("after a failover the weight of a is %g", got)
	}
}

// verifyRoles checks that the allocator and the view, which sum on their own, agree
// on what counts against quotas.
func (w *world) verifyRoles() error {
	var errs []error
	m := w.core
	for _, r := range w.view.Roles() {
		if got := m.consumed(r.Name); !got.Equal(r.Consumed) {
			errs = append(errs, fmt.Errorf("role %s consumes %s, the view shows %s", r.Name, got, r.Consumed))
		}
	}
	return errors.Join(errs...)
}

package resource

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// Errors go out to clients and into recordings: of several always the same one.
func TestOfSeveralErrorsTheSameIsTold(t *testing.T) {
	wrong := map[string]*mesos.Value_Scalar{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "cpus", "mem"} {
		wrong[name] = &mesos.Value_Scalar{Value: proto.Float64(-1)}
	}
	_, first := QuantitiesFromProto(wrong)
	_, firstLimits := LimitsFromProto(wrong)
	if first == nil || firstLimits == nil {
		t.Fatal(first, firstLimits)
	}
	for range 50 {
		_, err := QuantitiesFromProto(wrong)
		_, errLimits := LimitsFromProto(wrong)
		if err == nil || err.Error() != first.Error() || errLimits == nil || errLimits.Error() != firstLimits.Error() {
			t.Fatalf("%v, then %v; %v, then %v", first, err, firstLimits, errLimits)
		}
	}
}

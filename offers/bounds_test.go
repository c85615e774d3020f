package offers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// bounded is a world with a framework that has an agent's offer.
func bounded(t *testing.T) *scenario {
	s := &scenario{t: t, w: newWorld(t, Config{})}
	for _, line := range []string{"gateway 1", "subscribe 1 s1 role=a failover=60", "agent 2", "register 2 res=cpus:4;mem:1000;ports:[1-9]"} {
		s.run(line)
	}
	s.w.log = nil
	return s
}

func repeat[T any](n int, v T) []T { return slices.Repeat([]T{v}, n) }

// TestCallsTooLargeAreRefused tries what would keep the core from everybody else: its
// cost grows with the square of what the call names, or is kept for ever.
func TestCallsTooLargeAreRefused(t *testing.T) {
	roles := make([]string, maxRoles+1)
	for i := range roles {
		roles[i] = fmt.Sprint("r", i)
	}
	multi := []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}
	framework := func(change func(*mesos.FrameworkInfo)) *scheduler.Call {
		info := &mesos.FrameworkInfo{Id: frameworkID("m1-0000"), User: proto.String("u"), Name: proto.String("n"), Role: proto.String("a")}
		change(info)
		return &scheduler.Call{Type: scheduler.Call_UPDATE_FRAMEWORK.Enum(), UpdateFramework: &scheduler.Call_UpdateFramework{FrameworkInfo: info}}
	}
	inRole := func(role string) *scheduler.Call {
		return framework(func(f *mesos.FrameworkInfo) { f.Role = &role })
	}
	launch := func(r *mesos.Resource) *scheduler.Call {
		task := &mesos.TaskInfo{Name: proto.String("t"), TaskId: taskID("t"), AgentId: agentID("m1-S0"), Resources: []*mesos.Resource{r}}
		return acceptCall([]*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}}}})
	}
	for _, c := range []struct {
		call *scheduler.Call
		want string
	}{
		{&scheduler.Call{Type: scheduler.Call_SUPPRESS.Enum(), Suppress: &scheduler.Call_Suppress{Roles: repeat(maxRoles+1, "a")}},
			"'suppress.roles' has 1001 elements; at most 1000 are taken"},
		{&scheduler.Call{Type: scheduler.Call_REVIVE.Enum(), Revive: &scheduler.Call_Revive{Roles: repeat(maxRoles+1, "a")}},
			"'revive.roles' has 1001 elements; at most 1000 are taken"},
		{framework(func(f *mesos.FrameworkInfo) { f.Role, f.Roles, f.Capabilities = nil, roles, multi }),
			"'FrameworkInfo.roles' has 1001 elements; at most 1000 are taken"},
		{inRole(strings.Repeat("d/", maxRoles) + "d"), "is not a valid role: role \"d/d/"},
		{inRole(strings.Repeat("d", 256)), "has a component of 256 bytes, more than 255"},
		{framework(func(f *mesos.FrameworkInfo) { f.Hostname = proto.String(strings.Repeat("h", maxFrameworkInfo)) }),
			"bytes; at most 1048576 are taken"},
		{framework(func(f *mesos.FrameworkInfo) {
			one := &mesos.OfferFilters_ResourceQuantities{Quantities: map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(1)}}}
			f.OfferFilters = map[string]*mesos.OfferFilters{"a": {MinAllocatableResources: &mesos.OfferFilters_MinAllocatableResources{Quantities: repeat(maxMinimums+1, one)}}}
		}), "'min_allocatable_resources.quantities' has 101 elements; at most 100 are taken"},
		{acceptCall(repeat(maxConversions+1, &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum()})),
			"'accept.operations' has 201 elements that launch nothing; at most 200 are taken"},
		{launch(&mesos.Resource{Name: proto.String("ports"), Type: mesos.Value_RANGES.Enum(), Ranges: &mesos.Value_Ranges{Range: repeat(maxPieces, &mesos.Value_Range{Begin: proto.Uint64(1), End: proto.Uint64(1)})}}),
			"'accept.operations' names 50001 resources, ranges and items of sets; at most 50000 are taken"},
	} {
		s := bounded(t)
		s.send(parse("call 1 s1 m1-0000"), c.call)
		if got := strings.Join(s.w.log, "\n"); !strings.HasPrefix(got, "gateway 1 <- reply 400") || !strings.Contains(got, c.want) || len(s.w.log) != 1 {
			t.Errorf("%s: answered %.300s; want 400 and %s", c.call.GetType(), got, c.want)
		}
	}
}

func acceptCall(ops []*mesos.Offer_Operation) *scheduler.Call {
	return &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), Accept: &scheduler.Call_Accept{OfferIds: []*mesos.OfferID{offerID("m1-O0")}, Operations: ops}}
}

func TestSuppressedRolesAreKeptOnce(t *testing.T) {
	s := bounded(t)
	for range 3 {
		s.send(parse("call 1 s1 m1-0000"), &scheduler.Call{Type: scheduler.Call_SUPPRESS.Enum(), Suppress: &scheduler.Call_Suppress{Roles: repeat(maxRoles, "a")}})
	}
	if got := s.w.core.frameworks["m1-0000"].suppressed; !slices.Equal(got, []string{"a"}) {
		t.Errorf("%d are kept", len(got))
	}
}

// TestWhatIsSaidOfATaskIsBounded accepts an offer whose ID is a megabyte, with many tasks.
func TestWhatIsSaidOfATaskIsBounded(t *testing.T) {
	s := bounded(t)
	var tasks []*mesos.TaskInfo
	for i := range 100 {
		tasks = append(tasks, &mesos.TaskInfo{Name: proto.String("t"), TaskId: taskID(fmt.Sprint("t", i)), AgentId: agentID("m1-S0")})
	}
	call := acceptCall([]*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks}},
		{Type: mesos.Offer_Operation_RESERVE.Enum(), Id: &mesos.OperationID{Value: proto.String("o")}}})
	call.Accept.OfferIds[0].Value = proto.String(strings.Repeat("é", 1<<19))
	s.send(parse("call 1 s1 m1-0000"), call)
	size := 0
	for _, line := range s.w.log {
		size += len(line)
	}
	if len(s.w.log) != 102 || size > 102*(maxText+200) {
		t.Errorf("%d answers of %d bytes", len(s.w.log), size)
	}
}

// TestAnAgentIsNotDividedWithoutEnd reserves with ever other labels.
func TestAnAgentIsNotDividedWithoutEnd(t *testing.T) {
	s := bounded(t)
	op := &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Id: &mesos.OperationID{Value: proto.String("o")}, Reserve: &mesos.Offer_Operation_Reserve{}}
	for i := range maxParts {
		op.Reserve.Resources = append(op.Reserve.Resources, &mesos.Resource{
			Name: proto.String("cpus"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(.001)}, Role: proto.String("a"),
			Reservation: &mesos.Resource_ReservationInfo{Labels: &mesos.Labels{Labels: []*mesos.Label{{Key: proto.String(fmt.Sprint(i))}}}}})
	}
	s.send(parse("call 1 s1 m1-0000"), acceptCall([]*mesos.Offer_Operation{op}))
	want := "Agent m1-S0 has 1 different reservations and volumes; with 1000 more it would have more than 1000"
	if got := strings.Join(s.w.log, "\n"); !strings.Contains(got, want) {
		t.Errorf("answered %.300s; want %s", got, want)
	}
	s.w.advance(10 * time.Second)
	s.heartbeats()
	op.Reserve.Resources = op.Reserve.Resources[1:]
	call := acceptCall([]*mesos.Offer_Operation{op})
	call.Accept.OfferIds = []*mesos.OfferID{offerID("m1-O1")}
	s.send(parse("call 1 s1 m1-0000"), call)
	if n := s.w.core.agents["m1-S0"].total.Parts(); n != maxParts {
		t.Errorf("the agent has %d parts", n)
	}
}

package registry

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

func drain(a string, gone bool) *Op {
	return &Op{Op: &Op_DrainAgent{&DrainAgent{AgentId: id(a), Time: proto.Int64(7), Config: &mesos.DrainConfig{
		MaxGracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(3)}, MarkGone: proto.Bool(gone)}}}}
}
func drained(a string) *Op {
	return &Op{Op: &Op_MarkAgentDrained{&MarkAgentDrained{AgentId: id(a)}}}
}
func deactivate(a string) *Op {
	return &Op{Op: &Op_DeactivateAgent{&DeactivateAgent{AgentId: id(a)}}}
}
func reactivate(a string) *Op {
	return &Op{Op: &Op_ReactivateAgent{&ReactivateAgent{AgentId: id(a)}}}
}

func TestDrainingGoesOneWay(t *testing.T) {
	testApply(t, []applyTest{
		{"an agent is drained", []*Op{admitAgent("a")}, drain("a", false), nil},
		{"an unreachable agent is drained", []*Op{admitAgent("a"), unreachable("a", 1)}, drain("a", false), nil},
		{"a draining agent is drained otherwise", []*Op{admitAgent("a"), drain("a", false)}, drain("a", true), nil},
		{"an unknown agent is not drained", nil, drain("a", false), ErrUnknown},
		{"a gone agent is not drained", []*Op{admitAgent("a"), gone("a")}, drain("a", false), ErrRemoved},
		{"draining ends", []*Op{admitAgent("a"), drain("a", false)}, drained("a"), nil},
		{"draining ends once", []*Op{admitAgent("a"), drain("a", false), drained("a")}, drained("a"), ErrInvalid},
		{"what never began does not end", []*Op{admitAgent("a")}, drained("a"), ErrInvalid},
		{"an agent is deactivated", []*Op{admitAgent("a")}, deactivate("a"), nil},
		{"an unknown agent is not deactivated", nil, deactivate("a"), ErrUnknown},
		{"a deactivated agent is reactivated", []*Op{admitAgent("a"), deactivate("a")}, reactivate("a"), nil},
		{"a drained agent is reactivated", []*Op{admitAgent("a"), drain("a", false), drained("a")}, reactivate("a"), nil},
		{"a draining agent is not reactivated", []*Op{admitAgent("a"), drain("a", false)}, reactivate("a"), ErrInvalid},
		{"an active agent is not reactivated", []*Op{admitAgent("a")}, reactivate("a"), ErrInvalid},
	})
}

func TestDrainingOutlastsAbsence(t *testing.T) {
	s := state(t, admitAgent("a"), drain("a", true), updateAgent("a"), unreachable("a", 4))
	if a := s.Agent("a"); !a.GetDeactivated() || a.GetDrainInfo().GetState() != mesos.DrainState_DRAINING || !a.GetDrainInfo().GetConfig().GetMarkGone() {
		t.Errorf("unreachable: %v", a)
	}
	apply(t, s, reachable("a"))
	if a := s.Agent("a"); !a.GetDeactivated() || a.GetDrainInfo().GetConfig().GetMaxGracePeriod().GetNanoseconds() != 3 || a.GetDrainStart() != 7 {
		t.Errorf("back: %v", a)
	}
	apply(t, s, drained("a"))
	apply(t, s, reactivate("a"))
	if a := s.Agent("a"); a.Deactivated != nil || a.DrainInfo != nil || a.DrainStart != nil {
		t.Errorf("reactivated: %v", a)
	}
	apply(t, s, drain("a", false))
	apply(t, s, gone("a"))
	if a := s.Agent("a"); a.Deactivated != nil || a.DrainInfo != nil {
		t.Errorf("gone: %v", a)
	}
}

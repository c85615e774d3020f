package offers

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/resource"
)

// accept has a framework convert some of an offer and launch tasks on what is left;
// now and then some that cannot be.
func (s *simulation) accept(f *simFramework, o *mesos.Offer) {
	ops, left := s.convert(o)
	launch := &mesos.Offer_Operation_Launch{}
	for range 1 + s.r.IntN(3) {
		s.tasks++
		used := s.some(left)
		t := &mesos.TaskInfo{Name: proto.String("n"), TaskId: taskID(fmt.Sprintf("t%d", s.tasks)), AgentId: o.GetAgentId(),
			Resources: used.Proto(), Command: &mesos.CommandInfo{Value: proto.String("true")}}
		if s.r.IntN(8) == 0 {
			s.spoil(t)
		} else if used.Empty() {
			continue
		} else {
			left = left.Sub(used)
		}
		launch.TaskInfos = append(launch.TaskInfos, t)
	}
	call := s.callOf(f, &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), Accept: &scheduler.Call_Accept{OfferIds: []*mesos.OfferID{o.GetId()},
		Operations: append(ops, &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: launch}),
		Filters:    &mesos.Filters{RefuseSeconds: proto.Float64(float64(s.r.IntN(4)))}}})
	f.calling[s.calls] = launch.TaskInfos
	s.w.do(call)
}

// spoil makes a task one that cannot be launched.
func (s *simulation) spoil(t *mesos.TaskInfo) {
	switch s.r.IntN(4) {
	case 0:
		t.Resources = s.set("cpus:1000").Proto()
	case 1:
		t.Resources = nil
	case 2:
		t.AgentId = agentID("elsewhere")
	case 3:
		t.Command = nil
	}
}

// some is what a task uses of what is left, whatever that is: reserved, revocable, a volume.
func (s *simulation) some(left resource.Set) resource.Set {
	revocable, seen := map[string]bool{}, map[string]bool{}
	used := resource.Set{}
	for _, r := range left.Proto() {
		name := r.GetName()
		if s.r.IntN(4) == 0 || seen[name] && revocable[name] != (r.Revocable != nil) {
			continue // a task does not mix them
		}
		seen[name], revocable[name] = true, r.Revocable != nil
		switch {
		case r.GetType() == mesos.Value_RANGES:
			port := r.GetRanges().GetRange()[0].GetBegin()
			r.Ranges = &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: &port, End: &port}}}
		case r.GetDisk().GetPersistence() == nil:
			most := map[string]float64{"cpus": 1, "mem": 200, "disk": 2, "gpus": 1}[name]
			r.Scalar = &mesos.Value_Scalar{Value: proto.Float64(min(most, r.GetScalar().GetValue()))}
		}
		used = used.Add(setOf(r))
	}
	return used
}

// convert has a framework make up operations, one on what the other made, with
// feedback or without. It returns what the last one leaves.
func (s *simulation) convert(o *mesos.Offer) (ops []*mesos.Offer_Operation, left resource.Set) {
	left = setOf(o.GetResources()...)
	if s.resting {
		return nil, left
	}
	for range s.r.IntN(4) {
		op := s.conversion(left.Proto(), o.GetAllocationInfo().GetRole())
		if op == nil {
			continue
		}
		if s.r.IntN(2) == 0 {
			s.operations++
			op.Id = &mesos.OperationID{Value: proto.String(fmt.Sprint("o", s.operations))}
		}
		ops = append(ops, op)
		conversions, err := resource.Convert(op)
		if err != nil {
			s.t.Fatalf("%v: %v", op, err)
		}
		if after, no := left.Apply(conversions...); no == nil {
			left = after
		}
		if op.GrowVolume != nil || op.ShrinkVolume != nil { // what is resized is for another call
			left = left.Sub(conversions[0].Converted)
		}
	}
	return ops, left
}

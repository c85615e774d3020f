package offers

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/resource"
)

// What a framework is told takes the form that its capabilities let it read.
// Mesos: src/common/resources_utils.cpp, and src/master/master.cpp, Master::offer.

// aware returns the state a framework is told: those that came with partition
// awareness are TASK_LOST to the others.
func (f *framework) aware(s mesos.TaskState) mesos.TaskState {
	if f.caps.partitionAware {
		return s
	}
	switch s {
	case mesos.TaskState_TASK_DROPPED, mesos.TaskState_TASK_UNREACHABLE, mesos.TaskState_TASK_GONE,
		mesos.TaskState_TASK_GONE_BY_OPERATOR, mesos.TaskState_TASK_UNKNOWN:
		return mesos.TaskState_TASK_LOST
	}
	return s
}

// readsAll reports whether a framework can read resources as they are.
func (f *framework) readsAll() bool { return f.caps.multiRole && f.caps.refinement }

// reads writes resources so that a framework can read them: without MULTI_ROLE they
// are allocated to nobody, without RESERVATION_REFINEMENT they have the older form,
// and what has none, as refined reservations, is left out.
func (f *framework) reads(res resource.Set) []*mesos.Resource {
	if !f.caps.multiRole {
		res = res.Unallocate()
	}
	if !f.caps.refinement {
		if old, err := res.Unrefined().PreRefinement(); err == nil {
			return old
		}
	}
	return res.Proto()
}

// rewrite is reads of what an agent has written; nonsense is not passed on.
func (f *framework) rewrite(rs []*mesos.Resource) []*mesos.Resource {
	if len(rs) == 0 || f.readsAll() {
		return rs
	}
	res, err := resource.FromProto(rs)
	if err != nil {
		return nil
	}
	return f.reads(res)
}

// readsStatus returns a task's status as a framework reads it.
func (f *framework) readsStatus(s *mesos.TaskStatus) *mesos.TaskStatus {
	state := f.aware(s.GetState())
	limited := len(s.GetLimitation().GetResources()) > 0 && !f.readsAll()
	if state == s.GetState() && !limited {
		return s
	}
	s = copyStatus(s)
	s.State = state.Enum()
	if limited {
		s.Limitation = &mesos.TaskResourceLimitation{Resources: f.rewrite(s.GetLimitation().GetResources())}
	}
	return s
}

// readsOperationStatus returns an operation's status as a framework reads it.
func (f *framework) readsOperationStatus(s *mesos.OperationStatus) *mesos.OperationStatus {
	if len(s.GetConvertedResources()) == 0 || f.readsAll() {
		return s
	}
	s = proto.CloneOf(s)
	s.ConvertedResources = f.rewrite(s.GetConvertedResources())
	return s
}

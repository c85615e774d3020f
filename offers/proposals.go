package offers

import (
	"errors"
	"time"

	"muster/offers/registry"
)

// retryProposal is how long a proposal that must succeed waits after the quorum
// could not take it.
const retryProposal = time.Second

// propose asks for op to be replicated and remembers what is to happen then.
// Operations of one subject are answered in the order they were proposed.
func (m *Master) propose(op *registry.Op, done func(error)) {
	key := subject(op)
	m.proposals[key] = append(m.proposals[key], done)
	m.effect(Propose{Op: op})
}

// proposeSurely proposes op again until it is in the registry or does not fit there.
func (m *Master) proposeSurely(op *registry.Op, done func()) {
	m.propose(op, func(err error) {
		if err == nil || final(err) {
			done()
			return
		}
		m.timers.set(m.now.Add(retryProposal), func() { m.proposeSurely(op, done) })
	})
}

// final reports whether an operation was refused for what it says: another try
// would not help.
func final(err error) bool {
	return errors.Is(err, registry.ErrInvalid) || errors.Is(err, registry.ErrExists) ||
		errors.Is(err, registry.ErrUnknown) || errors.Is(err, registry.ErrRemoved)
}

// committed takes in the answer to a proposal. What nobody here asked for is
// about things the core does not decide.
func (m *Master) committed(in Committed) {
	key := subject(in.Op)
	waiting := m.proposals[key]
	if len(waiting) == 0 {
		return
	}
	if len(waiting) == 1 {
		delete(m.proposals, key)
	} else {
		m.proposals[key] = waiting[1:]
	}
	err := in.Err
	if err == nil {
		err = m.facts.Apply(in.Op)
	}
	waiting[0](err)
}

// subject names what an operation is and whom it is about.
func subject(op *registry.Op) string {
	switch o := op.GetOp().(type) {
	case *registry.Op_AdmitAgent:
		return "admit agent " + o.AdmitAgent.GetAgent().GetId().GetValue()
	case *registry.Op_MarkAgentUnreachable:
		return "agent unreachable " + o.MarkAgentUnreachable.GetAgentId().GetValue()
	case *registry.Op_MarkAgentReachable:
		return "agent reachable " + o.MarkAgentReachable.GetAgent().GetId().GetValue()
	case *registry.Op_MarkAgentGone:
		return "agent gone " + o.MarkAgentGone.GetAgentId().GetValue()
	case *registry.Op_RemoveAgent:
		return "remove agent " + o.RemoveAgent.GetAgentId().GetValue()
	case *registry.Op_UpdateAgent:
		return "update agent " + o.UpdateAgent.GetAgent().GetId().GetValue()
	case *registry.Op_AdmitFramework:
		return "admit framework " + o.AdmitFramework.GetFramework().GetId().GetValue()
	case *registry.Op_UpdateFramework:
		return "update framework " + o.UpdateFramework.GetFramework().GetId().GetValue()
	case *registry.Op_FrameworkDisconnected:
		return "framework disconnected " + o.FrameworkDisconnected.GetFrameworkId().GetValue()
	case *registry.Op_FrameworkConnected:
		return "framework connected " + o.FrameworkConnected.GetFrameworkId().GetValue()
	case *registry.Op_RemoveFramework:
		return "remove framework " + o.RemoveFramework.GetFrameworkId().GetValue()
	case *registry.Op_DrainAgent:
		return "drain agent " + o.DrainAgent.GetAgentId().GetValue()
	case *registry.Op_MarkAgentDrained:
		return "agent drained " + o.MarkAgentDrained.GetAgentId().GetValue()
	case *registry.Op_DeactivateAgent:
		return "deactivate agent " + o.DeactivateAgent.GetAgentId().GetValue()
	case *registry.Op_ReactivateAgent:
		return "reactivate agent " + o.ReactivateAgent.GetAgentId().GetValue()
	case *registry.Op_UpdateMaintenanceSchedule:
		return "maintenance schedule"
	case *registry.Op_StartMaintenance:
		return "start maintenance"
	case *registry.Op_StopMaintenance:
		return "stop maintenance"
	case *registry.Op_UpdateQuota:
		return "update quota"
	case *registry.Op_UpdateWeights:
		return "update weights"
	default:
		return ""
	}
}

package registry

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// Apply adds one operation. An operation that does not fit gives an error that
// names the field or ID at fault, and changes nothing.
func (s *State) Apply(op *Op) error {
	switch o := op.GetOp().(type) {
	case *Op_InitCluster:
		return s.initCluster(o.InitCluster)
	case *Op_AdmitMember:
		return s.admitMember(o.AdmitMember)
	case *Op_RemoveMember:
		return s.removeMember(o.RemoveMember)
	case *Op_AdmitAgent:
		return s.admitAgent(o.AdmitAgent)
	case *Op_MarkAgentUnreachable:
		return s.markAgentUnreachable(o.MarkAgentUnreachable)
	case *Op_MarkAgentReachable:
		return s.markAgentReachable(o.MarkAgentReachable)
	case *Op_MarkAgentGone:
		return s.markAgentGone(o.MarkAgentGone)
	case *Op_RemoveAgent:
		return s.removeAgent(o.RemoveAgent)
	case *Op_UpdateAgent:
		return s.updateAgent(o.UpdateAgent)
	case *Op_AdmitFramework:
		return s.admitFramework(o.AdmitFramework)
	case *Op_UpdateFramework:
		return s.updateFramework(o.UpdateFramework)
	case *Op_FrameworkDisconnected:
		return s.frameworkDisconnected(o.FrameworkDisconnected)
	case *Op_FrameworkConnected:
		return s.frameworkConnected(o.FrameworkConnected)
	case *Op_RemoveFramework:
		return s.removeFramework(o.RemoveFramework)
	case *Op_UpdateQuota:
		return s.updateQuota(o.UpdateQuota)
	case *Op_UpdateWeights:
		return s.updateWeights(o.UpdateWeights)
	case *Op_UpdateMaintenanceSchedule:
		return s.updateMaintenanceSchedule(o.UpdateMaintenanceSchedule)
	case *Op_StartMaintenance:
		return s.startMaintenance(o.StartMaintenance)
	case *Op_StopMaintenance:
		return s.stopMaintenance(o.StopMaintenance)
	case *Op_DrainAgent:
		return s.drainAgent(o.DrainAgent)
	case *Op_MarkAgentDrained:
		return s.markAgentDrained(o.MarkAgentDrained)
	case *Op_DeactivateAgent:
		return s.deactivateAgent(o.DeactivateAgent)
	case *Op_ReactivateAgent:
		return s.reactivateAgent(o.ReactivateAgent)
	default:
		return fmt.Errorf("%w: no operation that this version knows is set", ErrInvalid)
	}
}

func missing(op, field string) error {
	return fmt.Errorf("%s: %w: %s is missing", op, ErrInvalid, field)
}

func (s *State) initCluster(o *InitCluster) error {
	if o.GetClusterId() == "" {
		return missing("init cluster", "cluster_id")
	}
	if s.cluster != nil {
		return fmt.Errorf("init cluster %s: cluster %s %w", o.GetClusterId(), s.cluster.GetClusterId(), ErrExists)
	}
	s.cluster = o
	return nil
}

func (s *State) admitMember(o *AdmitMember) error {
	if o.GetPeerId() == "" {
		return missing("admit member", "peer_id")
	}
	if s.MemberRemoved(o.GetPeerId()) {
		return fmt.Errorf("admit member %s: it %w", o.GetPeerId(), ErrRemoved)
	}
	s.members[o.GetPeerId()] = o
	return nil
}

func (s *State) removeMember(o *RemoveMember) error {
	if s.members[o.GetPeerId()] == nil {
		return fmt.Errorf("remove member %q: %w", o.GetPeerId(), ErrUnknown)
	}
	delete(s.members, o.GetPeerId())
	s.removedMembers.add(o.GetPeerId())
	return nil
}

func (s *State) admitAgent(o *AdmitAgent) error {
	id := agentID(o.GetAgent())
	if id == "" {
		return missing("admit agent", "agent.id")
	}
	if s.agents[id] != nil {
		return fmt.Errorf("admit agent %s: it %w", id, ErrExists)
	}
	s.setAgent(id, &Agent{Info: o.Agent, Status: Agent_ADMITTED.Enum(), PeerId: o.PeerId, Incarnation: o.Incarnation})
	return nil
}

// known returns an agent that operations may change: gone ones never come back.
func (s *State) known(op, id string) (*Agent, error) {
	a := s.agents[id]
	if a == nil {
		return nil, fmt.Errorf("%s %q: %w", op, id, ErrUnknown)
	}
	if a.GetStatus() == Agent_GONE {
		return nil, fmt.Errorf("%s %s: it %w: marked gone", op, id, ErrRemoved)
	}
	return a, nil
}

func (s *State) markAgentUnreachable(o *MarkAgentUnreachable) error {
	id := o.GetAgentId().GetValue()
	a, err := s.known("mark agent unreachable", id)
	if err != nil {
		return err
	}
	if a.GetStatus() == Agent_UNREACHABLE {
		return fmt.Errorf("mark agent unreachable %s: the mark %w", id, ErrExists)
	}
	next := copyAgent(a)
	next.Status, next.Since = Agent_UNREACHABLE.Enum(), proto.Int64(o.GetTime())
	s.setAgent(id, next)
	s.prune()
	return nil
}

func (s *State) markAgentGone(o *MarkAgentGone) error {
	id := o.GetAgentId().GetValue()
	a, err := s.known("mark agent gone", id)
	if err != nil {
		return err
	}
	s.setAgent(id, &Agent{
		Info: a.Info, Status: Agent_GONE.Enum(), Since: proto.Int64(o.GetTime()), PeerId: a.PeerId, Incarnation: a.Incarnation,
	})
	s.prune()
	return nil
}

func (s *State) markAgentReachable(o *MarkAgentReachable) error {
	id := agentID(o.GetAgent())
	if id == "" {
		return missing("mark agent reachable", "agent.id")
	}
	next := &Agent{Info: o.Agent, Status: Agent_ADMITTED.Enum(), PeerId: o.PeerId}
	if s.agents[id] != nil {
		a, err := s.known("mark agent reachable", id)
		if err != nil {
			return err
		}
		next.Incarnation = a.Incarnation
		next.Deactivated, next.DrainInfo, next.DrainStart = a.Deactivated, a.DrainInfo, a.DrainStart
	}
	s.setAgent(id, next)
	return nil
}

func (s *State) removeAgent(o *RemoveAgent) error {
	id := o.GetAgentId().GetValue()
	if s.agents[id] == nil {
		return fmt.Errorf("remove agent %q: %w", id, ErrUnknown)
	}
	s.dropAgent(id)
	return nil
}

func (s *State) updateAgent(o *UpdateAgent) error {
	return s.changeAgent("update agent", agentID(o.GetAgent()), func(a *Agent) error {
		a.Info = o.Agent
		return nil
	})
}

func (s *State) admitFramework(o *AdmitFramework) error {
	id := o.GetFramework().GetId().GetValue()
	if id == "" {
		return missing("admit framework", "framework.id")
	}
	if s.FrameworkRemoved(id) {
		return fmt.Errorf("admit framework %s: it %w", id, ErrRemoved)
	}
	if s.frameworks[id] != nil {
		return fmt.Errorf("admit framework %s: it %w", id, ErrExists)
	}
	s.frameworks[id] = &Framework{Info: o.Framework, Principal: o.Principal, SessionId: o.SessionId}
	return nil
}

func (s *State) updateFramework(o *UpdateFramework) error {
	return s.changeFramework("update framework", o.GetFramework().GetId().GetValue(), func(f *Framework) { f.Info = o.Framework })
}

func (s *State) frameworkDisconnected(o *FrameworkDisconnected) error {
	return s.changeFramework("framework disconnected", o.GetFrameworkId().GetValue(), func(f *Framework) {
		f.Deadline = proto.Int64(o.GetDeadline())
		if o.MissedSessionId != nil {
			f.MissedSessionId = o.MissedSessionId
		}
	})
}

func (s *State) frameworkConnected(o *FrameworkConnected) error {
	return s.changeFramework("framework connected", o.GetFrameworkId().GetValue(), func(f *Framework) {
		f.Deadline, f.SessionId = nil, o.SessionId
	})
}

// changeFramework replaces a framework by one that is changed.
func (s *State) changeFramework(op, id string, change func(*Framework)) error {
	f := s.frameworks[id]
	if f == nil {
		return fmt.Errorf("%s %q: %w", op, id, ErrUnknown)
	}
	next := &Framework{Info: f.Info, Principal: f.Principal, Deadline: f.Deadline, SessionId: f.SessionId, MissedSessionId: f.MissedSessionId}
	change(next)
	s.frameworks[id] = next
	return nil
}

func (s *State) removeFramework(o *RemoveFramework) error {
	id := o.GetFrameworkId().GetValue()
	if s.frameworks[id] == nil {
		return fmt.Errorf("remove framework %q: %w", id, ErrUnknown)
	}
	delete(s.frameworks, id)
	s.removedFrameworks.add(id)
	return nil
}

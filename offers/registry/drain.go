package registry

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// copyAgent returns an agent that may be changed; what it refers to is shared.
func copyAgent(a *Agent) *Agent {
	return &Agent{
		Info: a.Info, Status: a.Status, Since: a.Since, PeerId: a.PeerId, Incarnation: a.Incarnation,
		Deactivated: a.Deactivated, DrainInfo: a.DrainInfo, DrainStart: a.DrainStart,
	}
}

// changeAgent replaces an agent that is not gone by a copy that change has changed.
func (s *State) changeAgent(op, id string, change func(*Agent) error) error {
	a, err := s.known(op, id)
	if err != nil {
		return err
	}
	next := copyAgent(a)
	if err := change(next); err != nil {
		return fmt.Errorf("%s %s: %w", op, id, err)
	}
	s.setAgent(id, next)
	return nil
}

// drainAgent begins anew for an agent that is draining or drained already.
// Mesos: src/master/registry_operations.cpp, DrainAgent::perform.
func (s *State) drainAgent(o *DrainAgent) error {
	config := o.GetConfig()
	if config == nil {
		config = &mesos.DrainConfig{}
	}
	return s.changeAgent("drain agent", o.GetAgentId().GetValue(), func(a *Agent) error {
		a.Deactivated = proto.Bool(true)
		a.DrainInfo = &mesos.DrainInfo{State: mesos.DrainState_DRAINING.Enum(), Config: config}
		a.DrainStart = proto.Int64(o.GetTime())
		return nil
	})
}

func (s *State) markAgentDrained(o *MarkAgentDrained) error {
	return s.changeAgent("mark agent drained", o.GetAgentId().GetValue(), func(a *Agent) error {
		if a.GetDrainInfo().GetState() != mesos.DrainState_DRAINING {
			return fmt.Errorf("%w: it is not DRAINING", ErrInvalid)
		}
		a.DrainInfo = &mesos.DrainInfo{State: mesos.DrainState_DRAINED.Enum(), Config: a.DrainInfo.Config}
		return nil
	})
}

func (s *State) deactivateAgent(o *DeactivateAgent) error {
	return s.changeAgent("deactivate agent", o.GetAgentId().GetValue(), func(a *Agent) error {
		a.Deactivated = proto.Bool(true)
		return nil
	})
}

// reactivateAgent also ends that an agent was drained.
func (s *State) reactivateAgent(o *ReactivateAgent) error {
	return s.changeAgent("reactivate agent", o.GetAgentId().GetValue(), func(a *Agent) error {
		switch {
		case !a.GetDeactivated():
			return fmt.Errorf("%w: it is not deactivated", ErrInvalid)
		case a.GetDrainInfo().GetState() == mesos.DrainState_DRAINING:
			return fmt.Errorf("%w: it is still DRAINING", ErrInvalid)
		}
		a.Deactivated, a.DrainInfo, a.DrainStart = nil, nil, nil
		return nil
	})
}

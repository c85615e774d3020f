package offers

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
	"muster/offers/registry"
)

// An operator drains, deactivates and reactivates agents. The registry has it, so
// it outlasts leaders and the agent's absence; here is what follows from it.

// offerable reports whether an agent's resources may be offered.
func (m *Master) offerable(a *agent) bool {
	return a.link != nil && !m.facts.Agent(a.id).GetDeactivated()
}

// withdraw takes back what was offered of an agent, and offers it no more.
func (m *Master) withdraw(a *agent) {
	for _, o := range a.sortedOffers() {
		m.rescind(o, nil)
	}
	m.rescindInverseOn(a)
	m.allocator.DeactivateAgent(m.now, a.id)
	m.dirty.agent(a)
}

// drainAgent ends all that runs on an agent and offers it no more. Drained again it
// begins anew with the new config.
// Mesos: src/master/http.cpp, Master::Http::_drainAgent.
func (m *Master) drainAgent(l Link, id uint64, call *master.Call_DrainAgent) {
	target := call.GetAgentId().GetValue()
	if a := m.agents[target]; a != nil {
		if machine := m.scheduledMachine(a); machine != "" {
			m.reply(l, id, statusBadRequest, "Agent "+target+" is part of a maintenance schedule under Machine "+machine)
			return
		}
		if !a.can(mesos.AgentInfo_Capability_AGENT_DRAINING) {
			m.reply(l, id, statusBadRequest, "Agent "+target+" is not capable of draining")
			return
		}
	}
	config := &mesos.DrainConfig{MarkGone: proto.Bool(call.GetMarkGone())}
	if g := call.GetMaxGracePeriod(); g != nil {
		if !g.IsValid() || g.AsDuration() < 0 {
			m.reply(l, id, statusBadRequest, "Failed to validate master::Call: 'drain_agent.max_grace_period' is no duration or negative")
			return
		}
		config.MaxGracePeriod = &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(g.AsDuration()))}
	}
	m.steer(l, id, target, &registry.Op{Op: &registry.Op_DrainAgent{DrainAgent: &registry.DrainAgent{
		AgentId: agentID(target), Config: config, Time: proto.Int64(m.now.UnixNano()),
	}}}, func(a *agent) {
		m.withdraw(a)
		m.tellDraining(a)
		m.checkDrained(a)
	})
}

// deactivateAgent stops offers of an agent; what runs on it runs on.
func (m *Master) deactivateAgent(l Link, id uint64, call *master.Call_DeactivateAgent) {
	target := call.GetAgentId().GetValue()
	m.steer(l, id, target, &registry.Op{Op: &registry.Op_DeactivateAgent{DeactivateAgent: &registry.DeactivateAgent{
		AgentId: agentID(target),
	}}}, m.withdraw)
}

// reactivateAgent lets an agent that was deactivated or drained be offered again.
func (m *Master) reactivateAgent(l Link, id uint64, call *master.Call_ReactivateAgent) {
	target := call.GetAgentId().GetValue()
	switch was := m.facts.Agent(target); {
	case !was.GetDeactivated():
		m.reply(l, id, statusBadRequest, "Agent is not deactivated")
		return
	case was.GetDrainInfo().GetState() == mesos.DrainState_DRAINING:
		m.reply(l, id, statusBadRequest, "Agent is still in the DRAINING state")
		return
	}
	m.steer(l, id, target, &registry.Op{Op: &registry.Op_ReactivateAgent{ReactivateAgent: &registry.ReactivateAgent{
		AgentId: agentID(target),
	}}}, func(a *agent) {
		if a.link != nil {
			m.allocator.ActivateAgent(m.now, a.id)
			m.oweInverse(a)
		}
		m.dirty.agent(a)
	})
}

// steer has the registry take in what an operator wants of an agent and answers.
// then is for an agent that is registered.
func (m *Master) steer(l Link, id uint64, target string, op *registry.Op, then func(*agent)) {
	switch was := m.facts.Agent(target); {
	case was == nil || was.GetStatus() == registry.Agent_GONE:
		m.reply(l, id, statusBadRequest, "Unknown agent")
		return
	case m.busy(target):
		m.reply(l, id, statusConflict, "Agent "+target+" is just being admitted, removed or marked gone")
		return
	}
	m.decide(l, id, op, func() {
		if a := m.agents[target]; a != nil {
			then(a)
		}
	})
}

// decide has the registry take in what an operator wants, does what follows, and answers.
func (m *Master) decide(l Link, id uint64, op *registry.Op, then func()) {
	m.propose(op, func(err error) {
		switch {
		case err == nil:
			then()
			m.reply(l, id, statusOK, "")
		case final(err): // it fitted when it was asked for
			m.reply(l, id, statusConflict, err.Error())
		default:
			m.reply(l, id, statusUnavailable, err.Error())
		}
	})
}

// tellDraining tells an agent to end its tasks, if it is draining: also when it
// registers, for it may not have heard.
func (m *Master) tellDraining(a *agent) {
	if info := m.facts.Agent(a.id).GetDrainInfo(); info != nil {
		m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_Drain{Drain: &protocol.Drain{Config: info.GetConfig()}}})
	}
}

// checkDrained notes that an agent is drained once no task and no operation of it
// is left: none runs, and the end of each was acknowledged.
// Mesos: src/master/master.cpp, Master::checkAndTransitionDrainingAgent.
func (m *Master) checkDrained(a *agent) {
	info := m.facts.Agent(a.id).GetDrainInfo()
	if info == nil || len(a.tasks) > 0 || len(a.operations) > 0 || a.leaving || a.emptied {
		return
	}
	if info.GetConfig().GetMarkGone() {
		a.leaving = true
		m.proposeSurely(markGone(a.id, m.now), func() {
			m.agentGone(a.id)
			m.resumeWaiting(a.id)
		})
		return
	}
	if info.GetState() != mesos.DrainState_DRAINING {
		return
	}
	a.emptied = true
	m.proposeSurely(&registry.Op{Op: &registry.Op_MarkAgentDrained{MarkAgentDrained: &registry.MarkAgentDrained{
		AgentId: agentID(a.id),
	}}}, func() {
		a.emptied = false
		if m.agents[a.id] == a {
			m.dirty.agent(a)
			m.checkDrained(a) // it may have been drained anew meanwhile
		}
	})
}

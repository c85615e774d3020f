package offers

import (
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
	"muster/offers/registry"
)

// operate carries out a call of the operator API that changes something.
func (m *Master) operate(l Link, msg *protocol.Operate) {
	id, call := msg.GetCallId(), msg.GetCall()
	switch call.GetType() {
	case master.Call_TEARDOWN:
		m.teardown(l, id, call.GetTeardown())
	case master.Call_MARK_AGENT_GONE:
		m.markAgentGone(l, id, call.GetMarkAgentGone())
	case master.Call_DRAIN_AGENT:
		m.drainAgent(l, id, call.GetDrainAgent())
	case master.Call_DEACTIVATE_AGENT:
		m.deactivateAgent(l, id, call.GetDeactivateAgent())
	case master.Call_REACTIVATE_AGENT:
		m.reactivateAgent(l, id, call.GetReactivateAgent())
	case master.Call_UPDATE_MAINTENANCE_SCHEDULE:
		m.updateSchedule(l, id, call.GetUpdateMaintenanceSchedule())
	case master.Call_START_MAINTENANCE:
		m.startMaintenance(l, id, call.GetStartMaintenance().GetMachines())
	case master.Call_STOP_MAINTENANCE:
		m.stopMaintenance(l, id, call.GetStopMaintenance().GetMachines())
	case master.Call_RESERVE_RESOURCES, master.Call_UNRESERVE_RESOURCES, master.Call_CREATE_VOLUMES, master.Call_DESTROY_VOLUMES,
		master.Call_GROW_VOLUME, master.Call_SHRINK_VOLUME:
		m.operateResources(l, id, msg.GetPrincipal(), call)
	case master.Call_UPDATE_QUOTA, master.Call_SET_QUOTA, master.Call_REMOVE_QUOTA:
		m.quotaCall(l, id, call)
	case master.Call_UPDATE_WEIGHTS:
		m.updateWeights(l, id, call.GetUpdateWeights())
	case master.Call_UNKNOWN:
		m.reply(l, id, statusBadRequest, "Failed to validate master::Call: Expecting 'type' to be present")
	default:
		m.reply(l, id, statusNotImplemented, call.GetType().String()+" is not supported")
	}
}

func (m *Master) teardown(l Link, id uint64, call *master.Call_Teardown) {
	if call == nil {
		m.reply(l, id, statusBadRequest, "Failed to validate master::Call: Expecting 'teardown' to be present")
		return
	}
	f := m.frameworks[call.GetFrameworkId().GetValue()]
	if f == nil || !f.admitted {
		m.reply(l, id, statusBadRequest, "No framework found with specified ID")
		return
	}
	m.removeFramework(f, func() { m.reply(l, id, statusOK, "") })
}

// markAgentGone shuts an agent out for good: its tasks are gone, whatever becomes of it.
func (m *Master) markAgentGone(l Link, id uint64, call *master.Call_MarkAgentGone) {
	if call == nil {
		m.reply(l, id, statusBadRequest, "Failed to validate master::Call: Expecting 'mark_agent_gone' to be present")
		return
	}
	agent := call.GetAgentId().GetValue()
	switch was := m.facts.Agent(agent); {
	case was == nil:
		m.reply(l, id, statusNotFound, "Agent not found")
		return
	case was.GetStatus() == registry.Agent_GONE:
		m.reply(l, id, statusOK, "")
		return
	case m.busy(agent):
		m.reply(l, id, statusUnavailable, "Agent "+agent+" is just being admitted or removed")
		return
	}
	if a := m.agents[agent]; a != nil {
		a.leaving = true
	} else if r := m.recovered[agent]; r != nil {
		r.leaving = true
	}
	m.propose(markGone(agent, m.now), func(err error) {
		if err != nil {
			m.stay(agent)
			m.reply(l, id, statusUnavailable, "mark agent gone: "+err.Error())
		} else {
			m.agentGone(agent)
			m.reply(l, id, statusOK, "")
		}
		m.resumeWaiting(agent)
	})
}

func markGone(id string, at time.Time) *registry.Op {
	return &registry.Op{Op: &registry.Op_MarkAgentGone{MarkAgentGone: &registry.MarkAgentGone{
		AgentId: agentID(id), Time: proto.Int64(at.UnixNano()),
	}}}
}

// stay undoes that an agent is leaving.
func (m *Master) stay(agent string) {
	if a := m.agents[agent]; a != nil {
		a.leaving = false
		m.heard(a)
	} else if r := m.recovered[agent]; r != nil {
		r.leaving = false
		m.awaitReturn(agent, r)
	}
}

// agentGone ends an agent that the registry has shut out.
func (m *Master) agentGone(agent string) {
	if a := m.agents[agent]; a != nil {
		if a.link != nil {
			m.refuse(a.link, "Agent has been marked gone", true)
		}
		m.loseOperations(a, mesos.OperationState_OPERATION_GONE_BY_OPERATOR, "Agent has been marked gone")
		m.agentEnded(a, mesos.TaskState_TASK_GONE_BY_OPERATOR, mesos.TaskStatus_REASON_AGENT_REMOVED_BY_OPERATOR,
			"Agent has been marked gone")
		return
	}
	if r := m.recovered[agent]; r != nil {
		m.recoveredSupplanted(agent, r)
		return
	}
	m.agentSettled(agent)
}

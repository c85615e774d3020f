package offers

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// reconcileOperations tells a framework the state of its operations: of those it
// names, or of all that have an ID.
// Mesos: src/master/master.cpp, Master::reconcileOperations.
func (m *Master) reconcileOperations(f *framework, ops []*scheduler.Call_ReconcileOperations_Operation) {
	if len(ops) == 0 {
		for _, same := range sorted(f.operations) {
			m.tellOperations(f, same)
		}
	}
	for _, op := range ops {
		if same := f.operations[op.GetOperationId().GetValue()]; len(same) > 0 {
			m.tellOperations(f, same)
			continue
		}
		state, text := m.operationFate(f, op)
		m.operationStatus(f, &mesos.OperationStatus{
			OperationId: op.GetOperationId(), AgentId: op.GetAgentId(), ResourceProviderId: op.GetResourceProviderId(),
			State: state.Enum(), Message: proto.String("Reconciliation: " + text),
		})
	}
}

// tellOperations answers with all that have one ID: each status names its agent.
func (m *Master) tellOperations(f *framework, same []*operation) {
	for _, o := range same {
		m.operationStatus(f, o.told())
	}
}

// told returns the last status that the framework was told, or else the first one.
// It has no UUID: nobody repeats it until it is acknowledged.
func (o *operation) told() *mesos.OperationStatus {
	last := o.msg.GetLatestStatus()
	if n := len(o.msg.GetStatuses()); n > 0 {
		last = o.msg.GetStatuses()[n-1]
	}
	s := o.complete(last)
	s.Uuid = nil
	return s
}

// operationFate is what can be said of an operation that is not known, by the
// agent that it is said to be of. A registered agent has said which it has: what it has
// not was lost on its way, or its end was acknowledged. An acknowledgement to an earlier
// leader is remembered by nobody, and to call such an operation dropped would have it done twice.
func (m *Master) operationFate(f *framework, op *scheduler.Call_ReconcileOperations_Operation) (mesos.OperationState, string) {
	agent := op.GetAgentId().GetValue()
	if agent == "" {
		return mesos.OperationState_OPERATION_UNKNOWN, "Operation is unknown and no 'agent_id' was provided"
	}
	switch m.whereabouts(agent) {
	case agentAwaited:
		return mesos.OperationState_OPERATION_RECOVERING, "Agent is recovered but has not re-registered"
	case agentRegistered:
		if f.ended.has(op.GetOperationId().GetValue()) {
			return mesos.OperationState_OPERATION_UNKNOWN, "Operation has ended, and that was acknowledged"
		}
		if f.inherited {
			return mesos.OperationState_OPERATION_UNKNOWN, "Operation is unknown to the agent: it was lost with an earlier leader, or its end was acknowledged"
		}
		return mesos.OperationState_OPERATION_DROPPED, "Operation is unknown to the agent"
	case agentUnreachable:
		return mesos.OperationState_OPERATION_UNREACHABLE, "Agent is unreachable"
	case agentGone:
		return mesos.OperationState_OPERATION_GONE_BY_OPERATOR, "Agent marked gone by operator"
	}
	return mesos.OperationState_OPERATION_UNKNOWN, "Both operation and agent are unknown"
}

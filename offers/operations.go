package offers

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/resource"
	"muster/offers/view"
)

// operation is one that converts resources of an agent, from when the agent was
// told until its end was acknowledged.
type operation struct {
	uuid      string // 16 raw bytes; names it between master and agent
	agent     string
	framework string // "": an operator's
	msg       *mesos.Operation
	counted   bool // its conversion is in the agent's total
}

// id is the name that its framework gave it, "" if it does not want to be told.
func (o *operation) id() string { return o.msg.GetInfo().GetId().GetValue() }

func (o *operation) state() mesos.OperationState { return o.msg.GetLatestStatus().GetState() }

// newUUID returns the raw form of one that no other leadership gives.
func (m *Master) newUUID() []byte {
	m.lastOperation++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", m.cfg.MasterID, m.lastOperation))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // version 8: of our own making
	return b
}

// applyOperation has an agent carry out an operation that fits. It counts as done
// at once: what follows on the agent's link is used on its result. f is nil for an
// operator. Mesos: src/master/master.cpp, Master::_apply.
func (m *Master) applyOperation(a *agent, f *framework, info *mesos.Offer_Operation, conversions []resource.Conversion) {
	uuid := m.newUUID()
	o := &operation{uuid: string(uuid), agent: a.id, counted: true, msg: &mesos.Operation{
		AgentId: a.info.GetId(), Info: info, Uuid: &mesos.UUID{Value: uuid},
		LatestStatus: &mesos.OperationStatus{
			OperationId: info.GetId(), State: mesos.OperationState_OPERATION_PENDING.Enum(), AgentId: a.info.GetId(),
		},
	}}
	apply := &protocol.ApplyOperation{Info: info, OperationUuid: uuid}
	if f != nil {
		o.framework, o.msg.FrameworkId, apply.FrameworkId = f.id, f.info.GetId(), f.info.GetId()
	}
	m.addOperation(a, o)
	for _, c := range conversions {
		if f != nil {
			m.allocator.UpdateAllocation(f.id, a.id, c.Consumed, c.Converted)
		}
		a.total = a.total.Sub(c.Consumed.Unallocate()).Add(c.Converted.Unallocate())
	}
	if f == nil {
		m.allocator.UpdateAgent(m.now, a.id, a.options())
	}
	m.dirty.agent(a)
	m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_ApplyOperation{ApplyOperation: apply}})
}

// addOperation notes an operation. Its framework may know several by one ID: a leader
// that had not heard of the first accepted another.
func (m *Master) addOperation(a *agent, o *operation) {
	a.operations[o.uuid] = o
	m.operating.add(o.framework, o)
	if f := m.frameworks[o.framework]; f != nil && o.id() != "" {
		f.operations[o.id()] = append(f.operations[o.id()], o)
	}
	m.publish(view.OperationEvent(o.msg))
}

// adoptOperations gives a framework those that agents had of it before it was known.
func (m *Master) adoptOperations(f *framework) {
	for _, o := range m.operationsOf(f) {
		if o.id() != "" {
			f.operations[o.id()] = append(f.operations[o.id()], o)
		}
	}
}

// operationsOf returns a framework's operations, by agent and UUID.
func (m *Master) operationsOf(f *framework) []*operation {
	return slices.SortedFunc(maps.Keys(m.operating[f.id]), func(x, y *operation) int {
		return cmp.Or(cmp.Compare(x.agent, y.agent), cmp.Compare(x.uuid, y.uuid))
	})
}

func (m *Master) removeOperation(a *agent, o *operation) {
	delete(a.operations, o.uuid)
	m.operating.remove(o.framework, o)
	if f := m.frameworks[o.framework]; f != nil && o.id() != "" {
		if left := slices.DeleteFunc(f.operations[o.id()], func(x *operation) bool { return x == o }); len(left) > 0 {
			f.operations[o.id()] = left
		} else {
			delete(f.operations, o.id())
		}
	}
	m.publish(view.OperationRemovedEvent(o.agent, []byte(o.uuid)))
	m.checkDrained(a)
}

// failOperation tells a framework that an operation was not begun, if it gave it an ID.
// Mesos: src/master/master.cpp, Master::drop.
func (m *Master) failOperation(f *framework, op *mesos.Offer_Operation, text string) {
	if op.GetId().GetValue() == "" {
		return
	}
	m.operationStatus(f, &mesos.OperationStatus{
		OperationId: op.GetId(), State: mesos.OperationState_OPERATION_ERROR.Enum(), Message: proto.String(clip(text)),
	})
}

func (m *Master) operationStatus(f *framework, s *mesos.OperationStatus) {
	m.event(f, &scheduler.Event{
		Type:                  scheduler.Event_UPDATE_OPERATION_STATUS.Enum(),
		UpdateOperationStatus: &scheduler.Event_UpdateOperationStatus{Status: f.readsOperationStatus(s)},
	})
}

// operationUpdated takes in a status of an operation from its agent. The framework
// that gave it an ID acknowledges it; the others are acknowledged here.
// Mesos: src/master/master.cpp, Master::updateOperationStatus.
func (m *Master) operationUpdated(a *agent, msg *protocol.UpdateOperation) {
	o := a.operations[string(msg.GetOperationUuid())]
	s := msg.GetStatus()
	if s == nil || s.State == nil {
		return
	}
	if o == nil { // it is over, and the agent has not heard of that
		m.acknowledgeOperation(a, msg.GetOperationUuid(), s)
		return
	}
	s = o.complete(s)
	latest := s
	if msg.GetLatestStatus() != nil && msg.GetLatestStatus().State != nil {
		latest = o.complete(msg.GetLatestStatus())
	}
	m.setOperationState(o, s, latest)
	switch f := m.frameworks[o.framework]; {
	case f != nil && o.id() != "":
		if f.begun() {
			m.operationStatus(f, s)
			if s.GetState().Terminal() && s.Uuid == nil {
				m.removeOperation(a, o)
			}
		}
	default:
		m.acknowledgeOperation(a, msg.GetOperationUuid(), s)
		if s.GetState().Terminal() {
			m.removeOperation(a, o)
		}
	}
	if o.state().Terminal() && o.counted != (o.state() == mesos.OperationState_OPERATION_FINISHED) {
		// The agent has not what it was taken to have: let it say what it has.
		m.cutLink(a, "operation ended as "+o.state().String()+": register again")
	}
}

// complete fills in what the agent cannot know of a status, or has left out.
func (o *operation) complete(s *mesos.OperationStatus) *mesos.OperationStatus {
	c := &mesos.OperationStatus{
		OperationId: o.msg.GetInfo().GetId(), State: s.State, Message: s.Message, ConvertedResources: s.ConvertedResources,
		Uuid: s.Uuid, AgentId: o.msg.GetAgentId(), ResourceProviderId: s.ResourceProviderId,
	}
	if validateUUID(s.GetUuid().GetValue()) != nil {
		c.Uuid = nil // a framework acknowledges what has one, and it could not be passed on
	}
	return c
}

// setOperationState notes a status, and the state that the agent is in by now.
func (m *Master) setOperationState(o *operation, s, latest *mesos.OperationStatus) {
	msg := copyOperation(o.msg)
	if !o.state().Terminal() {
		msg.LatestStatus = latest
	}
	if n := len(msg.Statuses); n == 0 || !proto.Equal(msg.Statuses[n-1], s) {
		kept := msg.Statuses[max(0, n+1-maxStatuses):n:n]
		msg.Statuses = append(kept, s)
	}
	o.msg = msg
	m.publish(view.OperationEvent(msg))
}

// copyOperation returns an operation that may be changed; what it refers to is shared.
func copyOperation(o *mesos.Operation) *mesos.Operation {
	return &mesos.Operation{
		FrameworkId: o.FrameworkId, AgentId: o.AgentId, Info: o.Info, LatestStatus: o.LatestStatus, Statuses: o.Statuses, Uuid: o.Uuid,
	}
}

// acknowledgeOperation tells an agent that a status needs not be told again.
func (m *Master) acknowledgeOperation(a *agent, operation []byte, s *mesos.OperationStatus) {
	if s.Uuid == nil {
		return
	}
	m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_AcknowledgeOperation{
		AcknowledgeOperation: &protocol.AcknowledgeOperation{OperationUuid: operation, StatusUuid: s.GetUuid().GetValue()},
	}})
}

// operationAcknowledged passes on that a framework has taken in a status. A terminal
// one acknowledged is the end of its operation.
// Mesos: src/master/master.cpp, Master::acknowledgeOperationStatus.
func (m *Master) operationAcknowledged(f *framework, call *scheduler.Call_AcknowledgeOperationStatus) {
	a := m.agents[call.GetAgentId().GetValue()]
	if a == nil || a.link == nil {
		return
	}
	for _, o := range f.operations[call.GetOperationId().GetValue()] {
		if s := o.status(call.GetUuid()); s != nil && o.agent == a.id {
			m.acknowledgeOperation(a, []byte(o.uuid), s)
			if s.GetState().Terminal() {
				m.removeOperation(a, o)
				f.ended.add(o.id())
			}
			return
		}
	}
}

// status returns the one with a UUID.
func (o *operation) status(uuid []byte) *mesos.OperationStatus {
	for _, s := range o.msg.GetStatuses() {
		if s.Uuid != nil && bytes.Equal(s.GetUuid().GetValue(), uuid) {
			return s
		}
	}
	return nil
}

// mergeOperations makes an agent's operations those it says it has. What it has not
// ended yet is counted as done on top of its total. It returns those that it does not name.
func (m *Master) mergeOperations(a *agent, reg *protocol.Register) (missing []*operation) {
	named := map[string]bool{}
	for _, msg := range reg.GetOperations() {
		uuid := string(msg.GetUuid().GetValue())
		if validateUUID([]byte(uuid)) != nil || msg.GetInfo() == nil || msg.GetLatestStatus() == nil || msg.GetLatestStatus().State == nil || named[uuid] {
			continue
		}
		named[uuid] = true
		o := a.operations[uuid]
		if o == nil {
			own := copyOperation(msg)
			own.AgentId = a.info.GetId()
			o = &operation{uuid: uuid, agent: a.id, framework: msg.GetFrameworkId().GetValue(), msg: own}
			m.addOperation(a, o)
		} else if !o.state().Terminal() && msg.GetLatestStatus().GetState().Terminal() {
			o.msg = copyOperation(o.msg)
			o.msg.LatestStatus = o.complete(msg.GetLatestStatus())
			m.publish(view.OperationEvent(o.msg))
		}
		o.counted = o.state() == mesos.OperationState_OPERATION_FINISHED
		if o.state().Terminal() {
			continue
		}
		conversions, err := resource.Convert(o.msg.GetInfo())
		for i := range conversions {
			conversions[i] = conversions[i].Unallocate()
		}
		if total, no := a.total.Apply(conversions...); err == nil && no == nil {
			a.total, o.counted = total, true
		}
	}
	for _, uuid := range sortedKeys(a.operations) {
		if !named[uuid] {
			o := a.operations[uuid]
			o.counted = o.state() == mesos.OperationState_OPERATION_FINISHED
			missing = append(missing, o)
		}
	}
	return missing
}

// askForOperations asks an agent for the operations that it did not name.
func (m *Master) askForOperations(a *agent, missing []*operation) {
	if len(missing) == 0 {
		return
	}
	ask := &protocol.ReconcileOperations{}
	for _, o := range missing {
		ask.OperationUuids = append(ask.OperationUuids, []byte(o.uuid))
	}
	m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_ReconcileOperations{ReconcileOperations: ask}})
}

// loseOperations forgets an agent's operations and tells their frameworks what has
// become of them. Mesos: src/master/master.cpp, Master::sendBulkOperationFeedback.
func (m *Master) loseOperations(a *agent, state mesos.OperationState, text string) {
	for _, uuid := range sortedKeys(a.operations) {
		o := a.operations[uuid]
		m.removeOperation(a, o)
		if f := m.frameworks[o.framework]; f != nil && o.id() != "" {
			m.operationStatus(f, &mesos.OperationStatus{
				OperationId: o.msg.GetInfo().GetId(), State: state.Enum(), Message: proto.String(text), AgentId: a.info.GetId(),
			})
		}
	}
}

// orphanOperations lets go of a framework's operations: nobody will acknowledge
// what their agents say of them, so it is done here.
func (m *Master) orphanOperations(f *framework) {
	for _, o := range m.operationsOf(f) {
		a := m.agents[o.agent]
		if n := len(o.msg.GetStatuses()); a.link != nil && n > 0 && o.state().Terminal() {
			m.acknowledgeOperation(a, []byte(o.uuid), o.msg.GetStatuses()[n-1])
			m.removeOperation(a, o)
		}
	}
}

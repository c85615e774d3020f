package view

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/protocol"
)

// Events returns the facts that make an empty view equal to this one: reset, every
// fact in a fixed order, synced.
func (v *View) Events() []*protocol.ViewEvent {
	out := []*protocol.ViewEvent{{Event: &protocol.ViewEvent_Reset_{Reset_: &protocol.Reset{}}}}
	add := func(e *protocol.ViewEvent) { out = append(out, e) }
	if v.master != nil {
		add(&protocol.ViewEvent{Event: &protocol.ViewEvent_Master_{Master: v.master}})
	}
	for _, w := range v.Weights() {
		add(WeightEvent(w))
	}
	for _, c := range v.quotas.values() {
		add(QuotaEvent(c))
	}
	for _, a := range v.recovered.values() {
		add(&protocol.ViewEvent{Event: &protocol.ViewEvent_RecoveredAgent{RecoveredAgent: a}})
	}
	for _, a := range v.agents.values() {
		add(AgentEvent(a))
	}
	for _, id := range v.unreachable.keys() {
		add(AgentRemovedEvent(id, true))
	}
	for _, f := range v.completed.values() {
		f.events(add)
		add(FrameworkRemovedEvent(f.id))
	}
	for _, f := range v.frameworks.values() {
		f.events(add)
	}
	for _, e := range v.executors.values() {
		add(ExecutorEvent(e))
	}
	for _, o := range v.offers.values() {
		add(OfferEvent(o))
	}
	for _, o := range v.inverse.values() {
		add(InverseOfferEvent(o))
	}
	if v.maintenance != nil {
		add(MaintenanceEvent(v.maintenance))
	}
	for _, o := range v.operations.values() {
		add(OperationEvent(o))
	}
	return append(out, &protocol.ViewEvent{Event: &protocol.ViewEvent_Synced{Synced: &protocol.Synced{}}})
}

func (f *framework) events(add func(*protocol.ViewEvent)) {
	if f.fact != nil {
		add(FrameworkEvent(f.fact))
	}
	for _, t := range f.completed.values() {
		add(TaskEvent(t, nil, false))
		add(TaskRemovedEvent(f.id, t.GetTaskId().GetValue(), true))
	}
	for _, id := range f.lost {
		t, _ := f.unreachable.get(id)
		add(TaskEvent(t, nil, true))
	}
	for _, t := range f.tasks.values() {
		add(TaskEvent(t, nil, false))
	}
}

// MasterEvent tells who leads.
func MasterEvent(m *protocol.ViewEvent_Master) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_Master_{Master: m}}
}

// AgentEvent tells of an agent that was admitted or has changed.
func AgentEvent(a *master.Response_GetAgents_Agent) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_Agent{Agent: a}}
}

// AgentRemovedEvent tells that an agent is no longer registered.
func AgentRemovedEvent(id string, unreachable bool) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_AgentRemoved_{AgentRemoved: &protocol.ViewEvent_AgentRemoved{
		AgentId: &mesos.AgentID{Value: &id}, Unreachable: proto.Bool(unreachable)}}}
}

// RecoveredAgentEvent tells of an agent known from the registry alone.
func RecoveredAgentEvent(a *mesos.AgentInfo) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_RecoveredAgent{RecoveredAgent: a}}
}

// FrameworkEvent tells of a framework that is new or has changed.
func FrameworkEvent(f *master.Response_GetFrameworks_Framework) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_Framework{Framework: f}}
}

// FrameworkRemovedEvent tells that a framework is completed.
func FrameworkRemovedEvent(id string) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_FrameworkRemoved_{
		FrameworkRemoved: &protocol.ViewEvent_FrameworkRemoved{FrameworkId: &mesos.FrameworkID{Value: &id}}}}
}

// TaskEvent tells of a task that is new or has changed; status is what changed it, if one did.
func TaskEvent(t *mesos.Task, status *mesos.TaskStatus, unreachable bool) *protocol.ViewEvent {
	e := &struct { // one piece of memory: an agent that comes back makes one for each task
		event protocol.ViewEvent
		kind  protocol.ViewEvent_Task
		task  protocol.ViewEvent_TaskUpdated
	}{}
	e.task.Task, e.task.Status = t, status
	if unreachable {
		e.task.Unreachable = proto.Bool(true)
	}
	e.kind.Task = &e.task
	e.event.Event = &e.kind
	return &e.event
}

// TaskRemovedEvent tells that a task is no more; completed keeps it as history.
func TaskRemovedEvent(framework, task string, completed bool) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_TaskRemoved_{TaskRemoved: &protocol.ViewEvent_TaskRemoved{
		FrameworkId: &mesos.FrameworkID{Value: &framework}, TaskId: &mesos.TaskID{Value: &task}, Completed: proto.Bool(completed)}}}
}

// WeightEvent tells of a role's weight.
func WeightEvent(w *mesos.WeightInfo) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_Role{Role: &mesos.Role{Name: proto.String(w.GetRole()), Weight: w.Weight}}}
}

// QuotaEvent tells of a role's quota, or that it has none any more.
func QuotaEvent(c *quota.QuotaConfig) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_Quota{Quota: c}}
}

// OfferEvent tells of an outstanding offer.
func OfferEvent(o *mesos.Offer) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_Offer{Offer: o}}
}

// OfferRemovedEvent tells that an offer was used, declined or taken back.
func OfferRemovedEvent(id string) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_OfferRemoved_{
		OfferRemoved: &protocol.ViewEvent_OfferRemoved{OfferId: &mesos.OfferID{Value: &id}}}}
}

// OperationEvent tells of an operation that is new or has changed.
func OperationEvent(o *mesos.Operation) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_Operation{Operation: o}}
}

// OperationRemovedEvent tells that an operation has ended and its end is known.
func OperationRemovedEvent(agent string, uuid []byte) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_OperationRemoved_{OperationRemoved: &protocol.ViewEvent_OperationRemoved{
		AgentId: &mesos.AgentID{Value: &agent}, OperationUuid: uuid}}}
}

// InverseOfferEvent tells of an outstanding inverse offer.
func InverseOfferEvent(o *mesos.InverseOffer) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_InverseOffer{InverseOffer: o}}
}

// InverseOfferRemovedEvent tells that an inverse offer was answered or taken back.
func InverseOfferRemovedEvent(id string) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_InverseOfferRemoved{
		InverseOfferRemoved: &protocol.ViewEvent_OfferRemoved{OfferId: &mesos.OfferID{Value: &id}}}}
}

// MaintenanceEvent tells of the maintenance schedule and what was answered to it.
func MaintenanceEvent(e *protocol.ViewEvent_Maintenance) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_Maintenance_{Maintenance: e}}
}

// ExecutorEvent tells of an executor; its info carries its framework's ID.
func ExecutorEvent(e *master.Response_GetExecutors_Executor) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_Executor{Executor: e}}
}

// ExecutorRemovedEvent tells that an executor has ended.
func ExecutorRemovedEvent(framework, agent, executor string) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_ExecutorRemoved_{ExecutorRemoved: &protocol.ViewEvent_ExecutorRemoved{
		FrameworkId: &mesos.FrameworkID{Value: &framework}, AgentId: &mesos.AgentID{Value: &agent},
		ExecutorId: &mesos.ExecutorID{Value: &executor}}}}
}

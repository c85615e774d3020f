package view

import (
	"slices"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/protocol"
)

// View is the cluster as its leader last told it. The zero value is not usable.
// One goroutine may use a View at a time; a clone may be used by another.
type View struct {
	owner       *owner // of what this view may write in place
	synced      bool
	master      *protocol.ViewEvent_Master // its bounds of history have defaults
	agents      table[string, *master.Response_GetAgents_Agent]
	recovered   table[string, *mesos.AgentInfo]
	unreachable table[string, struct{}] // agents
	frameworks  table[string, *framework]
	completed   history[*framework]
	offers      table[string, *mesos.Offer]
	inverse     table[string, *mesos.InverseOffer]
	maintenance *protocol.ViewEvent_Maintenance // nil: none was ever planned
	executors   table[string, *master.Response_GetExecutors_Executor]
	operations  table[string, *mesos.Operation] // by agent and UUID
	roles       table[string, *mesos.Role]      // that were given a weight
	quotas      table[string, *quota.QuotaConfig]
}

// framework is one framework with its tasks.
type framework struct {
	id          string
	fact        *master.Response_GetFrameworks_Framework // nil while only its tasks are known
	tasks       table[string, *mesos.Task]
	unreachable table[string, *mesos.Task]
	lost        []string // the unreachable tasks, those lost first first
	completed   history[*mesos.Task]
	owner       *owner
}

// New returns an empty view.
func New() *View { return &View{owner: new(owner)} }

// Clone returns a copy at next to no cost. The caller of Clone must own the
// view; the copy may be handed to another goroutine.
func (v *View) Clone() *View {
	c := *v
	v.owner, c.owner = new(owner), new(owner)
	return &c
}

// framework returns a framework that may be written, made if need be.
func (v *View) framework(id string) *framework {
	f, ok := v.frameworks.get(id)
	switch {
	case !ok:
		f = &framework{id: id, owner: v.owner}
	case f.owner == v.owner:
		return f
	default:
		c := *f
		c.lost, c.owner = slices.Clone(f.lost), v.owner
		f = &c
	}
	v.frameworks.set(v.owner, id, f)
	return f
}

// Apply takes in one fact.
func (v *View) Apply(e *protocol.ViewEvent) {
	switch e := e.GetEvent().(type) {
	case *protocol.ViewEvent_Reset_:
		*v = *New()
	case *protocol.ViewEvent_Synced:
		v.synced = true
	case *protocol.ViewEvent_Master_:
		v.master = e.Master
	case *protocol.ViewEvent_Agent:
		v.applyAgent(e.Agent)
	case *protocol.ViewEvent_AgentRemoved_:
		v.applyAgentRemoved(e.AgentRemoved)
	case *protocol.ViewEvent_Framework:
		v.framework(e.Framework.GetFrameworkInfo().GetId().GetValue()).fact = e.Framework
	case *protocol.ViewEvent_FrameworkRemoved_:
		v.applyFrameworkRemoved(e.FrameworkRemoved.GetFrameworkId().GetValue())
	case *protocol.ViewEvent_Task:
		v.applyTask(e.Task)
	case *protocol.ViewEvent_TaskRemoved_:
		v.applyTaskRemoved(e.TaskRemoved)
	case *protocol.ViewEvent_Offer:
		v.offers.set(v.owner, e.Offer.GetId().GetValue(), e.Offer)
	case *protocol.ViewEvent_OfferRemoved_:
		v.offers.delete(v.owner, e.OfferRemoved.GetOfferId().GetValue())
	case *protocol.ViewEvent_InverseOffer:
		v.inverse.set(v.owner, e.InverseOffer.GetId().GetValue(), e.InverseOffer)
	case *protocol.ViewEvent_InverseOfferRemoved:
		v.inverse.delete(v.owner, e.InverseOfferRemoved.GetOfferId().GetValue())
	case *protocol.ViewEvent_Maintenance_:
		v.maintenance = e.Maintenance
	case *protocol.ViewEvent_Operation:
		v.operations.set(v.owner, operationKey(e.Operation.GetAgentId(), e.Operation.GetUuid().GetValue()), e.Operation)
	case *protocol.ViewEvent_OperationRemoved_:
		v.operations.delete(v.owner, operationKey(e.OperationRemoved.GetAgentId(), e.OperationRemoved.GetOperationUuid()))
	case *protocol.ViewEvent_RecoveredAgent:
		id := e.RecoveredAgent.GetId().GetValue()
		v.agents.delete(v.owner, id)
		v.unreachable.delete(v.owner, id)
		v.recovered.set(v.owner, id, e.RecoveredAgent)
	case *protocol.ViewEvent_Role:
		v.roles.set(v.owner, e.Role.GetName(), e.Role)
	case *protocol.ViewEvent_Quota:
		if len(e.Quota.GetGuarantees())+len(e.Quota.GetLimits()) == 0 {
			v.quotas.delete(v.owner, e.Quota.GetRole())
		} else {
			v.quotas.set(v.owner, e.Quota.GetRole(), e.Quota)
		}
	case *protocol.ViewEvent_Executor:
		info := e.Executor.GetExecutorInfo()
		v.executors.set(v.owner, executorKey(info.GetFrameworkId().GetValue(), e.Executor.GetAgentId().GetValue(),
			info.GetExecutorId().GetValue()), e.Executor)
	case *protocol.ViewEvent_ExecutorRemoved_:
		r := e.ExecutorRemoved
		v.executors.delete(v.owner, executorKey(r.GetFrameworkId().GetValue(), r.GetAgentId().GetValue(), r.GetExecutorId().GetValue()))
	}
}

func executorKey(framework, agent, executor string) string {
	return framework + "\x00" + agent + "\x00" + executor
}

func operationKey(agent *mesos.AgentID, uuid []byte) string {
	return agent.GetValue() + "\x00" + string(uuid)
}

func (v *View) applyAgent(a *master.Response_GetAgents_Agent) {
	id := a.GetAgentInfo().GetId().GetValue()
	v.agents.set(v.owner, id, a)
	v.recovered.delete(v.owner, id)
	v.unreachable.delete(v.owner, id)
}

func (v *View) applyAgentRemoved(r *protocol.ViewEvent_AgentRemoved) {
	id := r.GetAgentId().GetValue()
	v.agents.delete(v.owner, id)
	v.recovered.delete(v.owner, id)
	if r.GetUnreachable() {
		v.unreachable.set(v.owner, id, struct{}{})
	} else {
		v.unreachable.delete(v.owner, id)
	}
}

func (v *View) applyFrameworkRemoved(id string) {
	f, ok := v.frameworks.get(id)
	if !ok {
		return
	}
	v.frameworks.delete(v.owner, id)
	if f.fact != nil {
		v.completed.add(v.owner, f, int(v.master.GetMaxCompletedFrameworks()))
	}
}

func (v *View) applyTask(u *protocol.ViewEvent_TaskUpdated) {
	id := u.GetTask().GetTaskId().GetValue()
	f := v.framework(u.GetTask().GetFrameworkId().GetValue())
	if !u.GetUnreachable() {
		f.found(id)
		f.tasks.set(f.owner, id, u.GetTask())
		return
	}
	f.tasks.delete(f.owner, id)
	if _, ok := f.unreachable.get(id); !ok {
		f.lost = append(f.lost, id)
	}
	f.unreachable.set(f.owner, id, u.GetTask())
	for len(f.lost) > int(v.master.GetMaxUnreachableTasksPerFramework()) {
		f.found(f.lost[0])
	}
}

// found forgets that a task is unreachable.
func (f *framework) found(id string) {
	if _, ok := f.unreachable.get(id); ok {
		f.unreachable.delete(f.owner, id)
		i := slices.Index(f.lost, id)
		f.lost = slices.Delete(f.lost, i, i+1)
	}
}

func (v *View) applyTaskRemoved(r *protocol.ViewEvent_TaskRemoved) {
	id := r.GetTaskId().GetValue()
	if _, ok := v.frameworks.get(r.GetFrameworkId().GetValue()); !ok {
		return
	}
	f := v.framework(r.GetFrameworkId().GetValue())
	t, ok := f.tasks.get(id)
	if !ok {
		t, ok = f.unreachable.get(id)
	}
	f.tasks.delete(f.owner, id)
	f.found(id)
	if ok && r.GetCompleted() {
		f.completed.add(f.owner, t, int(v.master.GetMaxCompletedTasksPerFramework()))
	}
}

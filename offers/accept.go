package offers

import (
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/resource"
)

// accept uses offers: one operation after the other converts what they hold or
// launches tasks on it, and the rest is declined. Every task it names gets a status,
// now or from its agent.
// Mesos: src/master/master.cpp, Master::accept and Master::_accept.
func (m *Master) accept(f *framework, call *scheduler.Call_Accept) {
	offers, err := m.usable(f, call.GetOfferIds())
	if err != nil {
		m.acceptFailed(f, call, err)
		return
	}
	x := &acceptance{m: m, framework: f, agent: offers[0].agent, role: offers[0].role}
	for _, o := range offers {
		m.takeOffer(o)
		x.offered = x.offered.Add(o.resources)
	}
	x.remaining, x.shared = x.offered, x.offered.Shared()
	for _, op := range call.GetOperations() {
		x.apply(op)
	}
	x.giveBack(call.GetFilters())
}

// usable returns the offers of an ACCEPT, which must all be the framework's, of one
// agent and of one role.
// Mesos: src/master/validation.cpp, offer::validate.
func (m *Master) usable(f *framework, ids []*mesos.OfferID) ([]*offer, error) {
	if len(ids) == 0 {
		return nil, answerf("No offers specified")
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id.GetValue()] {
			return nil, answerf("Duplicate offer %s in offer list", id.GetValue())
		}
		seen[id.GetValue()] = true
	}
	var out []*offer
	for _, id := range ids {
		o := m.offers[id.GetValue()]
		if o == nil {
			return nil, answerf("Offer %s is no longer valid", id.GetValue())
		}
		out = append(out, o)
	}
	for _, o := range out {
		if o.framework != f {
			return nil, answerf("Offer %s has invalid framework %s while framework %s is expected", o.id, o.framework.id, f.id)
		}
	}
	first := out[0]
	for _, o := range out {
		if o.role != first.role {
			return nil, answerf("Aggregated offers must be allocated to the same role. Offer %s uses role '%s' "+
				"but another is using role '%s'", o.id, o.role, first.role)
		}
	}
	for _, o := range out {
		if o.agent != first.agent {
			return nil, answerf("Aggregated offers must belong to one single agent. Offer %s uses agent %s and agent %s",
				o.id, o.agent.id, first.agent.id)
		}
	}
	return out, nil
}

// acceptFailed answers an ACCEPT whose offers cannot be used: those of them that
// are the framework's are given up, and no task is launched.
func (m *Master) acceptFailed(f *framework, call *scheduler.Call_Accept, why error) {
	for _, id := range call.GetOfferIds() {
		if o := f.offers[id.GetValue()]; o != nil {
			m.discard(o, nil)
		}
	}
	text := clip(why.Error())
	for _, op := range call.GetOperations() {
		for _, t := range Launched(op) {
			m.tell(f, m.status(t.GetTaskId().GetValue(), t.GetAgentId().GetValue(), "", mesos.TaskState_TASK_DROPPED,
				mesos.TaskStatus_REASON_INVALID_OFFERS, "Task launched with invalid offers: "+text))
		}
		if !launches(op) {
			m.failOperation(f, op, "Operation attempted with invalid offers: "+text)
		}
	}
}

// launches reports whether an operation is one of those that start tasks.
func launches(op *mesos.Offer_Operation) bool {
	return op.GetType() == mesos.Offer_Operation_LAUNCH || op.GetType() == mesos.Offer_Operation_LAUNCH_GROUP
}

// Launched returns the tasks that an operation is to start, those of its type alone.
func Launched(op *mesos.Offer_Operation) []*mesos.TaskInfo {
	switch op.GetType() {
	case mesos.Offer_Operation_LAUNCH:
		return op.GetLaunch().GetTaskInfos()
	case mesos.Offer_Operation_LAUNCH_GROUP:
		return op.GetLaunchGroup().GetTaskGroup().GetTasks()
	}
	return nil
}

// acceptance is one ACCEPT being carried out.
type acceptance struct {
	m         *Master
	framework *framework
	agent     *agent
	role      string
	offered   resource.Set // allocated to role, as all of these
	remaining resource.Set // of the offers, and what operations made of it
	shared    resource.Set // volumes of the offers that tasks may use as often as they like
	resized   resource.Set // volumes that no later operation of the call may use
}

func (x *acceptance) apply(op *mesos.Offer_Operation) {
	switch op.GetType() {
	case mesos.Offer_Operation_LAUNCH:
		for _, t := range op.GetLaunch().GetTaskInfos() {
			if op.Id != nil {
				x.reject(t, mesos.TaskStatus_REASON_TASK_INVALID, "The `id` field cannot be set on LAUNCH operations")
				continue
			}
			x.launch(t)
		}
	case mesos.Offer_Operation_LAUNCH_GROUP:
		x.applyGroup(op)
	case mesos.Offer_Operation_UNKNOWN:
		// As in Mesos: an operation of a later version.
	default:
		x.convert(op)
	}
}

// reject tells the framework that a task was not launched for what it says.
func (x *acceptance) reject(t *mesos.TaskInfo, r mesos.TaskStatus_Reason, text string) {
	x.m.tell(x.framework, x.m.status(t.GetTaskId().GetValue(), t.GetAgentId().GetValue(), "",
		mesos.TaskState_TASK_ERROR, r, text))
}

// launch starts one task on what remains of the offers.
func (x *acceptance) launch(info *mesos.TaskInfo) {
	w, err := x.prepare(info)
	if err == nil {
		err = x.validate(w)
	}
	if err != nil {
		x.reject(info, mesos.TaskStatus_REASON_TASK_INVALID, err.Error())
		return
	}
	if e := w.info.GetExecutor(); e != nil {
		x.startExecutor(e, w.executor)
	}
	x.start(w)
	x.m.toAgent(x.agent, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_RunTask{RunTask: &protocol.RunTask{
		Framework: x.framework.info, Tasks: []*mesos.TaskInfo{w.info},
	}}})
}

// applyGroup starts all tasks of a group on one executor, or none of them.
func (x *acceptance) applyGroup(op *mesos.Offer_Operation) {
	group := op.GetLaunchGroup().GetTaskGroup().GetTasks()
	fail := func(text string) {
		for _, t := range group {
			x.reject(t, mesos.TaskStatus_REASON_TASK_GROUP_INVALID, text)
		}
	}
	if op.Id != nil {
		fail("The `id` field cannot be set on LAUNCH_GROUP operations")
		return
	}
	if len(group) == 0 {
		return
	}
	g, err := x.prepareGroup(op.GetLaunchGroup())
	if err == nil {
		err = x.validateGroup(g)
	}
	if err != nil {
		fail(err.Error())
		return
	}
	x.startExecutor(g.executor, g.resources)
	run := &protocol.RunTask{Framework: x.framework.info, Executor: g.executor}
	for _, w := range g.tasks {
		x.start(w)
		run.Tasks = append(run.Tasks, w.info)
	}
	x.m.toAgent(x.agent, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_RunTask{RunTask: run}})
}

// hasExecutor reports whether the framework has an executor of that ID on the agent.
func (x *acceptance) hasExecutor(id string) bool {
	return x.agent.executors[x.framework.id][id] != nil
}

// startExecutor counts an executor that is not there yet.
func (x *acceptance) startExecutor(info *mesos.ExecutorInfo, res resource.Set) {
	if x.hasExecutor(info.GetExecutorId().GetValue()) {
		return
	}
	x.spend(res)
	x.m.addExecutor(x.agent, x.framework, info, res)
}

func (x *acceptance) start(w *work) {
	x.spend(w.resources)
	x.m.addTask(x.agent, newTask(x.framework, w.info, w.resources))
}

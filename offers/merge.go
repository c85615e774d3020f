package offers

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/resource"
	"muster/offers/view"
)

// adoptFrameworks brings in the frameworks of an agent's tasks that are not known,
// and gives the agent the info of those that are.
func (m *Master) adoptFrameworks(a *agent, reg *protocol.Register) {
	for _, info := range reg.GetFrameworks() {
		m.adoptOrTell(a, info)
	}
	for _, t := range reg.GetTasks() {
		// An agent ought to name the framework of every task; a task it forgot one
		// for is not lost because of that.
		if id := t.GetFrameworkId().GetValue(); id != "" && m.frameworks[id] == nil {
			m.adoptOrTell(a, &mesos.FrameworkInfo{User: proto.String(t.GetUser()), Name: proto.String(id), Id: t.GetFrameworkId()})
		}
	}
}

func (m *Master) adoptOrTell(a *agent, info *mesos.FrameworkInfo) {
	id := info.GetId().GetValue()
	switch f := m.frameworks[id]; {
	case id == "" || m.wasRemoved(id):
	case f == nil:
		m.adoptFramework(info)
	case f.admitted && !proto.Equal(f.info, info):
		m.tellAgent(a, f)
	}
}

// shutdownRemoved tells an agent which of its frameworks have ended.
func (m *Master) shutdownRemoved(a *agent, reg *protocol.Register) {
	gone := map[string]bool{}
	note := func(id *mesos.FrameworkID) {
		if m.wasRemoved(id.GetValue()) {
			gone[id.GetValue()] = true
		}
	}
	for _, info := range reg.GetFrameworks() {
		note(info.GetId())
	}
	for _, t := range reg.GetTasks() {
		note(t.GetFrameworkId())
	}
	for _, id := range sortedKeys(gone) {
		m.shutdownFramework(a, id)
	}
}

// mergeExecutors makes an agent's executors those it says it has.
func (m *Master) mergeExecutors(a *agent, reg *protocol.Register) {
	if len(reg.GetExecutors())+len(a.executors) == 0 {
		return
	}
	have := map[[2]string]bool{}
	for _, info := range reg.GetExecutors() {
		f := m.frameworks[info.GetFrameworkId().GetValue()]
		id := info.GetExecutorId().GetValue()
		if f == nil || id == "" {
			continue
		}
		have[[2]string{f.id, id}] = true
		if a.executors[f.id][id] == nil {
			res, _ := m.allocated(f, info.GetResources())
			m.addExecutor(a, f, info, res)
		}
	}
	for _, t := range reg.GetTasks() { // what still has a task is there, named or not
		if !t.GetState().Terminal() {
			have[[2]string{t.GetFrameworkId().GetValue(), t.GetExecutorId().GetValue()}] = true
		}
	}
	for _, f := range sortedKeys(a.executors) {
		for _, id := range sortedKeys(a.executors[f]) {
			if !have[[2]string{f, id}] {
				m.removeExecutor(a, f, id)
			}
		}
	}
}

// allocated returns what an agent says something uses, allocated to a role, and
// whether it said to which. What makes no sense counts nothing: the agent is the
// one to mind.
func (m *Master) allocated(f *framework, rs []*mesos.Resource) (set resource.Set, said bool) {
	set, err := resource.FromProto(rs)
	if err != nil {
		return resource.Set{}, false
	}
	none := set.AllocatedTo("")
	if none.Empty() {
		return set, true
	}
	role := "*"
	if len(f.roles) > 0 {
		role = f.roles[0]
	}
	return set.Sub(none).Add(none.Allocate(role)), false
}

// mergeTasks makes an agent's tasks those it says it has, and returns them. It is
// asked for those it does not name, and told again to kill what is to be killed.
func (m *Master) mergeTasks(a *agent, reg *protocol.Register) []*task {
	found := make([]*task, 0, len(reg.GetTasks()))
	for _, msg := range reg.GetTasks() {
		key := taskKey{msg.GetFrameworkId().GetValue(), msg.GetTaskId().GetValue()}
		f := m.frameworks[key.framework]
		if f == nil || key.task == "" {
			continue
		}
		t := a.tasks.get(key)
		switch {
		case t == nil:
			t = m.adoptTask(a, f, msg)
		case t.named:
			continue
		default:
			m.refresh(a, t, msg)
		}
		t.named = true
		found = append(found, t)
		if (t.kill != nil || t.duplicate) && !t.freed {
			m.sendKill(a, t)
		}
	}
	m.askForUnnamed(a)
	return found
}

// askForUnnamed asks an agent for the tasks that it did not name.
func (m *Master) askForUnnamed(a *agent) {
	var ask *protocol.Reconcile
	for _, t := range a.tasks {
		if !t.named {
			if ask == nil {
				ask = &protocol.Reconcile{}
			}
			ask.Tasks = append(ask.Tasks, &protocol.Reconcile_Task{FrameworkId: frameworkID(t.framework), TaskId: taskID(t.id)})
		}
		t.named = false
	}
	if ask != nil {
		m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_Reconcile{Reconcile: ask}})
	}
}

// adoptTask brings in a task that an agent runs and this leader does not know.
func (m *Master) adoptTask(a *agent, f *framework, msg *mesos.Task) *task {
	res, said := m.allocated(f, msg.GetResources())
	if !said || msg.State == nil || msg.Name == nil || msg.GetAgentId().GetValue() != a.id {
		msg = copyTask(msg)
		msg.AgentId = a.info.GetId()
		msg.Resources = res.Proto()
		if msg.State == nil {
			msg.State = mesos.TaskState_TASK_UNKNOWN.Enum()
		}
		if msg.Name == nil {
			msg.Name = proto.String("")
		}
	}
	t := &task{
		id: msg.GetTaskId().GetValue(), framework: f.id, agent: a.id, executorID: msg.GetExecutorId().GetValue(),
		msg: msg, resources: res,
	}
	if other := f.tasks[t.id]; other != nil && other.agent != a.id {
		t.duplicate = true
	}
	if lost := f.unreachable[t.id]; lost != nil && lost.agent == a.id {
		t.kill = lost.kill
		m.forgetLost(f, t.id)
	}
	m.addTask(a, t)
	return t
}

// refresh takes in how an agent's task has gone on while the agent was away.
func (m *Master) refresh(a *agent, t *task, msg *mesos.Task) {
	if t.msg.GetState().Terminal() || msg.State == nil || msg.GetState() == t.msg.GetState() {
		return
	}
	own := copyTask(t.msg)
	own.State = msg.State
	if len(msg.GetStatuses()) > 0 {
		own.Statuses = msg.GetStatuses()
	}
	t.msg = own
	if own.GetState().Terminal() {
		m.release(a, t)
	}
	if !t.duplicate {
		m.publish(view.TaskEvent(own, nil, false))
	}
}

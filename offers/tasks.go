package offers

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/resource"
	"muster/offers/view"
)

// maxStatuses bounds the history that a task carries, whatever its agent says.
const maxStatuses = 32

// taskKey names a task on an agent.
type taskKey struct{ framework, task string }

func (k taskKey) compare(o taskKey) int {
	if c := strings.Compare(k.framework, o.framework); c != 0 {
		return c
	}
	return strings.Compare(k.task, o.task)
}

// taskList is the tasks of an agent, sorted by their keys: a map for each of many
// agents would take ten times the memory.
type taskList []*task

func (l taskList) find(k taskKey) (int, bool) {
	return slices.BinarySearchFunc(l, k, func(t *task, k taskKey) int { return t.key().compare(k) })
}

// get returns the task with the key, or nil.
func (l taskList) get(k taskKey) *task {
	if i, found := l.find(k); found {
		return l[i]
	}
	return nil
}

// put adds a task, in the place of one with its key.
func (l *taskList) put(t *task) {
	i, found := l.find(t.key())
	if found {
		(*l)[i] = t
		return
	}
	*l = slices.Insert(*l, i, t)
}

func (l *taskList) remove(k taskKey) {
	if i, found := l.find(k); found {
		*l = slices.Delete(*l, i, i+1)
	}
}

// task is one task that is not both terminal and acknowledged.
type task struct {
	id, framework, agent, executorID string

	msg       *mesos.Task // replaced, never modified, when the task changes
	resources resource.Set
	freed     bool // its resources are no longer in use
	kill      *scheduler.Call_Kill
	duplicate bool // another agent runs a task of the same ID: this one is being killed
	named     bool // its agent has named it in the registration that is being looked at
}

func (t *task) key() taskKey { return taskKey{t.framework, t.id} }

// executor is one that is more than the inside of a command task.
type executor struct {
	info      *mesos.ExecutorInfo // with its framework's ID
	resources resource.Set
	started   bool // a task of it has got beyond staging
}

// seen returns the state that the framework has been told last.
func (t *task) seen() mesos.TaskState {
	if t.msg.StatusUpdateState != nil {
		return t.msg.GetStatusUpdateState()
	}
	return t.msg.GetState()
}

// addTask brings in a task of an agent and counts what it uses.
func (m *Master) addTask(a *agent, t *task) {
	a.tasks.put(t)
	f := m.frameworks[t.framework]
	if !t.duplicate && f != nil {
		f.tasks[t.id] = t
	}
	if t.msg.GetState().Terminal() {
		t.freed = true
	} else {
		m.use(a, f, t.resources)
	}
	if !t.duplicate {
		m.publish(view.TaskEvent(t.msg, nil, false))
	}
}

// removeTask forgets a task that is over.
func (m *Master) removeTask(t *task) {
	a, f := m.agents[t.agent], m.frameworks[t.framework]
	if a != nil {
		m.release(a, t)
		a.tasks.remove(t.key())
		m.checkDrained(a)
	}
	if f != nil && f.tasks[t.id] == t {
		delete(f.tasks, t.id)
	}
	if !t.duplicate {
		m.publish(view.TaskRemovedEvent(t.framework, t.id, true))
	}
}

// release gives back what a task uses, once.
func (m *Master) release(a *agent, t *task) {
	if t.freed {
		return
	}
	t.freed = true
	m.free(a, m.frameworks[t.framework], t.resources)
	m.recover(t.framework, a.id, t.resources, nil)
	m.releaseExecutor(a, t)
}

// releaseExecutor forgets the executor of a task that is over when it was the last
// one of a pod, or of an executor that never started: none of these says that it exits.
func (m *Master) releaseExecutor(a *agent, t *task) {
	e := a.executors[t.framework][t.executorID]
	if e == nil || e.started && e.info.GetType() != mesos.ExecutorInfo_DEFAULT {
		return
	}
	for _, o := range a.tasks {
		if !o.freed && o.framework == t.framework && o.executorID == t.executorID {
			return
		}
	}
	m.removeExecutor(a, t.framework, t.executorID)
}

// setState takes in a status of a task: its latest state may be ahead of it. What a
// terminal task used is free.
// Mesos: src/master/master.cpp, Master::updateTask.
func (m *Master) setState(t *task, s *mesos.TaskStatus, latest ...mesos.TaskState) {
	state := s.GetState()
	for _, l := range latest {
		state = l
	}
	msg := copyTask(t.msg)
	if !msg.GetState().Terminal() {
		msg.State = state.Enum()
	}
	kept := s
	if s.Data != nil {
		kept = copyStatus(s)
		kept.Data = nil
	}
	n := len(msg.Statuses)
	if n > 0 && msg.Statuses[n-1].GetState() == s.GetState() {
		n--
	}
	old := msg.Statuses[:n:n]
	if n >= maxStatuses {
		old = old[1:n:n]
	}
	msg.Statuses = append(old, kept)
	t.msg = msg
	if a := m.agents[t.agent]; a != nil {
		switch e := a.executors[t.framework][t.executorID]; {
		case msg.GetState().Terminal():
			m.release(a, t)
		case e != nil && msg.GetState() != mesos.TaskState_TASK_STAGING:
			e.started = true
		}
	}
	if !t.duplicate {
		m.publish(view.TaskEvent(msg, kept, false))
	}
}

// setSeen notes what the framework has been told with an update it must acknowledge.
func (t *task) setSeen(s *mesos.TaskStatus) {
	msg := copyTask(t.msg)
	msg.StatusUpdateState = s.GetState().Enum()
	msg.StatusUpdateUuid = s.GetUuid()
	t.msg = msg
}

// addExecutor brings in an executor of an agent and counts what it uses.
func (m *Master) addExecutor(a *agent, f *framework, info *mesos.ExecutorInfo, res resource.Set) {
	id := info.GetExecutorId().GetValue()
	if a.executors[f.id] == nil {
		a.executors[f.id] = map[string]*executor{}
		m.executing.add(f.id, a)
	}
	a.executors[f.id][id] = &executor{info: info, resources: res}
	m.use(a, f, res)
	m.publish(view.ExecutorEvent(&master.Response_GetExecutors_Executor{ExecutorInfo: info, AgentId: a.info.GetId()}))
}

func (m *Master) removeExecutor(a *agent, framework, id string) bool {
	e := a.executors[framework][id]
	if e == nil {
		return false
	}
	delete(a.executors[framework], id)
	if len(a.executors[framework]) == 0 {
		delete(a.executors, framework)
		m.executing.remove(framework, a)
	}
	m.free(a, m.frameworks[framework], e.resources)
	m.recover(framework, a.id, e.resources, nil)
	m.publish(view.ExecutorRemovedEvent(framework, a.id, id))
	return true
}

// removeExecutors forgets all executors of a framework on an agent.
func (m *Master) removeExecutors(a *agent, framework string) {
	for _, id := range sortedKeys(a.executors[framework]) {
		m.removeExecutor(a, framework, id)
	}
}

// shutdownFramework tells an agent to end everything of a framework.
func (m *Master) shutdownFramework(a *agent, framework string) {
	m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_ShutdownFramework{
		ShutdownFramework: &protocol.ShutdownFramework{FrameworkId: frameworkID(framework)},
	}})
}

// kill asks the task's agent to kill it, now and whenever the agent comes back
// with the task still running. An unknown task is reconciled.
// Mesos: src/master/master.cpp, Master::kill.
func (m *Master) kill(f *framework, call *scheduler.Call_Kill) {
	id := call.GetTaskId().GetValue()
	t := f.tasks[id]
	if t == nil {
		if lost := f.unreachable[id]; lost != nil && matches(lost.agent, call.GetAgentId()) {
			lost.kill = call
		}
		m.reconcile(f, []*scheduler.Call_Reconcile_Task{{TaskId: call.GetTaskId(), AgentId: call.GetAgentId()}})
		return
	}
	if !matches(t.agent, call.GetAgentId()) {
		return
	}
	t.kill = call
	if a := m.agents[t.agent]; a != nil {
		m.sendKill(a, t)
	}
}

// matches reports whether a call that may name an agent means this one.
func matches(agent string, named *mesos.AgentID) bool {
	return named == nil || named.GetValue() == agent
}

func (m *Master) sendKill(a *agent, t *task) {
	k := &protocol.KillTask{FrameworkId: frameworkID(t.framework), TaskId: taskID(t.id)}
	if t.kill != nil {
		k.KillPolicy = t.kill.GetKillPolicy()
	}
	m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_KillTask{KillTask: k}})
}

// shutdownExecutor asks an agent to end an executor.
func (m *Master) shutdownExecutor(f *framework, call *scheduler.Call_Shutdown) {
	if a := m.agents[call.GetAgentId().GetValue()]; a != nil {
		m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_ShutdownExecutor{
			ShutdownExecutor: &protocol.ShutdownExecutor{FrameworkId: f.info.GetId(), ExecutorId: call.GetExecutorId()},
		}})
	}
}

// copyTask returns a task that may be changed; what it refers to is shared.
func copyTask(t *mesos.Task) *mesos.Task {
	return &mesos.Task{
		Name: t.Name, TaskId: t.TaskId, FrameworkId: t.FrameworkId, ExecutorId: t.ExecutorId, AgentId: t.AgentId,
		State: t.State, Resources: t.Resources, Statuses: t.Statuses, StatusUpdateState: t.StatusUpdateState,
		StatusUpdateUuid: t.StatusUpdateUuid, Labels: t.Labels, Discovery: t.Discovery, Container: t.Container,
		HealthCheck: t.HealthCheck, KillPolicy: t.KillPolicy, User: t.User, Limits: t.Limits,
	}
}

// newTask returns the task that a launch makes.
func newTask(f *framework, info *mesos.TaskInfo, res resource.Set) *task {
	msg := &mesos.Task{
		Name: proto.String(info.GetName()), TaskId: info.GetTaskId(), FrameworkId: f.info.GetId(), AgentId: info.GetAgentId(),
		State: mesos.TaskState_TASK_STAGING.Enum(), Resources: info.GetResources(), Labels: info.GetLabels(),
		Discovery: info.GetDiscovery(), Container: info.GetContainer(), HealthCheck: info.GetHealthCheck(),
		KillPolicy: info.GetKillPolicy(), Limits: info.GetLimits(),
	}
	if info.Executor != nil {
		msg.ExecutorId = info.GetExecutor().GetExecutorId()
	}
	switch {
	case info.GetCommand().GetUser() != "":
		msg.User = info.GetCommand().User
	case info.GetExecutor().GetCommand().GetUser() != "":
		msg.User = info.GetExecutor().GetCommand().User
	default:
		msg.User = f.info.User
	}
	return &task{
		id: info.GetTaskId().GetValue(), framework: f.id, agent: info.GetAgentId().GetValue(),
		executorID: msg.GetExecutorId().GetValue(), msg: msg, resources: res,
	}
}

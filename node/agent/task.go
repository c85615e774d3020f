package agent

import (
	"cmp"
	"context"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/node/agent/checkpoint"
	"muster/offers/mesos"
	"muster/offers/resource"
)

// phase is how far a task has come.
type phase int

const (
	writing  phase = iota // its launch is not on disk yet
	holding               // waits for resources that tasks of a removed framework still use
	starting              // a job starts its container
	running               // its container was started
	ended                 // its terminal status was decided
)

// task is one that is not both terminal and acknowledged.
type task struct {
	key       checkpoint.Key
	framework *framework
	launch    *checkpoint.Launch
	executor  string // ID; the task's own for a command task
	claim     resource.Set
	volumes   []volume
	loan      resource.Set // what it has of the revocable pool
	claimed   bool         // claim is part of Agent.used, loan of Agent.loans, and its volumes are in use
	order     uint64

	phase     phase
	container isolate.Status
	measured  bool
	cancel    context.CancelCauseFunc // of the start job
	kill      *kill
	limit     *time.Timer // max_completion_time

	// A refusal says that nothing was ever started. It is kept in memory alone:
	// should the agent die, it truly knows nothing of the task.
	refusal bool
	updates []*update // all
	acked   int       // so many of updates
	sending sending
}

// info returns what the framework asked for.
func (t *task) info() *mesos.TaskInfo { return t.launch.GetTask() }

func (t *task) containerID() isolate.ID { return isolate.ID(t.launch.GetContainerId()) }

// revocable tells whether t runs on CPUs that may be taken back.
func (t *task) revocable() bool { return t.loan.Scalar("cpus") > 0 }

// state is the newest state that is on disk.
func (t *task) state() mesos.TaskState {
	for _, u := range slices.Backward(t.updates) {
		if u.durable {
			return u.status.GetState()
		}
	}
	return mesos.TaskState_TASK_STAGING
}

// sorted returns the tasks in the order of their launch.
func (a *Agent) sorted() []*task {
	return slices.SortedFunc(maps.Values(a.tasks), func(x, y *task) int { return cmp.Compare(x.order, y.order) })
}

// add takes up a task.
func (a *Agent) add(t *task) {
	a.order++
	t.order = a.order
	a.tasks[t.key] = t
	t.framework.tasks++
	a.frameworks[t.framework.id] = t.framework
}

// remove lets go of a task that needs nothing more.
func (a *Agent) remove(t *task) {
	if a.tasks[t.key] != t {
		return
	}
	delete(a.tasks, t.key)
	t.sending.stop()
	if t.framework.tasks--; t.framework.tasks == 0 {
		delete(a.frameworks, t.framework.id)
	}
	a.board.remove(t.key, a.view(t), !t.refusal)
	a.drained()
	a.purged()
}

// release gives back what the task claimed.
func (a *Agent) release(t *task) {
	if t.claimed {
		t.claimed = false
		a.used, a.loans = a.used.Sub(t.claim), a.loans.Sub(t.loan)
		a.nextOperation() // it may have waited for a volume
	}
}

// status begins a status update of t.
func (a *Agent) status(t *task, state mesos.TaskState, source mesos.TaskStatus_Source) *mesos.TaskStatus {
	id := uuid.New()
	now := float64(time.Now().UnixNano()) / 1e9
	s := &mesos.TaskStatus{
		TaskId:     t.info().GetTaskId(),
		State:      state.Enum(),
		Source:     source.Enum(),
		AgentId:    &mesos.AgentID{Value: proto.String(cmp.Or(a.id, t.info().GetAgentId().GetValue()))},
		ExecutorId: &mesos.ExecutorID{Value: proto.String(t.executor)},
		Timestamp:  &now,
		Uuid:       id[:],
	}
	if !t.refusal {
		s.ContainerStatus = a.containerStatus(t)
	}
	return s
}

// containerStatus tells where a task is reached. Mesos-DNS reads its address.
func (a *Agent) containerStatus(t *task) *mesos.ContainerStatus {
	protocol := mesos.NetworkInfo_IPv4
	if ip := net.ParseIP(a.cfg.IP); ip != nil && ip.To4() == nil {
		protocol = mesos.NetworkInfo_IPv6
	}
	c := &mesos.ContainerStatus{
		ContainerId: &mesos.ContainerID{Value: proto.String(t.launch.GetContainerId())},
		NetworkInfos: []*mesos.NetworkInfo{{IpAddresses: []*mesos.NetworkInfo_IPAddress{{
			Protocol: protocol.Enum(), IpAddress: proto.String(a.cfg.IP),
		}}}},
	}
	if t.container.PID > 0 {
		c.ExecutorPid = proto.Uint32(uint32(t.container.PID))
	}
	return c
}

// taskProto describes t as the leader and readers see it.
func (a *Agent) taskProto(t *task) *mesos.Task {
	info := t.info()
	p := &mesos.Task{
		Name: info.Name, TaskId: info.GetTaskId(), FrameworkId: t.launch.GetFrameworkId(),
		ExecutorId: &mesos.ExecutorID{Value: proto.String(t.executor)}, AgentId: info.GetAgentId(),
		State: t.state().Enum(), Resources: info.GetResources(), Limits: info.GetLimits(),
		Labels: info.GetLabels(), Discovery: info.GetDiscovery(), Container: info.GetContainer(),
		HealthCheck: info.GetHealthCheck(), KillPolicy: info.GetKillPolicy(), User: proto.String(t.launch.GetUser()),
	}
	if p.Name == nil {
		p.Name = proto.String("")
	}
	for i, u := range t.updates {
		if !u.durable {
			break
		}
		p.Statuses = append(p.Statuses, u.status)
		if i <= t.acked { // the framework has seen it, or it is on its way
			p.StatusUpdateState, p.StatusUpdateUuid = u.status.GetState().Enum(), u.status.GetUuid()
		}
	}
	return p
}

func has(f *mesos.FrameworkInfo, c mesos.FrameworkInfo_Capability_Type) bool {
	return slices.ContainsFunc(f.GetCapabilities(), func(have *mesos.FrameworkInfo_Capability) bool { return have.GetType() == c })
}

// dropped is the state of a task that was never started and may be tried elsewhere.
func dropped(f *mesos.FrameworkInfo) mesos.TaskState {
	if has(f, mesos.FrameworkInfo_Capability_PARTITION_AWARE) {
		return mesos.TaskState_TASK_DROPPED
	}
	return mesos.TaskState_TASK_LOST
}

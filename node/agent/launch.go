package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/node/agent/checkpoint"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/resource"
	"muster/telemetry"
)

// refusal says why a task is not started at all.
type refusal struct {
	state   mesos.TaskState
	reason  mesos.TaskStatus_Reason
	message string
}

func invalid(reason mesos.TaskStatus_Reason, format string, args ...any) *refusal {
	return &refusal{mesos.TaskState_TASK_ERROR, reason, fmt.Sprintf(format, args...)}
}

// runTasks takes up the tasks of one LAUNCH or LAUNCH_GROUP.
func (a *Agent) runTasks(m *protocol.RunTask) {
	f := a.framework(m.GetFramework())
	for _, info := range m.GetTasks() {
		key := checkpoint.Key{Framework: f.id, Task: info.GetTaskId().GetValue()}
		if known := a.tasks[key]; known != nil {
			a.log.Warn("task is known already and not started again", "framework_id", f.id, "task_id", key.Task, "state", known.state().String())
			continue
		}
		t := &task{key: key, framework: f, executor: executorOf(info, m.GetExecutor())}
		t.launch = &checkpoint.Launch{
			FrameworkId: &mesos.FrameworkID{Value: proto.String(f.id)},
			Task:        info,
			User:        proto.String(cmp.Or(info.GetCommand().GetUser(), f.info.GetUser())),
		}
		a.add(t)
		if no := a.check(t, m); no != nil {
			a.refuse(t, no)
			continue
		}
		a.launch(t)
	}
}

// executorOf is the ID of a task's executor: a command task bears its own.
func executorOf(info *mesos.TaskInfo, group *mesos.ExecutorInfo) string {
	for _, e := range []*mesos.ExecutorInfo{group, info.GetExecutor()} {
		if e != nil {
			return e.GetExecutorId().GetValue()
		}
	}
	return info.GetTaskId().GetValue()
}

// framework returns the framework that info describes, known here or not.
func (a *Agent) framework(info *mesos.FrameworkInfo) *framework {
	id := info.GetId().GetValue()
	if f := a.frameworks[id]; f != nil {
		f.info = info
		return f
	}
	return &framework{id: id, info: info}
}

// check finds out why t may not be started here.
func (a *Agent) check(t *task, m *protocol.RunTask) *refusal {
	info := t.info()
	drop := func(reason mesos.TaskStatus_Reason, format string, args ...any) *refusal {
		return &refusal{dropped(t.framework.info), reason, fmt.Sprintf(format, args...)}
	}
	switch {
	case a.purging:
		return drop(mesos.TaskStatus_REASON_AGENT_REMOVED, "the agent was marked gone")
	case a.draining != nil:
		return drop(mesos.TaskStatus_REASON_AGENT_DRAINING, "Task was received while agent was already draining")
	case t.framework.shutdown:
		return drop(mesos.TaskStatus_REASON_FRAMEWORK_REMOVED, "the framework was removed")
	case info.GetAgentId().GetValue() != a.id:
		return drop(mesos.TaskStatus_REASON_AGENT_UNKNOWN, "task is for agent %s, this is %q", info.GetAgentId().GetValue(), a.id)
	}
	if no := unsupported(t.framework.id, info, m.GetExecutor()); no != nil {
		return no
	}
	all, flat, err := claim(info.GetResources())
	if err != nil {
		return invalid(mesos.TaskStatus_REASON_TASK_INVALID, "task has invalid resources: %v", err)
	}
	if t.volumes, err = a.volumesOf(info.GetResources()); err != nil {
		return invalid(mesos.TaskStatus_REASON_TASK_INVALID, "%v", err)
	}
	t.claim, t.loan = flat, borrows(all)
	if !a.willFit(t.claim) {
		return drop(mesos.TaskStatus_REASON_INVALID_OFFERS, "task needs %v, but of the agent's %v tasks already use %v", t.claim, a.total, a.used)
	}
	if !a.canBorrow(t.loan) {
		return drop(mesos.TaskStatus_REASON_INVALID_OFFERS, "task needs %v, but the agent lends only %v now, of which tasks already use %v", t.loan, a.pool, a.loans)
	}
	if !a.there(all) {
		return drop(mesos.TaskStatus_REASON_INVALID_OFFERS, "task needs %v, which the agent's %v do not have", all.Unallocate(), a.total)
	}
	return nil
}

// unsupported names what a task asks for that this agent cannot give. Running
// it without would look as if it had it.
func unsupported(framework string, info *mesos.TaskInfo, executor *mesos.ExecutorInfo) *refusal {
	id := info.GetTaskId().GetValue()
	switch {
	case !fileName(id) || !fileName(framework):
		return invalid(mesos.TaskStatus_REASON_TASK_INVALID, "task ID %q of framework %q cannot name a directory", id, framework)
	case executor != nil:
		return invalid(mesos.TaskStatus_REASON_TASK_GROUP_INVALID, "task groups are not supported by this agent yet")
	case info.GetExecutor() != nil:
		return invalid(mesos.TaskStatus_REASON_TASK_INVALID, "executors are not supported by this agent yet")
	case info.GetCommand() == nil:
		return invalid(mesos.TaskStatus_REASON_TASK_INVALID, "task has neither a command nor an executor")
	case unusable(info.GetCommand()) != "":
		return invalid(mesos.TaskStatus_REASON_TASK_INVALID, "%s", unusable(info.GetCommand()))
	case len(info.GetCommand().GetUris()) > 0:
		return invalid(mesos.TaskStatus_REASON_TASK_INVALID, "URIs are not fetched by this agent yet")
	case info.GetHealthCheck() != nil:
		return invalid(mesos.TaskStatus_REASON_TASK_INVALID, "health checks are not supported by this agent yet")
	case info.GetCheck() != nil:
		return invalid(mesos.TaskStatus_REASON_TASK_INVALID, "checks are not supported by this agent yet")
	}
	return nil
}

// refuse ends a task of which nothing was started or checkpointed.
func (a *Agent) refuse(t *task, no *refusal) {
	t.refusal, t.phase = true, ended
	a.release(t)
	s := a.status(t, no.state, mesos.TaskStatus_SOURCE_AGENT)
	s.Reason, s.Message = no.reason.Enum(), &no.message
	a.report(t, s)
}

// fits tells whether what t needs is free now: its volumes made, and in use by no
// other task unless they are shared.
func (a *Agent) fits(t *task) bool {
	if len(t.volumes) > 0 && len(a.queue) > 0 {
		return false
	}
	for _, v := range t.volumes {
		if !v.shared && a.inUse(v, t) {
			return false
		}
	}
	return flatten(a.total).Sub(a.used).Contains(t.claim)
}

// willFit tells whether c is free beside all tasks that were taken up before,
// now or when those of removed frameworks have ended: the leader no longer
// counts what they use.
func (a *Agent) willFit(c resource.Set) bool {
	used := a.used
	for _, t := range a.tasks {
		if t.claimed && t.framework.shutdown {
			used = used.Sub(t.claim)
		}
	}
	for _, t := range a.held {
		used = used.Add(t.claim)
	}
	return flatten(a.total).Sub(used).Contains(c)
}

// launch checkpoints t and has it started.
func (a *Agent) launch(t *task) {
	now := time.Now()
	t.launch.ContainerId = proto.String(uuid.NewString())
	t.launch.Directory = proto.String(a.sandboxDir(t))
	t.launch.TimeNanoseconds = proto.Int64(now.UnixNano())
	a.admit(t)
	s := a.status(t, mesos.TaskState_TASK_STARTING, mesos.TaskStatus_SOURCE_EXECUTOR)
	u := &update{status: s}
	t.updates = append(t.updates, u)
	a.counts.Launches.Add(1)
	a.board.put(t.key, a.view(t))
	a.journal.Try(func(err error) { a.post(func() { a.launched(t, u, err) }) },
		&checkpoint.Record{Record: &checkpoint.Record_Framework{Framework: t.framework.info}},
		&checkpoint.Record{Record: &checkpoint.Record_Launch{Launch: t.launch}},
		updateRecord(t, s))
}

// admit claims t's resources, or has it wait for them.
func (a *Agent) admit(t *task) {
	if a.fits(t) {
		a.take(t)
		return
	}
	a.held = append(a.held, t)
}

// launched: t's launch is on disk, or cannot be written.
func (a *Agent) launched(t *task, u *update, err error) {
	if err != nil {
		t.updates = nil
		a.unhold(t)
		a.refuse(t, &refusal{dropped(t.framework.info), mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED,
			fmt.Sprintf("the agent cannot checkpoint the task: %v", err)})
		return
	}
	a.written(t, u)
	a.advance(t)
}

// advance starts t unless it must wait or was killed meanwhile.
func (a *Agent) advance(t *task) {
	switch {
	case t.kill != nil:
		a.neverStarted(t)
	case t.claimed:
		a.start(t)
	default:
		t.phase = holding
		a.log.Info("task waits for its volumes, or for resources of a removed framework", "framework_id", t.key.Framework, "task_id", t.key.Task)
	}
}

// admitHeld starts the tasks whose resources have become free.
func (a *Agent) admitHeld() {
	held := a.held
	a.held = nil
	for _, t := range held {
		if all, _, err := claim(t.info().GetResources()); err != nil || !a.there(all) {
			a.vain(t)
		} else if a.admit(t); t.claimed && t.phase == holding {
			a.start(t)
		}
	}
}

// vain ends a task that waits for what will not be: the operation that was to make
// it has failed.
func (a *Agent) vain(t *task) {
	if t.phase == writing {
		a.held = append(a.held, t) // its turn comes when it is written
		return
	}
	a.end(t, verdict{state: dropped(t.framework.info), source: mesos.TaskStatus_SOURCE_AGENT,
		reason:  mesos.TaskStatus_REASON_INVALID_OFFERS.Enum(),
		message: fmt.Sprintf("task needs %v, which the agent's %v do not have", t.info().GetResources(), a.total)})
}

func (a *Agent) unhold(t *task) {
	for i, h := range a.held {
		if h == t {
			a.held = append(a.held[:i:i], a.held[i+1:]...)
			return
		}
	}
}

// start has t's container started. Done again for a container that exists, it
// finds it.
func (a *Agent) start(t *task) {
	t.phase = starting
	ctx, cancel := context.WithCancelCause(a.ctx)
	t.cancel = cancel
	spec := a.spec(t)
	own := t.ownVolumes(a)
	a.starts.do(func() {
		status, measured, err := a.startContainer(ctx, t.launch, spec, own)
		if err != nil && a.ctx.Err() != nil {
			return // the next agent tries again
		}
		a.post(func() { a.startDone(t, status, measured, err) })
	})
}

// startContainer runs as a job.
func (a *Agent) startContainer(ctx context.Context, l *checkpoint.Launch, spec isolate.Spec, own []volume) (s isolate.Status, measured bool, err error) {
	if ctx.Err() != nil {
		return s, false, context.Cause(ctx)
	}
	if err := a.makeSandbox(l); err != nil {
		return s, false, err
	}
	if err := a.giveVolumes(own, l.GetUser()); err != nil {
		return s, false, err
	}
	if s, err = a.driver.Start(ctx, spec); err != nil {
		return s, false, err
	}
	return s, a.measure(spec.ID, s), nil
}

// measure runs as part of a job.
func (a *Agent) measure(id isolate.ID, s isolate.Status) bool {
	if a.meter == nil {
		return false
	}
	err := a.meter.Add(telemetry.Container{ID: string(id), Cgroups: s.Cgroups})
	if errors.Is(err, telemetry.ErrVanished) {
		return false // it has ended already
	}
	if err != nil {
		a.log.Warn("container is not measured", "container_id", id, "err", err)
		return false
	}
	return true
}

// startDone: t's container was started, or cannot be.
func (a *Agent) startDone(t *task, s isolate.Status, measured bool, err error) {
	t.cancel(nil)
	if err != nil {
		if t.kill != nil {
			a.neverStarted(t)
			return
		}
		a.counts.LaunchFailures.Add(1)
		a.end(t, verdict{state: mesos.TaskState_TASK_FAILED, source: mesos.TaskStatus_SOURCE_AGENT,
			reason: mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED.Enum(), message: fmt.Sprintf("Failed to launch container: %v", err)})
		return
	}
	a.attached(t, s, measured)
}

// attached: t's container is known to run, or to have run.
func (a *Agent) attached(t *task, s isolate.Status, measured bool) {
	t.phase, t.container, t.measured = running, s, measured
	a.watch(t)
	if t.kill != nil {
		a.beginKill(t)
		return
	}
	if !t.was(mesos.TaskState_TASK_RUNNING) {
		a.report(t, a.status(t, mesos.TaskState_TASK_RUNNING, mesos.TaskStatus_SOURCE_EXECUTOR))
	}
	a.board.put(t.key, a.view(t))
	a.limitTime(t)
}

// was tells whether t has ever been in state.
func (t *task) was(state mesos.TaskState) bool {
	for _, u := range t.updates {
		if u.status.GetState() == state {
			return true
		}
	}
	return false
}

// limitTime ends t when it has run for max_completion_time.
func (a *Agent) limitTime(t *task) {
	if t.info().GetMaxCompletionTime() == nil {
		return
	}
	began := t.container.Started
	if began.IsZero() {
		began = time.Now()
	}
	left := time.Until(began.Add(time.Duration(t.info().GetMaxCompletionTime().GetNanoseconds())))
	t.limit = a.after(max(left, 0), func() { a.kill(t, kill{completion: true}) })
}

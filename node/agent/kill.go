package agent

import (
	"errors"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/node/agent/checkpoint"
	"muster/offers/mesos"
	"muster/offers/protocol"
)

// force is how long after SIGKILL a container that still runs is destroyed.
const force = 10 * time.Second

// kill is the end of a task on purpose.
type kill struct {
	at         time.Time
	grace      time.Duration
	completion bool   // it ran longer than it may
	preempted  string // why what it borrowed was taken back; "" if it was not
	begun      bool   // SIGTERM was sent
	timer      *time.Timer
}

func (k *kill) stop() {
	if k != nil && k.timer != nil {
		k.timer.Stop()
	}
}

// killTask ends a task as a framework asks.
func (a *Agent) killTask(m *protocol.KillTask) {
	key := checkpoint.Key{Framework: m.GetFrameworkId().GetValue(), Task: m.GetTaskId().GetValue()}
	t := a.tasks[key]
	if t == nil {
		a.reconcile([]*protocol.Reconcile_Task{{FrameworkId: m.GetFrameworkId(), TaskId: m.GetTaskId()}})
		return
	}
	a.kill(t, kill{grace: a.grace(t, m.GetKillPolicy())})
}

// grace is how long t has from SIGTERM to SIGKILL.
func (a *Agent) grace(t *task, override *mesos.KillPolicy) time.Duration {
	for _, policy := range []*mesos.KillPolicy{override, t.info().GetKillPolicy()} {
		if g := policy.GetGracePeriod(); g != nil {
			return max(time.Duration(g.GetNanoseconds()), 0)
		}
	}
	return a.cfg.KillGrace
}

// kill ends t, whatever it is doing. Killed again, it can only get less time.
func (a *Agent) kill(t *task, k kill) {
	if t.phase == ended || a.tasks[t.key] != t {
		return
	}
	if t.kill != nil {
		a.hasten(t, k.grace)
		return
	}
	k.at = time.Now()
	t.kill = &k
	if t.limit != nil {
		t.limit.Stop()
	}
	record := &checkpoint.Record{Record: &checkpoint.Record_Kill{Kill: &checkpoint.Kill{
		FrameworkId: t.launch.GetFrameworkId(), TaskId: t.info().GetTaskId(),
		TimeNanoseconds: proto.Int64(k.at.UnixNano()), GraceNanoseconds: proto.Int64(int64(k.grace)),
		CompletionTime: proto.Bool(k.completion),
	}}}
	if k.preempted != "" {
		record.GetKill().Preempted = &k.preempted
	}
	// Without the record a restarted agent would call the task failed, not killed.
	// A full disk must not keep a task alive, so the kill goes on either way.
	a.journal.Try(func(err error) {
		if err != nil {
			a.log.Warn("kill not checkpointed", "framework_id", t.key.Framework, "task_id", t.key.Task, "err", err)
		}
		a.post(func() { a.pursue(t) })
	}, record)
}

// pursue begins the kill of t where it is by now.
func (a *Agent) pursue(t *task) {
	switch t.phase {
	case holding:
		a.neverStarted(t)
	case starting:
		t.cancel(errKilled)
	case running:
		a.beginKill(t)
	case writing, ended:
	}
}

var errKilled = errors.New("task was killed")

// beginKill asks t's container to end.
func (a *Agent) beginKill(t *task) {
	if t.kill.begun || t.phase != running {
		return
	}
	t.kill.begun = true
	if !t.kill.completion && t.kill.preempted == "" && has(t.framework.info, mesos.FrameworkInfo_Capability_TASK_KILLING_STATE) && !t.was(mesos.TaskState_TASK_KILLING) {
		a.report(t, a.status(t, mesos.TaskState_TASK_KILLING, mesos.TaskStatus_SOURCE_EXECUTOR))
	}
	if t.kill.grace > 0 {
		a.signal(t, syscall.SIGTERM)
	}
	a.schedule(t)
}

// schedule has t ended by force when its time is up.
func (a *Agent) schedule(t *task) {
	t.kill.stop()
	t.kill.timer = a.after(max(time.Until(t.kill.at.Add(t.kill.grace)), 0), func() { a.killNow(t) })
}

// hasten shortens the time t has left.
// Mesos: src/launcher/executor.cpp, CommandExecutor::kill.
func (a *Agent) hasten(t *task, grace time.Duration) {
	if grace >= t.kill.grace {
		return
	}
	t.kill.grace = grace
	if t.kill.begun {
		a.schedule(t)
	}
}

// killNow ends t's container by force.
func (a *Agent) killNow(t *task) {
	if t.phase != running {
		return
	}
	a.signal(t, syscall.SIGKILL)
	t.kill.timer = a.after(force, func() {
		if t.phase == running {
			a.log.Warn("container survived SIGKILL and is destroyed", "container_id", t.containerID())
			a.crush(t)
		}
	})
}

// crush destroys a container that no signal ends.
func (a *Agent) crush(t *task) {
	a.ends.do(func() {
		err := a.driver.Destroy(a.ctx, t.containerID())
		if a.ctx.Err() != nil {
			return
		}
		a.post(func() {
			switch {
			case t.phase != running:
			case err == nil || errors.Is(err, isolate.ErrUnknownContainer):
				a.vanished(t, "its container was destroyed")
			default:
				a.log.Error("container cannot be ended", "container_id", t.containerID(), "err", err)
				t.kill.timer = a.after(force, func() { a.crush(t) })
			}
		})
	})
}

// signal sends sig to everything in t's container.
func (a *Agent) signal(t *task, sig syscall.Signal) {
	id := t.containerID()
	a.ends.do(func() {
		if err := a.driver.Signal(id, int(sig), true); err != nil && !errors.Is(err, isolate.ErrUnknownContainer) {
			a.log.Warn("container cannot be signalled", "container_id", id, "signal", int(sig), "err", err)
		}
	})
}

// shutdownFramework ends all tasks of a framework that was removed.
func (a *Agent) shutdownFramework(id string) {
	f := a.frameworks[id]
	if f == nil || f.shutdown {
		return
	}
	f.shutdown = true
	a.journal.Append(nil, &checkpoint.Record{Record: &checkpoint.Record_Shutdown{Shutdown: &checkpoint.Shutdown{
		FrameworkId: &mesos.FrameworkID{Value: &id},
	}}})
	for _, t := range a.sorted() {
		if t.framework == f {
			a.kill(t, kill{grace: a.grace(t, nil)})
		}
	}
	a.settle()
}

// shutdownExecutor ends the command task whose executor is meant.
func (a *Agent) shutdownExecutor(m *protocol.ShutdownExecutor) {
	for _, t := range a.sorted() {
		if t.key.Framework == m.GetFrameworkId().GetValue() && t.executor == m.GetExecutorId().GetValue() {
			a.kill(t, kill{grace: a.grace(t, nil)})
		}
	}
}

// updateFramework takes over what changed about a framework with tasks here.
func (a *Agent) updateFramework(info *mesos.FrameworkInfo) {
	f := a.frameworks[info.GetId().GetValue()]
	if f == nil {
		return
	}
	f.info = info
	a.journal.Append(nil, &checkpoint.Record{Record: &checkpoint.Record_Framework{Framework: info}})
	for _, t := range a.sorted() {
		if t.framework == f {
			a.board.put(t.key, a.view(t))
		}
	}
}

// reconcile says which of the asked-for tasks are unknown here, and sends what
// is unacknowledged of the others once more.
func (a *Agent) reconcile(tasks []*protocol.Reconcile_Task) {
	var unknown []*protocol.Reconcile_Task
	for _, asked := range tasks {
		key := checkpoint.Key{Framework: asked.GetFrameworkId().GetValue(), Task: asked.GetTaskId().GetValue()}
		if t := a.tasks[key]; t != nil {
			a.resend(t)
		} else {
			unknown = append(unknown, asked)
		}
	}
	a.send(&protocol.AgentToMaster{Message: &protocol.AgentToMaster_Reconciled{Reconciled: &protocol.Reconciled{Unknown: unknown}}})
}

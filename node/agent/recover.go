package agent

import (
	"errors"
	"fmt"
	"time"

	"muster/isolate"
	"muster/node/agent/checkpoint"
	"muster/offers/mesos"
)

// recover takes up what the journal holds: tasks that ran are watched again,
// those that were being started are started again, which finds the container
// that an earlier agent made, and containers that no task owns are destroyed.
func (a *Agent) recover() {
	state := a.loaded
	a.loaded = nil
	rebooted := state.Agent.GetBootId() != "" && state.Agent.GetBootId() != a.boot
	a.restore(state)
	a.restoreDrain(state.Agent)
	a.restoreOperations(state.Operations)
	a.adopt()
	for _, t := range a.sorted() {
		a.retake(t, rebooted)
	}
	a.resumeDrain()
	a.nextOperation()
	if state.Agent.GetBootId() != a.boot {
		a.saveAgent() // after the verdicts on tasks of an earlier boot: none of them may be started again
	}
	if len(a.tasks) > 0 {
		a.log.Info("tasks of an earlier agent taken up", "agent_id", a.id, "tasks", len(a.tasks), "rebooted", rebooted)
	}
}

// restore rebuilds the tasks as they were last written.
func (a *Agent) restore(state *checkpoint.State) {
	known := make(map[string]*framework, len(state.Frameworks))
	for id, f := range state.Frameworks {
		info := f.Info
		if info == nil {
			info = &mesos.FrameworkInfo{User: new(string), Name: new(string), Id: &mesos.FrameworkID{Value: &id}}
		}
		known[id] = &framework{id: id, info: info, shutdown: f.Shutdown}
	}
	for _, saved := range state.Completed {
		t := restored(saved, known)
		a.board.remove(t.key, a.view(t), true)
	}
	for _, saved := range state.Sorted() {
		t := restored(saved, known)
		a.add(t)
		if saved.State().Terminal() {
			t.phase = ended
		} else if all, flat, err := claim(t.info().GetResources()); err == nil {
			t.claim, t.loan = flat, borrows(all)
			t.volumes, _ = a.volumesOf(t.info().GetResources()) // checked before it was launched
		}
		a.board.put(t.key, a.view(t))
	}
}

func restored(saved *checkpoint.Task, known map[string]*framework) *task {
	l := saved.Launch
	t := &task{key: l.Key(), launch: l, executor: l.GetTask().GetTaskId().GetValue(), acked: saved.Acked, phase: writing}
	if t.framework = known[t.key.Framework]; t.framework == nil {
		t.framework = &framework{id: t.key.Framework, info: &mesos.FrameworkInfo{User: new(string), Name: new(string), Id: l.GetFrameworkId()}}
		known[t.key.Framework] = t.framework
	}
	for _, s := range saved.Updates {
		t.updates = append(t.updates, &update{status: s, durable: true})
		if pid := s.GetContainerStatus().GetExecutorPid(); pid != 0 {
			t.container.PID = int(pid)
		}
	}
	if k := saved.Kill; k != nil {
		t.kill = &kill{at: time.Unix(0, k.GetTimeNanoseconds()), grace: time.Duration(k.GetGraceNanoseconds()), completion: k.GetCompletionTime(), preempted: k.GetPreempted()}
	}
	return t
}

// adopt destroys the containers that no unfinished task owns.
func (a *Agent) adopt() {
	a.ends.do(func() {
		ids, err := a.driver.List()
		switch {
		case a.ctx.Err() != nil:
		case err != nil:
			a.log.Error("containers of an earlier agent cannot be listed yet", "err", err)
			a.after(10*time.Second, a.adopt)
		default:
			a.post(func() { a.destroyOrphans(ids) })
		}
	})
}

func (a *Agent) destroyOrphans(ids []isolate.ID) {
	owned := make(map[isolate.ID]bool, len(a.tasks))
	for _, t := range a.tasks {
		if !t.state().Terminal() { // how it ended is not on disk yet: its container tells
			owned[t.containerID()] = true
		}
	}
	for _, id := range ids {
		if !owned[id] {
			a.log.Info("container without a task is destroyed", "container_id", id)
			a.destroy(id, false)
		}
	}
}

// retake carries on with t where the earlier agent was.
func (a *Agent) retake(t *task, rebooted bool) {
	switch {
	case t.phase == ended:
		a.settleTask(t)
	case rebooted:
		a.rebooted(t)
	case t.was(mesos.TaskState_TASK_RUNNING) || t.was(mesos.TaskState_TASK_KILLING):
		a.take(t)
		a.reattach(t)
	default:
		a.restart(t)
	}
	if t.framework.shutdown && t.kill == nil {
		a.kill(t, kill{grace: a.grace(t, nil)})
	}
}

// rebooted ends t: no container outlives its kernel.
func (a *Agent) rebooted(t *task) {
	if t.kill != nil {
		a.end(t, killed(t, "The agent's machine was restarted while the task was being killed"))
		return
	}
	a.end(t, verdict{state: mesos.TaskState_TASK_FAILED, source: mesos.TaskStatus_SOURCE_AGENT,
		reason: mesos.TaskStatus_REASON_AGENT_RESTARTED.Enum(), message: "The agent's machine was restarted"})
}

// restart starts a task of which it is not known whether its container was.
func (a *Agent) restart(t *task) {
	if !t.was(mesos.TaskState_TASK_STARTING) {
		a.report(t, a.status(t, mesos.TaskState_TASK_STARTING, mesos.TaskStatus_SOURCE_EXECUTOR))
	}
	if t.kill != nil {
		a.restartKilled(t)
		return
	}
	all, _, err := claim(t.info().GetResources())
	if err != nil || !a.willFit(t.claim) || !a.there(all) {
		a.end(t, verdict{state: dropped(t.framework.info), source: mesos.TaskStatus_SOURCE_AGENT, reason: mesos.TaskStatus_REASON_INVALID_OFFERS.Enum(),
			message: fmt.Sprintf("task needs %v, but of the agent's %v tasks already use %v", t.claim, a.total, a.used)})
		return
	}
	a.admit(t)
	a.advance(t)
}

// restartKilled finds out whether a task that was killed while it started has a
// container: it may have been made after the kill was written.
func (a *Agent) restartKilled(t *task) {
	a.take(t)
	a.reattach(t)
}

// reattach watches a container of an earlier agent.
func (a *Agent) reattach(t *task) {
	t.phase = starting
	t.cancel = func(error) {} // there is nothing to interrupt
	id := t.containerID()
	a.starts.do(func() {
		s, err := a.driver.Status(id)
		if a.ctx.Err() != nil {
			return
		}
		measured := err == nil && a.measure(id, s)
		a.post(func() { a.reattached(t, s, measured, err) })
	})
}

func (a *Agent) reattached(t *task, s isolate.Status, measured bool, err error) {
	switch {
	case err == nil:
		a.attached(t, s, measured)
	case errors.Is(err, isolate.ErrUnknownContainer) && t.kill != nil && !t.was(mesos.TaskState_TASK_RUNNING):
		a.neverStarted(t)
	case errors.Is(err, isolate.ErrUnknownContainer):
		a.vanished(t, "its container was gone when the agent came back")
	default:
		// It may run: Wait tells in the end.
		a.log.Warn("status of a container is not known", "container_id", t.containerID(), "err", err)
		a.attached(t, s, measured)
	}
}

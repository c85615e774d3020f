package agent

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/offers/mesos"
	"muster/offers/resource"
)

// verdict is how a task ended.
type verdict struct {
	state      mesos.TaskState
	source     mesos.TaskStatus_Source
	reason     *mesos.TaskStatus_Reason
	message    string
	limitation []*mesos.Resource
}

// end decides how t ended. Its container is destroyed once that is on disk.
func (a *Agent) end(t *task, v verdict) {
	if t.phase == ended {
		return
	}
	t.phase = ended
	t.kill.stop()
	if t.limit != nil {
		t.limit.Stop()
	}
	a.unhold(t)
	a.release(t)
	s := a.status(t, v.state, v.source)
	s.Reason, s.Message = v.reason, proto.String(v.message)
	if len(v.limitation) > 0 {
		s.Limitation = &mesos.TaskResourceLimitation{Resources: v.limitation}
	}
	a.report(t, s)
	a.admitHeld()
}

// neverStarted ends a task that was killed before its container ran.
func (a *Agent) neverStarted(t *task) {
	if t.kill.preempted != "" {
		a.end(t, preempted(t))
		return
	}
	a.end(t, verdict{state: mesos.TaskState_TASK_KILLED, source: mesos.TaskStatus_SOURCE_AGENT,
		reason: mesos.TaskStatus_REASON_TASK_KILLED_DURING_LAUNCH.Enum(), message: "Task was killed before it started"})
}

// watch waits for the end of t's container, however long it takes.
func (a *Agent) watch(t *task) {
	id := t.containerID()
	a.spawn(func() {
		for delay := time.Second; ; delay = min(2*delay, time.Minute) {
			exit, err := a.driver.Wait(a.ctx, id)
			if a.ctx.Err() != nil {
				return
			}
			if err == nil {
				a.post(func() { a.exited(t, exit) })
				return
			}
			if errors.Is(err, isolate.ErrUnknownContainer) {
				a.post(func() { a.vanished(t, "its container is gone") })
				return
			}
			a.log.Warn("container cannot be waited for", "container_id", id, "err", err)
			if !pause(a.ctx, delay) {
				return
			}
		}
	})
}

// pause returns after d, or false when ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// exited: t's container has ended.
func (a *Agent) exited(t *task, exit isolate.Exit) {
	a.end(t, judge(t, exit))
}

// vanished: nobody can tell any more how t's container ended.
func (a *Agent) vanished(t *task, why string) {
	if t.kill != nil {
		a.end(t, killed(t, "Command was killed"))
		return
	}
	a.end(t, verdict{state: mesos.TaskState_TASK_FAILED, source: mesos.TaskStatus_SOURCE_AGENT,
		reason: mesos.TaskStatus_REASON_EXECUTOR_TERMINATED.Enum(), message: "Exit status of the command is lost: " + why})
}

// killed is the verdict on a task that was ended on purpose.
func killed(t *task, message string) verdict {
	if t.kill.preempted != "" {
		return preempted(t)
	}
	if t.kill.completion {
		return verdict{state: mesos.TaskState_TASK_FAILED, source: mesos.TaskStatus_SOURCE_EXECUTOR,
			reason: mesos.TaskStatus_REASON_MAX_COMPLETION_TIME_REACHED.Enum(), message: message}
	}
	return verdict{state: mesos.TaskState_TASK_KILLED, source: mesos.TaskStatus_SOURCE_EXECUTOR, message: message}
}

// judge turns an exit into the task's last state.
// Mesos: src/launcher/executor.cpp, CommandExecutor::reaped.
func judge(t *task, exit isolate.Exit) verdict {
	clean := exit.Code == 0 && exit.Signal == 0
	switch {
	case t.kill != nil:
		return killed(t, describe(exit))
	case exit.Lost:
		return verdict{state: mesos.TaskState_TASK_FAILED, source: mesos.TaskStatus_SOURCE_AGENT,
			reason: mesos.TaskStatus_REASON_EXECUTOR_TERMINATED.Enum(), message: "Exit status of the command is lost: " + exit.Message}
	case exit.OOM && !clean:
		return outOfMemory(t, exit)
	case exit.Message != "":
		return verdict{state: mesos.TaskState_TASK_FAILED, source: mesos.TaskStatus_SOURCE_AGENT,
			reason: mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED.Enum(), message: "Failed to launch container: " + exit.Message}
	case clean:
		return verdict{state: mesos.TaskState_TASK_FINISHED, source: mesos.TaskStatus_SOURCE_EXECUTOR, message: describe(exit)}
	}
	return verdict{state: mesos.TaskState_TASK_FAILED, source: mesos.TaskStatus_SOURCE_EXECUTOR, message: describe(exit)}
}

func outOfMemory(t *task, exit isolate.Exit) verdict {
	v := verdict{state: mesos.TaskState_TASK_FAILED, source: mesos.TaskStatus_SOURCE_AGENT,
		reason: mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY.Enum()}
	all, err := resource.FromProto(t.info().GetResources())
	if err == nil {
		v.limitation = all.Named("mem").Unallocate().Proto()
	}
	limit := float64(all.Scalar("mem")) / resource.Milli
	if l, ok := t.info().GetLimits()["mem"]; ok {
		limit = l.GetValue()
	}
	v.message = fmt.Sprintf("Memory limit of %g MB exceeded, %s", limit, describe(exit))
	if exit.PeakMem > 0 {
		v.message += fmt.Sprintf("; at most %d MB were used", exit.PeakMem>>20)
	}
	return v
}

// describe says how a command ended in words.
func describe(exit isolate.Exit) string {
	if exit.Lost {
		return "Exit status of the command is lost: " + exit.Message
	}
	if exit.Signal != 0 {
		return fmt.Sprintf("Command terminated with signal %s", signalName(exit.Signal))
	}
	return fmt.Sprintf("Command exited with status %d", exit.Code)
}

func signalName(signal int) string {
	if name := unix.SignalName(syscall.Signal(signal)); name != "" {
		return name
	}
	return fmt.Sprint(signal)
}

// destroy removes what is left of a container, and tries until it succeeds.
func (a *Agent) destroy(id isolate.ID, measured bool) {
	a.ends.do(func() {
		if measured {
			a.meter.Remove(string(id))
		}
		err := a.driver.Destroy(a.ctx, id)
		if err == nil || errors.Is(err, isolate.ErrUnknownContainer) || a.ctx.Err() != nil {
			return
		}
		a.counts.DestroyFailures.Add(1)
		a.log.Warn("container cannot be destroyed yet", "container_id", id, "err", err)
		a.after(10*time.Second, func() { a.destroy(id, false) })
	})
}

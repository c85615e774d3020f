package agent

import (
	"errors"
	"fmt"
	"math"
	"time"

	"muster/isolate"
	"muster/offers/mesos"
	"muster/telemetry"
	"muster/telemetry/qos"
)

// The agent's side: who has to go.

// Evict ends a revocable task because others need what it borrowed.
func (a *Agent) Evict(containerID, why string) {
	a.post(func() {
		for _, t := range a.tasks {
			if t.launch.GetContainerId() == containerID && t.revocable() {
				a.kill(t, kill{preempted: why})
				return
			}
		}
	})
}

// gone is the state of a task that was ended to free what it used and will not run again.
func gone(f *mesos.FrameworkInfo) mesos.TaskState {
	if has(f, mesos.FrameworkInfo_Capability_PARTITION_AWARE) {
		return mesos.TaskState_TASK_GONE
	}
	return mesos.TaskState_TASK_LOST
}

// preempted is the verdict on a task that was evicted.
// Mesos: src/slave/slave.cpp, Slave::_qosCorrections.
func preempted(t *task) verdict {
	return verdict{state: gone(t.framework.info), source: mesos.TaskStatus_SOURCE_AGENT,
		reason: mesos.TaskStatus_REASON_CONTAINER_PREEMPTED.Enum(), message: "Preempted: " + t.kill.preempted}
}

// The Lender's side: watching, and holding back.

// watch is what a Lender knows of the firm tasks' wellbeing.
type watch struct {
	on         bool
	controller *qos.Controller
	withhold   bool
	last       qos.Decision
	pulses     map[string]telemetry.Pulse
	machine    telemetry.Machine
	done       map[string]qos.Target // what was carried out, by container
	violations Violations
	violated   bool
}

func newWatch(c Lending) watch {
	return watch{on: !c.Off && !c.NoQoS, controller: qos.New(c.QoS), last: qos.Decision{Quota: math.Inf(1)}, done: map[string]qos.Target{}}
}

func (w *watch) level() string { return w.last.Level.String() }

// quota is what revocable tasks may keep busy; nil is no limit.
func (w *watch) quota() *float64 {
	if math.IsInf(w.last.Quota, 1) {
		return nil
	}
	q := w.last.Quota
	return &q
}

// watching tells whether windows must be looked at: while revocable tasks run,
// and until all that was done to them is undone.
func (l *Lender) watching() bool {
	return l.watch.on && (l.now.Borrowed != Amounts{} || l.watch.last.Level != qos.Calm || l.watch.withhold)
}

// look closes a window and does what the controller decides.
func (l *Lender) look() {
	tasks := l.agent.State().Tasks
	var ids []string
	for _, t := range tasks {
		if t.Running {
			ids = append(ids, t.ContainerID)
		}
	}
	pulses, err := l.gauge.Pulse(ids)
	if err != nil {
		l.warn("pulse", "firm tasks are not watched: their counters cannot be read", "err", err)
		return
	}
	delete(l.warned, "pulse")
	machine, err := l.machine()
	if err != nil {
		machine = telemetry.Machine{At: time.Now()} // measureMachine says so
	}
	w := &l.watch
	seen, ok := l.window(tasks, pulses, machine)
	w.pulses, w.machine = pulses, machine
	if !ok {
		return
	}
	switch {
	case l.cfg.System != nil:
		seen.System = *l.cfg.System
	case seen.System == 0:
		seen.System = l.now.System
	}
	d := w.controller.Step(seen)
	w.note(d)
	l.carryOut(d)
	for _, a := range d.Actions {
		l.corrected(a, tasks)
	}
	if d.Withhold != w.withhold {
		w.withhold = d.Withhold
		m := l.now
		l.offer(&m) // at once: not at the next sample
		l.now.Lent = m.Lent
	}
}

// window compares two readings. It is none without two of them.
func (l *Lender) window(tasks []*Task, pulses map[string]telemetry.Pulse, machine telemetry.Machine) (qos.Look, bool) {
	w := &l.watch
	seen := qos.Look{At: time.Since(l.began), Window: machine.At.Sub(w.machine.At), Capacity: float64(machine.CPUs),
		MemTotal: machine.MemTotal, MemUsed: machine.MemTotal - min(machine.MemAvailable, machine.MemTotal)}
	if w.machine.At.IsZero() || seen.Window <= 0 {
		return seen, false
	}
	used := 0.
	for _, t := range tasks {
		if !t.Running {
			continue
		}
		cpus, waited, ok := felt(w.pulses, pulses, t.ContainerID)
		used += cpus
		switch {
		case t.Revocable:
			seen.Revocable = append(seen.Revocable, l.revocable(t, cpus))
		case ok:
			seen.Firm = append(seen.Firm, qos.Firm{ID: t.ContainerID, Name: t.Task.GetTaskId().GetValue(), CPUs: cpus,
				Waited: time.Duration(waited * float64(seen.Window))})
		}
	}
	seen.System = max(0, (machine.Busy-w.machine.Busy).Seconds()/seen.Window.Seconds()-used)
	return seen, true
}

// felt is how many CPUs a container kept busy between two pulses, and how many
// of its threads waited for others meanwhile.
func felt(before, after map[string]telemetry.Pulse, id string) (cpus, waited float64, ok bool) {
	was, known := before[id]
	now, there := after[id]
	span := now.At.Sub(was.At).Seconds()
	if !known || !there || span <= 0 {
		return 0, 0, false
	}
	return max(0, (now.CPU-was.CPU).Seconds()/span), max(0, (now.Preempted-was.Preempted).Seconds()/span), true
}

func (l *Lender) revocable(t *Task, cpus float64) qos.Revocable {
	_, loan := splitAmounts(t.Task.GetResources())
	use, _ := l.history.Latest(t.ContainerID)
	return qos.Revocable{ID: t.ContainerID, Order: t.order, Request: loan.CPUs, CPUs: cpus, Mem: uint64(use.Mem)}
}

// note counts violations: windows, and how often they began.
func (w *watch) note(d qos.Decision) {
	w.last = d
	w.violations.Windows++
	if d.Violated {
		w.violations.Bad++
		if !w.violated {
			w.violations.Count++
		}
	}
	w.violated = d.Violated
}

// carryOut brings every revocable task to what it may do. What fails is tried
// again in the next window.
func (l *Lender) carryOut(d qos.Decision) {
	done := make(map[string]qos.Target, len(d.Targets))
	for _, t := range d.Targets {
		was, known := l.watch.done[t.ID]
		if !known {
			was = qos.Target{ID: t.ID, CPUs: math.NaN(), Frozen: true} // an earlier daemon may have left it so
		}
		if t.Evict && !was.Evict {
			l.agent.Evict(t.ID, reasonFor(d, t.ID))
		}
		if l.control == nil || t.Evict {
			done[t.ID] = t
			continue
		}
		now := was
		var errs []error
		if was.CPUs != t.CPUs {
			if err := l.control.LimitCPU(isolate.ID(t.ID), t.CPUs); err != nil {
				errs = append(errs, fmt.Errorf("limit: %w", err))
			} else {
				now.CPUs = t.CPUs
			}
		}
		if was.Frozen != t.Frozen {
			if err := l.freeze(isolate.ID(t.ID), t.Frozen); err != nil {
				errs = append(errs, err)
			} else {
				now.Frozen = t.Frozen
			}
		}
		done[t.ID] = now
		if err := errors.Join(errs...); err != nil && !errors.Is(err, isolate.ErrUnknownContainer) {
			l.warn("control "+t.ID, "a revocable task cannot be held back", "container_id", t.ID, "err", err)
		}
	}
	l.watch.done = done
}

func (l *Lender) freeze(id isolate.ID, frozen bool) error {
	if frozen {
		if err := l.control.Freeze(id); err != nil {
			return fmt.Errorf("freeze: %w", err)
		}
		return nil
	}
	if err := l.control.Thaw(id); err != nil {
		return fmt.Errorf("thaw: %w", err)
	}
	return nil
}

func reasonFor(d qos.Decision, id string) string {
	for _, a := range d.Actions {
		if a.Kind == qos.Evict && a.Task == id {
			return a.Reason
		}
	}
	return "others need what it borrowed"
}

// corrected tells of an action.
func (l *Lender) corrected(a qos.Action, tasks []*Task) {
	c := Correction{At: l.cfg.Now(), Action: string(a.Kind), CPUs: a.CPUs, Reason: a.Reason}
	for _, t := range tasks {
		id := t.Task.GetTaskId().GetValue()
		if t.ContainerID == a.Task {
			c.FrameworkID, c.TaskID = t.Framework.GetId().GetValue(), id
		}
		if t.ContainerID == a.Cause {
			c.Cause = id
		}
	}
	l.log.Info("revocable tasks corrected", "action", c.Action, "task_id", c.TaskID, "framework_id", c.FrameworkID, "reason", c.Reason)
	l.board.correct(c)
}

package agent

import (
	"time"

	"muster/node/agent/checkpoint"
	"muster/offers/mesos"
)

// drain is the end of all tasks as an operator wants it. It is over when the
// framework of each has acknowledged its end.
type drain struct {
	config *mesos.DrainConfig
	began  time.Time
}

// drain ends all tasks and takes up no more until they are gone. Told again, it goes
// by the new config: a task can only get less time by that.
// Mesos: src/slave/slave.cpp, Slave::drain.
func (a *Agent) drain(config *mesos.DrainConfig) {
	if len(a.tasks) == 0 {
		return
	}
	if config == nil {
		config = &mesos.DrainConfig{}
	}
	began := time.Now()
	if a.draining != nil {
		began = a.draining.began
	}
	a.log.Info("draining", "agent_id", a.id, "tasks", len(a.tasks), "mark_gone", config.GetMarkGone())
	a.setDrain(&drain{config, began})
	a.saveAgent()
	a.endTasks()
}

func (a *Agent) setDrain(d *drain) {
	a.draining = d
	a.board.drained(d)
}

// endTasks kills all tasks within the time that draining allows.
func (a *Agent) endTasks() {
	for _, t := range a.sorted() {
		a.kill(t, kill{grace: a.drainGrace(t)})
	}
}

// drainGrace is how long t has to end: what it asks for itself, within the bound;
// and the bound if it asks for nothing.
func (a *Agent) drainGrace(t *task) time.Duration {
	bound := a.draining.config.GetMaxGracePeriod()
	if bound == nil {
		return a.grace(t, nil)
	}
	most := max(time.Duration(bound.GetNanoseconds()), 0)
	if t.info().GetKillPolicy().GetGracePeriod() == nil {
		return most
	}
	return min(most, a.grace(t, nil))
}

// drainedStatus says in a status that its task was killed by draining. Gone by the
// operator is what ended; one that is being killed still runs.
// Mesos: src/slave/slave.cpp, Slave::_statusUpdate.
func (a *Agent) drainedStatus(t *task, s *mesos.TaskStatus) {
	if a.draining == nil {
		return
	}
	switch s.GetState() {
	case mesos.TaskState_TASK_KILLED:
		if a.draining.config.GetMarkGone() && has(t.framework.info, mesos.FrameworkInfo_Capability_PARTITION_AWARE) {
			s.State = mesos.TaskState_TASK_GONE_BY_OPERATOR.Enum()
		}
		s.Reason = mesos.TaskStatus_REASON_AGENT_DRAINING.Enum()
	case mesos.TaskState_TASK_KILLING:
		s.Reason = mesos.TaskStatus_REASON_AGENT_DRAINING.Enum()
	}
}

// drained ends draining with the last task.
func (a *Agent) drained() {
	if a.draining == nil || len(a.tasks) > 0 {
		return
	}
	a.log.Info("drained", "agent_id", a.id)
	a.setDrain(nil)
	a.saveAgent()
}

// restoreDrain takes up an earlier agent's draining before its tasks are.
func (a *Agent) restoreDrain(was *checkpoint.Agent) {
	if was.GetDrain() != nil {
		a.setDrain(&drain{was.GetDrain(), time.Unix(0, was.GetDrainStartNanoseconds())})
	}
}

// resumeDrain goes on with it: a task may have been taken up and not been killed yet.
func (a *Agent) resumeDrain() {
	if a.draining != nil {
		a.endTasks()
		a.drained()
	}
}

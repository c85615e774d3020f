package agent

import (
	"bytes"
	"time"

	"muster/node/agent/checkpoint"
	"muster/offers/mesos"
	"muster/offers/protocol"
)

// update is one status update of a task.
type update struct {
	status  *mesos.TaskStatus
	durable bool
}

// sending is how the oldest unacknowledged update of a task is brought to the framework.
type sending struct {
	timer  *time.Timer
	delay  time.Duration // before it is sent again
	acking bool          // acknowledged, but that is not on disk yet
}

func (s *sending) stop() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// report checkpoints a status update of t and has it sent when its turn comes.
func (a *Agent) report(t *task, s *mesos.TaskStatus) {
	a.drainedStatus(t, s)
	u := &update{status: s}
	t.updates = append(t.updates, u)
	if t.refusal {
		a.written(t, u)
		return
	}
	a.journal.Append(a.durable(t, u), updateRecord(t, s))
}

// durable returns what the journal calls when u is on disk.
func (a *Agent) durable(t *task, u *update) func(error) {
	return func(err error) {
		if err == nil {
			a.post(func() { a.written(t, u) })
			return
		}
		// Only a stopping agent, or a record that no journal can hold, comes here.
		a.log.Error("status update not checkpointed", "framework_id", t.key.Framework, "task_id", t.key.Task,
			"state", u.status.GetState().String(), "err", err)
	}
}

func updateRecord(t *task, s *mesos.TaskStatus) *checkpoint.Record {
	return &checkpoint.Record{Record: &checkpoint.Record_Update{Update: &checkpoint.Update{
		FrameworkId: t.launch.GetFrameworkId(), Status: s,
	}}}
}

// written: u is on disk and may be told.
func (a *Agent) written(t *task, u *update) {
	u.durable = true
	state := u.status.GetState()
	a.counts.update(state)
	a.board.put(t.key, a.view(t))
	if state.Terminal() {
		a.log.Info("task ended", "framework_id", t.key.Framework, "task_id", t.key.Task, "state", state.String(), "message", u.status.GetMessage())
		if !t.refusal {
			a.destroy(t.containerID(), t.measured)
		}
	}
	if t.acked < len(t.updates) && t.updates[t.acked] == u {
		a.deliver(t)
	}
	a.settleTask(t)
}

// deliver sends the oldest unacknowledged update, and again until it is acknowledged.
func (a *Agent) deliver(t *task) {
	if !a.link.registered || t.sending.acking || t.acked == len(t.updates) || !t.updates[t.acked].durable {
		return
	}
	u := t.updates[t.acked]
	a.send(updateMessage(t, u.status, t.state()))
	a.sendAgain(&t.sending, func() {
		if t.acked < len(t.updates) && t.updates[t.acked] == u {
			a.deliver(t)
		}
	})
}

// sendAgain has send called when it is time to repeat what s is about, on this link.
func (a *Agent) sendAgain(s *sending, send func()) {
	if s.delay == 0 {
		s.delay = a.cfg.RetryMin
	}
	serial, delay := a.link.serial, s.delay
	s.delay = min(2*delay, a.cfg.RetryMax)
	s.stop()
	s.timer = a.after(delay, func() {
		if a.link.serial == serial {
			a.counts.Retries.Add(1)
			send()
		}
	})
}

func updateMessage(t *task, s *mesos.TaskStatus, latest mesos.TaskState) *protocol.AgentToMaster {
	return &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Update{Update: &protocol.Update{
		FrameworkId: t.launch.GetFrameworkId(), Status: s, LatestState: &latest,
	}}}
}

// resend begins the delivery of t's oldest update anew.
func (a *Agent) resend(t *task) {
	t.sending.delay = 0
	a.deliver(t)
}

// acknowledge ends the delivery of an update and begins that of the next.
func (a *Agent) acknowledge(m *protocol.Acknowledge) {
	t := a.tasks[checkpoint.Key{Framework: m.GetFrameworkId().GetValue(), Task: m.GetTaskId().GetValue()}]
	if t == nil || t.sending.acking || t.acked == len(t.updates) {
		return
	}
	u := t.updates[t.acked]
	if !u.durable || !bytes.Equal(u.status.GetUuid(), m.GetUuid()) {
		a.log.Debug("acknowledgement of another update ignored", "framework_id", t.key.Framework, "task_id", t.key.Task)
		return
	}
	t.sending.stop()
	if t.refusal {
		a.acknowledged(t)
		return
	}
	t.sending.acking = true
	a.journal.Append(func(err error) {
		if err == nil {
			a.post(func() { a.acknowledged(t) })
		}
	}, &checkpoint.Record{Record: &checkpoint.Record_Acknowledged{Acknowledged: &checkpoint.Acknowledged{
		FrameworkId: m.GetFrameworkId(), TaskId: m.GetTaskId(), Uuid: m.GetUuid(),
	}}})
}

func (a *Agent) acknowledged(t *task) {
	if a.tasks[t.key] != t {
		return // it was forgotten meanwhile
	}
	state := t.updates[t.acked].status.GetState()
	t.acked++
	t.sending = sending{}
	if state.Terminal() {
		a.remove(t)
		return
	}
	a.board.put(t.key, a.view(t))
	a.deliver(t)
}

// settle lets go of ended tasks whose updates nobody will acknowledge.
func (a *Agent) settle() {
	for _, t := range a.sorted() {
		a.settleTask(t)
	}
}

func (a *Agent) settleTask(t *task) {
	if !a.purging && !t.framework.shutdown || !t.state().Terminal() {
		return
	}
	a.send(updateMessage(t, t.updates[len(t.updates)-1].status, t.state()))
	if !t.refusal {
		a.journal.Append(nil, &checkpoint.Record{Record: &checkpoint.Record_Forget{Forget: &checkpoint.Forget{
			FrameworkId: t.launch.GetFrameworkId(), TaskId: t.info().GetTaskId(),
		}}})
	}
	a.remove(t)
}

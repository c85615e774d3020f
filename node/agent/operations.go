package agent

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"muster/node/agent/checkpoint"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/resource"
)

// operation converts resources of this agent. One after the other: first on disk,
// then told.
type operation struct {
	msg         *mesos.Operation // replaced, never modified
	conversions []resource.Conversion
	begun       bool // the work on its volumes or its end is under way
	recorded    bool // it is in the journal, and so is what it makes of the resources
	sending     sending
}

func (o *operation) uuid() string { return string(o.msg.GetUuid().GetValue()) }

// ended tells whether its last status is decided, and may be told.
func (o *operation) ended() bool { return o.msg.GetLatestStatus().GetState().Terminal() }

// applyOperation takes up an operation. What comes later on the link counts on it:
// the total is what it makes of it from now on, the disk follows.
func (a *Agent) applyOperation(m *protocol.ApplyOperation) {
	if known := a.operations[string(m.GetOperationUuid())]; known != nil {
		a.deliverOperation(known)
		return
	}
	o := &operation{msg: &mesos.Operation{
		FrameworkId: m.GetFrameworkId(), AgentId: &mesos.AgentID{Value: proto.String(a.id)}, Info: m.GetInfo(),
		Uuid: &mesos.UUID{Value: m.GetOperationUuid()},
	}}
	o.set(mesos.OperationState_OPERATION_PENDING, "")
	total, err := o.resolve(a.total)
	if err == nil && a.purging {
		err = fmt.Errorf("the agent was marked gone")
	}
	if err != nil {
		a.log.Error("operation cannot be applied", "operation", m.GetInfo().GetType().String(), "err", err)
		a.dropOperation(m.GetOperationUuid(), err.Error())
		return
	}
	a.total = total
	a.operations[o.uuid()] = o
	a.queue = append(a.queue, o)
	a.showOperations()
	a.nextOperation()
}

// resolve finds out what o does, and returns what it makes of the total.
func (o *operation) resolve(total resource.Set) (resource.Set, error) {
	conversions, err := resource.Convert(o.msg.GetInfo())
	if err != nil {
		return resource.Set{}, err
	}
	for i := range conversions {
		conversions[i] = conversions[i].Unallocate()
	}
	o.conversions = conversions
	return total.Apply(conversions...)
}

// set gives o a status of its own making.
func (o *operation) set(state mesos.OperationState, message string) {
	s := &mesos.OperationStatus{OperationId: o.msg.GetInfo().GetId(), State: state.Enum(), AgentId: o.msg.GetAgentId()}
	if message != "" {
		s.Message = &message
	}
	if state.Terminal() {
		id := uuid.New()
		s.Uuid = &mesos.UUID{Value: id[:]}
	}
	o.msg = &mesos.Operation{FrameworkId: o.msg.FrameworkId, AgentId: o.msg.AgentId, Info: o.msg.Info, LatestStatus: s, Uuid: o.msg.Uuid}
	if state.Terminal() {
		o.msg.Statuses = []*mesos.OperationStatus{s}
	}
}

// dropOperation says that an operation is not known here, or cannot be applied:
// nothing was done, and nothing needs to be remembered.
func (a *Agent) dropOperation(id []byte, why string) {
	a.send(&protocol.AgentToMaster{Message: &protocol.AgentToMaster_UpdateOperation{UpdateOperation: &protocol.UpdateOperation{
		OperationUuid: id,
		Status:        &mesos.OperationStatus{State: mesos.OperationState_OPERATION_DROPPED.Enum(), Message: proto.String(why)},
	}}})
}

// nextOperation begins the oldest operation, unless it is under way or has to wait.
func (a *Agent) nextOperation() {
	if len(a.queue) == 0 || a.queue[0].begun {
		return
	}
	o := a.queue[0]
	switch o.msg.GetInfo().GetType() {
	case mesos.Offer_Operation_CREATE:
		o.begun = true
		a.onVolumes(o, o.msg.GetInfo().GetCreate().GetVolumes(), makeVolume, func(err error) {
			if err != nil {
				a.failOperation(o, err)
				return
			}
			a.finishOperation(o)
		})
	case mesos.Offer_Operation_DESTROY:
		if a.using(o.msg.GetInfo().GetDestroy().GetVolumes()) {
			return // the tasks of a framework that was removed may still be ending
		}
		o.begun = true
		a.beginDestroy(o)
	default:
		o.begun = true
		a.finishOperation(o)
	}
}

// onVolumes does something with the directory of each volume, as a job.
func (a *Agent) onVolumes(o *operation, volumes []*mesos.Resource, do func(volume) error, done func(error)) {
	var list []volume
	for _, r := range volumes {
		list = append(list, a.volumeOf(r))
	}
	a.disks.do(func() {
		var err error
		for _, v := range list {
			if err = do(v); err != nil {
				break
			}
		}
		if a.ctx.Err() == nil {
			a.post(func() { done(err) })
		}
	})
}

// beginDestroy notes down that volumes are to go, before anything of them does:
// should the agent die meanwhile, the next one goes on.
func (a *Agent) beginDestroy(o *operation) {
	destroy := func() {
		a.onVolumes(o, o.msg.GetInfo().GetDestroy().GetVolumes(), destroyVolume, func(err error) { a.destroyed(o, err) })
	}
	if o.recorded {
		destroy()
		return
	}
	a.journal.Try(func(err error) {
		a.post(func() {
			if err != nil {
				a.failOperation(o, err)
				return
			}
			o.recorded = true
			destroy()
		})
	}, a.madeRecord(o, o.msg))
}

// destroyed: the volumes are gone, or not yet. It is tried again: what is left of
// them is nobody's any more.
func (a *Agent) destroyed(o *operation, err error) {
	if err == nil {
		a.finishOperation(o)
		return
	}
	a.log.Error("volume cannot be removed yet", "operation_id", o.msg.GetInfo().GetId().GetValue(), "err", err)
	a.after(10*time.Second, func() {
		o.begun = false
		a.nextOperation()
	})
}

// finishOperation writes down the end of the oldest operation and what it has made.
func (a *Agent) finishOperation(o *operation) {
	pending := o.msg
	o.set(mesos.OperationState_OPERATION_FINISHED, "")
	finished := o.msg
	o.msg = pending // until it is on disk
	done := func(err error) {
		a.post(func() {
			if err != nil {
				a.failOperation(o, err)
				return
			}
			o.msg = finished
			a.operationFinished(o)
		})
	}
	if o.recorded {
		a.journal.Append(done, &checkpoint.Record{Record: &checkpoint.Record_Operation{Operation: finished}})
		return
	}
	a.journal.Try(done, a.madeRecord(o, finished))
}

// operationFinished: the oldest operation is on disk.
func (a *Agent) operationFinished(o *operation) {
	a.settled = a.withApplied(o)
	o.recorded = true
	a.queue = a.queue[1:]
	a.counts.Operations.Add(1)
	a.log.Info("operation applied", "operation", o.msg.GetInfo().GetType().String(), "operation_id", o.msg.GetInfo().GetId().GetValue(),
		"framework_id", o.msg.GetFrameworkId().GetValue())
	a.board.linked(a.link, a.info())
	a.showOperations()
	a.deliverOperation(o)
	a.admitHeld()
	a.nextOperation()
}

// failOperation gives up the oldest operation, and those after it that need what it
// would have made. Nothing of them is on disk: should the agent die, it knows
// nothing of them and says so, which means the same.
func (a *Agent) failOperation(o *operation, err error) {
	a.log.Error("operation failed", "operation", o.msg.GetInfo().GetType().String(), "operation_id", o.msg.GetInfo().GetId().GetValue(), "err", err)
	failed := []*operation{o}
	o.set(mesos.OperationState_OPERATION_FAILED, err.Error())
	var left []*operation
	a.total = a.settled
	for _, q := range a.queue[1:] {
		if total, err := q.resolve(a.total); err == nil {
			a.total, left = total, append(left, q)
		} else {
			q.set(mesos.OperationState_OPERATION_FAILED, "an operation before it failed: "+err.Error())
			failed = append(failed, q)
		}
	}
	a.queue = left
	a.showOperations()
	for _, f := range failed {
		a.deliverOperation(f)
	}
	a.admitHeld()
	a.nextOperation()
}

// withApplied returns what is settled and the oldest operation together.
func (a *Agent) withApplied(o *operation) resource.Set {
	total, err := a.settled.Apply(o.conversions...)
	if err != nil {
		return a.settled // it was resolved on just this
	}
	return total
}

// madeRecord writes down what operations have made, o being the last of them.
func (a *Agent) madeRecord(o *operation, msg *mesos.Operation) *checkpoint.Record {
	return &checkpoint.Record{Record: &checkpoint.Record_Resources{Resources: &checkpoint.Resources{
		Made: a.withApplied(o).Converted().Proto(), Operation: msg,
	}}}
}

// deliverOperation tells how o ended, and again until it is acknowledged.
func (a *Agent) deliverOperation(o *operation) {
	if !a.link.registered || !o.ended() || o.sending.acking || a.operations[o.uuid()] != o {
		return
	}
	s := o.msg.GetLatestStatus()
	a.send(&protocol.AgentToMaster{Message: &protocol.AgentToMaster_UpdateOperation{UpdateOperation: &protocol.UpdateOperation{
		FrameworkId: o.msg.GetFrameworkId(), OperationUuid: o.msg.GetUuid().GetValue(), Status: s, LatestStatus: s,
	}}})
	a.sendAgain(&o.sending, func() { a.deliverOperation(o) })
}

// acknowledgeOperation ends the delivery of an operation's end, and the operation.
func (a *Agent) acknowledgeOperation(m *protocol.AcknowledgeOperation) {
	o := a.operations[string(m.GetOperationUuid())]
	if o == nil || !o.ended() || string(o.msg.GetLatestStatus().GetUuid().GetValue()) != string(m.GetStatusUuid()) {
		return
	}
	a.forgetOperation(o)
}

// forgetOperation lets go of an operation of which nobody needs to hear any more.
func (a *Agent) forgetOperation(o *operation) {
	o.sending.stop()
	if !o.recorded {
		a.removeOperation(o)
		return
	}
	if o.sending.acking {
		return
	}
	o.sending.acking = true
	a.journal.Append(func(err error) {
		if err == nil {
			a.post(func() { a.removeOperation(o) })
		}
	}, &checkpoint.Record{Record: &checkpoint.Record_OperationForgotten{OperationForgotten: &checkpoint.OperationForgotten{
		OperationUuid: o.msg.GetUuid().GetValue(),
	}}})
}

func (a *Agent) removeOperation(o *operation) {
	delete(a.operations, o.uuid())
	a.showOperations()
}

// reconcileOperations answers for operations that the leader thinks are here.
func (a *Agent) reconcileOperations(ids [][]byte) {
	for _, id := range ids {
		if o := a.operations[string(id)]; o != nil {
			a.deliverOperation(o)
		} else {
			a.dropOperation(id, "the agent does not know the operation")
		}
	}
}

// sortedOperations returns the operations: those that ended, then those to come, in
// the order in which they were given.
func (a *Agent) sortedOperations() []*operation {
	var list []*operation
	for _, id := range slices.Sorted(maps.Keys(a.operations)) {
		if o := a.operations[id]; o.ended() {
			list = append(list, o)
		}
	}
	return append(list, a.queue...)
}

func (a *Agent) operationMessages() []*mesos.Operation {
	var list []*mesos.Operation
	for _, o := range a.sortedOperations() {
		list = append(list, o.msg)
	}
	return list
}

func (a *Agent) showOperations() { a.board.setOperations(a.operationMessages()) }

// restoreOperations takes up the operations that the journal holds: those that ended
// and were not acknowledged, and a DESTROY that was under way.
func (a *Agent) restoreOperations(list []*mesos.Operation) {
	for _, msg := range list {
		o := &operation{msg: msg, recorded: true}
		a.operations[o.uuid()] = o
		if o.ended() {
			continue
		}
		a.queue = append(a.queue, o)
		// The journal has what it makes already; it is not told before it has ended.
		if _, err := o.resolve(a.settled); err != nil {
			for _, c := range o.conversions {
				a.settled = a.settled.Sub(c.Converted).Add(c.Consumed)
			}
		}
	}
	a.showOperations()
}

// disownOperations forgets whose operations these are: the agent was marked gone, and
// whoever asked for them knows that.
func (a *Agent) disownOperations() {
	for _, o := range a.sortedOperations() {
		if o.ended() {
			a.forgetOperation(o)
		} else {
			a.queue = slices.DeleteFunc(a.queue, func(q *operation) bool { return q == o && !q.begun })
			if !o.begun {
				a.removeOperation(o)
			}
		}
	}
}

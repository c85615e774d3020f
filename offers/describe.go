package offers

import (
	"fmt"
	"strings"
	"time"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/registry"
	"muster/offers/resource"
)

// Describer writes inputs and effects in one line each: scenarios and traces show
// them so. Points in time are told from Since on.
type Describer struct{ Since time.Time }

// Effect writes an effect in one line.
func (d Describer) Effect(e Effect) string {
	switch e := e.(type) {
	case ToAgent:
		return fmt.Sprintf("agent %d <- %s", e.Link, describeToAgent(e.Message))
	case ToGateway:
		return fmt.Sprintf("gateway %d <- %s", e.Link, d.toGateway(e.Message))
	case Disconnect:
		return fmt.Sprintf("disconnect %d: %s", e.Link, e.Reason)
	case Propose:
		return "propose " + subject(e.Op) + d.op(e.Op)
	case Publish:
		return "view <- " + describeFact(e.Event)
	}
	return fmt.Sprintf("%T", e)
}

func (d Describer) op(op *registry.Op) string {
	switch {
	case op.GetFrameworkDisconnected() != nil:
		return " until +" + time.Unix(0, op.GetFrameworkDisconnected().GetDeadline()).Sub(d.Since).String()
	case op.GetFrameworkConnected() != nil:
		return " with " + op.GetFrameworkConnected().GetSessionId()
	case op.GetDrainAgent() != nil:
		return describeDrain(op.GetDrainAgent().GetConfig())
	case op.GetStartMaintenance() != nil:
		return describeMachines(op.GetStartMaintenance().GetMachines())
	case op.GetStopMaintenance() != nil:
		return describeMachines(op.GetStopMaintenance().GetMachines())
	}
	return ""
}

func describeDrain(c *mesos.DrainConfig) string {
	out := ""
	if c.MaxGracePeriod != nil {
		out += " within " + time.Duration(c.GetMaxGracePeriod().GetNanoseconds()).String()
	}
	if c.GetMarkGone() {
		out += ", then gone"
	}
	return out
}

func describeMachines(ids []*mesos.MachineID) string {
	out := ""
	for _, id := range ids {
		out += " " + registry.MachineText(id)
	}
	return out
}

func (d Describer) unavailability(u *mesos.Unavailability) string {
	out := "unavailable from +" + time.Unix(0, u.GetStart().GetNanoseconds()).Sub(d.Since).String()
	if u.Duration != nil {
		out += " for " + time.Duration(u.GetDuration().GetNanoseconds()).String()
	}
	return out
}

func describeToAgent(msg *protocol.MasterToAgent) string {
	switch m := msg.GetMessage().(type) {
	case *protocol.MasterToAgent_Registered:
		return "REGISTERED " + m.Registered.GetAgentId().GetValue()
	case *protocol.MasterToAgent_Refused:
		return fmt.Sprintf("REFUSED gone=%t %s", m.Refused.GetGone(), m.Refused.GetMessage())
	case *protocol.MasterToAgent_RunTask:
		var tasks []string
		for _, t := range m.RunTask.GetTasks() {
			res, _ := resource.FromProto(t.GetResources())
			tasks = append(tasks, t.GetTaskId().GetValue()+" with "+res.String())
		}
		executor := ""
		if m.RunTask.Executor != nil {
			executor = " on executor " + m.RunTask.GetExecutor().GetExecutorId().GetValue()
		}
		return fmt.Sprintf("RUN %s of %s%s", strings.Join(tasks, ", "), m.RunTask.GetFramework().GetId().GetValue(), executor)
	case *protocol.MasterToAgent_KillTask:
		policy := ""
		if m.KillTask.KillPolicy != nil {
			policy = fmt.Sprintf(" within %s", time.Duration(m.KillTask.GetKillPolicy().GetGracePeriod().GetNanoseconds()))
		}
		return fmt.Sprintf("KILL %s of %s%s", m.KillTask.GetTaskId().GetValue(), m.KillTask.GetFrameworkId().GetValue(), policy)
	case *protocol.MasterToAgent_Acknowledge:
		return fmt.Sprintf("ACKNOWLEDGE %s of %s %x", m.Acknowledge.GetTaskId().GetValue(), m.Acknowledge.GetFrameworkId().GetValue(), m.Acknowledge.GetUuid()[:min(1, len(m.Acknowledge.GetUuid()))])
	case *protocol.MasterToAgent_ShutdownFramework:
		return "SHUTDOWN FRAMEWORK " + m.ShutdownFramework.GetFrameworkId().GetValue()
	case *protocol.MasterToAgent_UpdateFramework:
		return "UPDATE FRAMEWORK " + m.UpdateFramework.GetFramework().GetId().GetValue()
	case *protocol.MasterToAgent_Reconcile:
		var tasks []string
		for _, t := range m.Reconcile.GetTasks() {
			tasks = append(tasks, t.GetTaskId().GetValue())
		}
		return "RECONCILE " + strings.Join(tasks, ", ")
	case *protocol.MasterToAgent_FrameworkMessage:
		return fmt.Sprintf("MESSAGE to %s: %s", m.FrameworkMessage.GetExecutorId().GetValue(), m.FrameworkMessage.GetData())
	case *protocol.MasterToAgent_ApplyOperation:
		return fmt.Sprintf("APPLY %s%s", describeOperation(m.ApplyOperation.GetInfo()), byWhom(m.ApplyOperation.GetFrameworkId()))
	case *protocol.MasterToAgent_AcknowledgeOperation:
		return fmt.Sprintf("ACKNOWLEDGE OPERATION %.1x", m.AcknowledgeOperation.GetStatusUuid())
	case *protocol.MasterToAgent_ReconcileOperations:
		return fmt.Sprintf("RECONCILE %d OPERATIONS", len(m.ReconcileOperations.GetOperationUuids()))
	case *protocol.MasterToAgent_Heartbeat:
		return "HEARTBEAT"
	case *protocol.MasterToAgent_Drain:
		return "DRAIN" + describeDrain(m.Drain.GetConfig())
	case *protocol.MasterToAgent_ShutdownExecutor:
		return "SHUTDOWN EXECUTOR " + m.ShutdownExecutor.GetExecutorId().GetValue()
	}
	return kindOf(msg)
}

func (d Describer) toGateway(msg *protocol.MasterToGateway) string {
	switch m := msg.GetMessage().(type) {
	case *protocol.MasterToGateway_Event:
		return m.Event.GetSessionId() + " " + d.event(m.Event.GetEvent())
	case *protocol.MasterToGateway_Reply:
		return strings.TrimSpace(fmt.Sprintf("reply %d %s", m.Reply.GetCode(), m.Reply.GetMessage()+describeExplanation(m.Reply.GetExplanation())))
	case *protocol.MasterToGateway_Closed:
		return m.Closed.GetSessionId() + " closed"
	case *protocol.MasterToGateway_Heartbeat:
		return "HEARTBEAT"
	}
	return kindOf(msg)
}

func (d Describer) event(e *scheduler.Event) string {
	kind := e.GetType().String() + " "
	switch e.GetType() {
	case scheduler.Event_SUBSCRIBED:
		return kind + e.GetSubscribed().GetFrameworkId().GetValue()
	case scheduler.Event_OFFERS:
		var out []string
		for _, o := range e.GetOffers().GetOffers() {
			out = append(out, d.offer(o))
		}
		return kind + strings.Join(out, ", ")
	case scheduler.Event_RESCIND:
		return kind + e.GetRescind().GetOfferId().GetValue()
	case scheduler.Event_INVERSE_OFFERS:
		var out []string
		for _, o := range e.GetInverseOffers().GetInverseOffers() {
			out = append(out, fmt.Sprintf("%s(agent %s %s)", o.GetId().GetValue(), o.GetAgentId().GetValue(), d.unavailability(o.GetUnavailability())))
		}
		return kind + strings.Join(out, ", ")
	case scheduler.Event_RESCIND_INVERSE_OFFER:
		return kind + e.GetRescindInverseOffer().GetInverseOfferId().GetValue()
	case scheduler.Event_UPDATE:
		return kind + d.status(e.GetUpdate().GetStatus())
	case scheduler.Event_UPDATE_OPERATION_STATUS:
		return kind + describeOperationStatus(e.GetUpdateOperationStatus().GetStatus())
	case scheduler.Event_MESSAGE:
		return fmt.Sprintf("%sfrom %s: %s", kind, e.GetMessage().GetExecutorId().GetValue(), e.GetMessage().GetData())
	case scheduler.Event_FAILURE:
		f := e.GetFailure()
		if f.ExecutorId != nil {
			return fmt.Sprintf("%sagent %s executor %s status %d", kind, f.GetAgentId().GetValue(), f.GetExecutorId().GetValue(), f.GetStatus())
		}
		return kind + "agent " + f.GetAgentId().GetValue()
	case scheduler.Event_ERROR:
		return kind + e.GetError().GetMessage()
	}
	return kind
}

func (d Describer) offer(o *mesos.Offer) string {
	role := "-"
	if o.AllocationInfo != nil {
		role = o.GetAllocationInfo().GetRole()
	}
	res, err := resource.FromProto(o.GetResources())
	if err != nil {
		return err.Error()
	}
	more := ""
	for _, e := range o.GetExecutorIds() {
		more += " executor " + e.GetValue()
	}
	if o.Unavailability != nil {
		more += " " + d.unavailability(o.GetUnavailability())
	}
	return fmt.Sprintf("%s(agent %s role %s %s %s%s)", o.GetId().GetValue(), o.GetAgentId().GetValue(), role, formatOf(o.GetResources()), res, more)
}

// formatOf names the form that reservations have.
func formatOf(rs []*mesos.Resource) string {
	for _, r := range rs {
		if r.Role != nil {
			return "old"
		}
	}
	return "stacked"
}

// describeOperation writes what an operation does, and its ID.
func describeOperation(op *mesos.Offer_Operation) string {
	out := op.GetType().String()
	if op.Id != nil {
		out += " " + op.GetId().GetValue()
	}
	conversions, err := resource.Convert(op)
	if err != nil {
		return out + " " + err.Error()
	}
	for _, c := range conversions {
		out += fmt.Sprintf(" [%s -> %s]", c.Consumed, c.Converted)
	}
	return out
}

func byWhom(id *mesos.FrameworkID) string {
	if id == nil {
		return " of an operator"
	}
	return " of " + id.GetValue()
}

func describeOperationStatus(s *mesos.OperationStatus) string {
	out := s.GetOperationId().GetValue() + " " + s.GetState().String()
	if s.AgentId != nil {
		out += " agent " + s.GetAgentId().GetValue()
	}
	if s.Uuid != nil {
		out += fmt.Sprintf(" uuid %.1x", s.GetUuid().GetValue())
	}
	if rs := s.GetConvertedResources(); len(rs) > 0 {
		res, _ := resource.FromProto(rs)
		out += fmt.Sprintf(" converted %s %s", formatOf(rs), res)
	}
	if s.Message != nil {
		out += ": " + s.GetMessage()
	}
	return out
}

func (d Describer) status(s *mesos.TaskStatus) string {
	out := s.GetTaskId().GetValue() + " " + s.GetState().String()
	if s.Reason != nil {
		out += " " + s.GetReason().String()
	}
	if s.AgentId != nil {
		out += " agent " + s.GetAgentId().GetValue()
	}
	if s.ExecutorId != nil {
		out += " executor " + s.GetExecutorId().GetValue()
	}
	if s.Uuid != nil {
		out += fmt.Sprintf(" uuid %x", s.GetUuid()[:min(1, len(s.GetUuid()))])
	}
	if s.UnreachableTime != nil {
		out += " since +" + time.Unix(0, s.GetUnreachableTime().GetNanoseconds()).Sub(d.Since).String()
	}
	if rs := s.GetLimitation().GetResources(); len(rs) > 0 {
		res, _ := resource.FromProto(rs)
		out += fmt.Sprintf(" limited %s %s", formatOf(rs), res)
	}
	if s.Healthy != nil {
		out += fmt.Sprintf(" healthy %t", s.GetHealthy())
	}
	if s.Message != nil {
		out += ": " + s.GetMessage()
	}
	return out
}

package offers

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/resource"
)

// Input writes an input in one line.
func (d Describer) Input(in Input) string {
	switch in := in.(type) {
	case Start:
		return "start"
	case AgentConnected:
		return strings.TrimSpace(fmt.Sprintf("agent %d connected %s", in.Link, in.Peer))
	case GatewayConnected:
		return strings.TrimSpace(fmt.Sprintf("gateway %d connected %s", in.Link, in.Peer))
	case FromAgent:
		return fmt.Sprintf("agent %d -> %s", in.Link, d.fromAgent(in.Message))
	case FromGateway:
		return fmt.Sprintf("gateway %d -> %s", in.Link, describeFromGateway(in.Message))
	case AgentDisconnected:
		return fmt.Sprintf("agent %d disconnected", in.Link)
	case GatewayDisconnected:
		return fmt.Sprintf("gateway %d disconnected", in.Link)
	case Committed:
		if in.Err != nil {
			return fmt.Sprintf("not committed %s: %v", subject(in.Op), in.Err)
		}
		return "committed " + subject(in.Op)
	case Tick:
		return "tick"
	}
	return fmt.Sprintf("%T", in)
}

func (d Describer) fromAgent(msg *protocol.AgentToMaster) string {
	switch m := msg.GetMessage().(type) {
	case *protocol.AgentToMaster_Register:
		a := m.Register.GetAgent()
		res, err := resource.FromProto(a.GetResources())
		if err != nil {
			return "REGISTER " + a.GetId().GetValue() + ": " + err.Error()
		}
		return strings.Join(strings.Fields(fmt.Sprintf("REGISTER %s %s with %s, %d tasks", a.GetId().GetValue(), a.GetHostname(), res, len(m.Register.GetTasks()))), " ")
	case *protocol.AgentToMaster_UpdateOperation:
		return "UPDATE_OPERATION " + describeOperationStatus(m.UpdateOperation.GetStatus())
	case *protocol.AgentToMaster_Update:
		return fmt.Sprintf("UPDATE of %s %s", m.Update.GetFrameworkId().GetValue(), d.status(m.Update.GetStatus()))
	}
	return kindOf(msg)
}

func describeFromGateway(msg *protocol.GatewayToMaster) string {
	switch m := msg.GetMessage().(type) {
	case *protocol.GatewayToMaster_Subscribe:
		info := m.Subscribe.GetCall().GetSubscribe().GetFrameworkInfo()
		kind := "SUBSCRIBE"
		if m.Subscribe.GetResume() {
			kind = "RESUME"
		}
		return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", kind, m.Subscribe.GetSessionId(), info.GetName(), info.GetId().GetValue()))
	case *protocol.GatewayToMaster_Call:
		call := m.Call.GetCall()
		return fmt.Sprintf("%s %s of %s%s", m.Call.GetSessionId(), call.GetType(), call.GetFrameworkId().GetValue(), named(call))
	case *protocol.GatewayToMaster_Operate:
		return "OPERATE " + m.Operate.GetCall().GetType().String()
	case *protocol.GatewayToMaster_Explain:
		return strings.TrimSpace(fmt.Sprintf("EXPLAIN %s %s %s", m.Explain.GetFramework(), m.Explain.GetRole(), m.Explain.GetAgent()))
	case *protocol.GatewayToMaster_Closed:
		return m.Closed.GetSessionId() + " closed"
	}
	return kindOf(msg)
}

// named lists what offers, tasks and operations a call names.
func named(call *scheduler.Call) string {
	var out []string
	for _, ids := range [][]*mesos.OfferID{call.GetAccept().GetOfferIds(), call.GetDecline().GetOfferIds()} {
		for _, id := range ids {
			out = append(out, id.GetValue())
		}
	}
	for _, op := range call.GetAccept().GetOperations() {
		out = append(out, op.GetType().String())
		for _, t := range Launched(op) {
			out = append(out, t.GetTaskId().GetValue())
		}
	}
	for _, id := range []*mesos.TaskID{call.GetKill().GetTaskId(), call.GetAcknowledge().GetTaskId()} {
		if id != nil {
			out = append(out, id.GetValue())
		}
	}
	if len(out) == 0 {
		return ""
	}
	return ": " + strings.Join(out, " ")
}

// describeFact writes what the view is told of.
func describeFact(msg *protocol.ViewEvent) string {
	kind := kindOf(msg)
	switch e := msg.GetEvent().(type) {
	case *protocol.ViewEvent_Agent:
		return kind + " " + e.Agent.GetAgentInfo().GetId().GetValue()
	case *protocol.ViewEvent_AgentRemoved_:
		return kind + " " + e.AgentRemoved.GetAgentId().GetValue()
	case *protocol.ViewEvent_RecoveredAgent:
		return kind + " " + e.RecoveredAgent.GetId().GetValue()
	case *protocol.ViewEvent_Framework:
		return kind + " " + e.Framework.GetFrameworkInfo().GetId().GetValue()
	case *protocol.ViewEvent_FrameworkRemoved_:
		return kind + " " + e.FrameworkRemoved.GetFrameworkId().GetValue()
	case *protocol.ViewEvent_Task:
		return kind + " " + e.Task.GetTask().GetTaskId().GetValue() + " " + e.Task.GetTask().GetState().String()
	case *protocol.ViewEvent_TaskRemoved_:
		return kind + " " + e.TaskRemoved.GetTaskId().GetValue()
	case *protocol.ViewEvent_Offer:
		return kind + " " + e.Offer.GetId().GetValue()
	case *protocol.ViewEvent_OfferRemoved_:
		return kind + " " + e.OfferRemoved.GetOfferId().GetValue()
	}
	return kind
}

// kindOf names which of a message's kinds it is.
func kindOf(m proto.Message) string {
	r := m.ProtoReflect()
	if !r.IsValid() {
		return "nothing"
	}
	for i := range r.Descriptor().Oneofs().Len() {
		if f := r.WhichOneof(r.Descriptor().Oneofs().Get(i)); f != nil {
			return strings.ToUpper(strings.ReplaceAll(string(f.Name()), "_", " "))
		}
	}
	return "nothing"
}

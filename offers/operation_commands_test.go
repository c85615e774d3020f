package offers

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// reserved reads resources that are reserved at run time: role is ROLE[@PRINCIPAL],
// several with > between them, or - for none. text is as usual, and has volumes as
// vol:ID:SIZE[:shared][:ro].
func (s *scenario) reserved(role, text string) []*mesos.Resource {
	var out []*mesos.Resource
	for one := range strings.SplitSeq(text, ";") {
		f := strings.Split(one, ":")
		if f[0] != "vol" {
			out = append(out, s.resources(one).Proto()...)
			continue
		}
		r := s.resources("disk:" + f[2]).Proto()[0]
		r.Disk = &mesos.Resource_DiskInfo{
			Persistence: &mesos.Resource_DiskInfo_Persistence{Id: proto.String(f[1])},
			Volume:      &mesos.Volume{ContainerPath: proto.String("data"), Mode: mesos.Volume_RW.Enum()},
		}
		for _, flag := range f[3:] {
			switch flag {
			case "shared":
				r.Shared = &mesos.Resource_SharedInfo{}
			case "ro":
				r.Disk.Volume.Mode = mesos.Volume_RO.Enum()
			}
		}
		out = append(out, r)
	}
	if role == "-" {
		return out
	}
	for one := range strings.SplitSeq(role, ">") {
		name, principal, named := strings.Cut(one, "@")
		for _, r := range out {
			info := &mesos.Resource_ReservationInfo{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: proto.String(name)}
			if named {
				info.Principal = proto.String(principal)
				if p := r.GetDisk().GetPersistence(); p != nil {
					p.Principal = info.Principal
				}
			}
			r.Reservations = append(r.Reservations, info)
		}
	}
	return out
}

// operation reads VERB[#ID]|ROLE|RESOURCES[|AMOUNT], of LAUNCH
// launch|TASK|ROLE|RESOURCES[|ROLE|RESOURCES].
func (s *scenario) operation(agent, text string) *mesos.Offer_Operation {
	f := strings.Split(text, "|")
	verb, id, named := strings.Cut(f[0], "#")
	op := &mesos.Offer_Operation{}
	if named {
		op.Id = &mesos.OperationID{Value: proto.String(id)}
	}
	if verb == "launch" {
		info := &mesos.TaskInfo{Name: proto.String(f[1]), TaskId: taskID(f[1]), AgentId: agentID(agent),
			Command: &mesos.CommandInfo{Value: proto.String("sleep 1")}}
		for i := 2; i < len(f); i += 2 {
			info.Resources = append(info.Resources, s.reserved(f[i], f[i+1])...)
		}
		op.Type, op.Launch = mesos.Offer_Operation_LAUNCH.Enum(), &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{info}}
		return op
	}
	rs := s.reserved(f[1], f[2])
	switch verb {
	case "reserve":
		op.Type, op.Reserve = mesos.Offer_Operation_RESERVE.Enum(), &mesos.Offer_Operation_Reserve{Resources: rs}
	case "unreserve":
		op.Type, op.Unreserve = mesos.Offer_Operation_UNRESERVE.Enum(), &mesos.Offer_Operation_Unreserve{Resources: rs}
	case "create":
		op.Type, op.Create = mesos.Offer_Operation_CREATE.Enum(), &mesos.Offer_Operation_Create{Volumes: rs}
	case "destroy":
		op.Type, op.Destroy = mesos.Offer_Operation_DESTROY.Enum(), &mesos.Offer_Operation_Destroy{Volumes: rs}
	case "move": // from the first role to the second
		op.Type = mesos.Offer_Operation_RESERVE.Enum()
		op.Reserve = &mesos.Offer_Operation_Reserve{Source: rs, Resources: s.reserved(f[3], f[2])}
	case "grow":
		op.Type = mesos.Offer_Operation_GROW_VOLUME.Enum()
		op.GrowVolume = &mesos.Offer_Operation_GrowVolume{Volume: rs[0], Addition: s.reserved(f[1], "disk:1")[0]}
		amount, err := strconv.ParseFloat(f[3], 64)
		if err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
		op.GrowVolume.Addition.Scalar = &mesos.Value_Scalar{Value: &amount}
	case "shrink":
		op.Type = mesos.Offer_Operation_SHRINK_VOLUME.Enum()
		amount, err := strconv.ParseFloat(f[3], 64)
		if err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
		op.ShrinkVolume = &mesos.Offer_Operation_ShrinkVolume{Volume: rs[0], Subtract: &mesos.Value_Scalar{Value: &amount}}
	default:
		s.t.Fatalf("unknown operation: %s", text)
	}
	return op
}

// accept LINK SESSION FRAMEWORK OFFER,… AGENT OPERATION …
func (s *scenario) accept(a args) {
	call := &scheduler.Call_Accept{}
	for _, id := range strings.Split(a.word(4), ",") {
		call.OfferIds = append(call.OfferIds, offerID(id))
	}
	for _, text := range a.words[6:] {
		call.Operations = append(call.Operations, s.operation(a.word(5), text))
	}
	if r := a.named["refuse"]; r != "" {
		f, err := strconv.ParseFloat(r, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		call.Filters = &mesos.Filters{RefuseSeconds: proto.Float64(f)}
	}
	s.send(a, &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), Accept: call})
}

// operatorCall is the call by which an operator asks for an operation.
func operatorCall(id *mesos.AgentID, op *mesos.Offer_Operation) *master.Call {
	call := &master.Call{}
	switch op.GetType() {
	case mesos.Offer_Operation_RESERVE:
		call.Type = master.Call_RESERVE_RESOURCES.Enum()
		call.ReserveResources = &master.Call_ReserveResources{AgentId: id, Source: op.GetReserve().GetSource(), Resources: op.GetReserve().GetResources()}
	case mesos.Offer_Operation_UNRESERVE:
		call.Type = master.Call_UNRESERVE_RESOURCES.Enum()
		call.UnreserveResources = &master.Call_UnreserveResources{AgentId: id, Resources: op.GetUnreserve().GetResources()}
	case mesos.Offer_Operation_CREATE:
		call.Type, call.CreateVolumes = master.Call_CREATE_VOLUMES.Enum(), &master.Call_CreateVolumes{AgentId: id, Volumes: op.GetCreate().GetVolumes()}
	case mesos.Offer_Operation_DESTROY:
		call.Type, call.DestroyVolumes = master.Call_DESTROY_VOLUMES.Enum(), &master.Call_DestroyVolumes{AgentId: id, Volumes: op.GetDestroy().GetVolumes()}
	case mesos.Offer_Operation_GROW_VOLUME:
		call.Type = master.Call_GROW_VOLUME.Enum()
		call.GrowVolume = &master.Call_GrowVolume{AgentId: id, Volume: op.GetGrowVolume().GetVolume(), Addition: op.GetGrowVolume().GetAddition()}
	case mesos.Offer_Operation_SHRINK_VOLUME:
		call.Type = master.Call_SHRINK_VOLUME.Enum()
		call.ShrinkVolume = &master.Call_ShrinkVolume{AgentId: id, Volume: op.GetShrinkVolume().GetVolume(), Subtract: op.GetShrinkVolume().GetSubtract()}
	}
	return call
}

// convert LINK AGENT OPERATION [authenticated=]
func (s *scenario) convert(a args) {
	call := operatorCall(agentID(a.word(2)), s.operation(a.word(2), a.word(3)))
	s.call++
	msg := &protocol.Operate{CallId: proto.Uint64(s.call), Call: call}
	if p := a.named["authenticated"]; p != "" {
		msg.Principal = proto.String(p)
	}
	s.w.do(FromGateway{a.link(), &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Operate{Operate: msg}}})
}

// ended LINK NUMBER [STATE] [uuid=] [converted=ROLE|RESOURCES]: the agent tells how the operation that was
// applied as the NUMBERth, from 1, has ended.
func (s *scenario) ended(a args) {
	n, err := strconv.Atoi(a.word(2))
	if err != nil {
		s.t.Fatal(err)
	}
	if n > len(s.w.applied) {
		s.w.log = append(s.w.log, "no such operation")
		return
	}
	state := mesos.OperationState_OPERATION_FINISHED
	if w := a.word(3); w != "" {
		state = mesos.OperationState(mesos.OperationState_value[w])
	}
	status := &mesos.OperationStatus{State: state.Enum()}
	if u := a.named["uuid"]; u != "" {
		status.Uuid = &mesos.UUID{Value: uuid(u)}
	}
	if role, text, ok := strings.Cut(a.named["converted"], "|"); ok {
		status.ConvertedResources = setOf(s.reserved(role, text)...).Allocate(role).Proto()
	}
	s.w.do(FromAgent{a.link(), &protocol.AgentToMaster{Message: &protocol.AgentToMaster_UpdateOperation{UpdateOperation: &protocol.UpdateOperation{
		OperationUuid: s.w.applied[n-1], Status: status, LatestStatus: status,
	}}}})
}

// operations returns those that were applied as the NUMBERth, as an agent lists them.
func (s *scenario) operations(texts []string) []*mesos.Operation {
	var out []*mesos.Operation
	for _, text := range texts {
		number, state, _ := strings.Cut(text, "/")
		n, err := strconv.Atoi(number)
		if err != nil {
			s.t.Fatal(err)
		}
		known := s.w.told[string(s.w.applied[n-1])]
		out = append(out, &mesos.Operation{
			FrameworkId: known.FrameworkId, Info: known.GetInfo(), Uuid: &mesos.UUID{Value: known.GetOperationUuid()},
			LatestStatus: &mesos.OperationStatus{State: mesos.OperationState(mesos.OperationState_value[state]).Enum()},
		})
	}
	return out
}

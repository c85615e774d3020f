package offers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/registry"
	"muster/offers/resource"
)

func (s *scenario) heartbeats() {
	for _, l := range sorted(s.w.core.links) {
		if l.agent != nil && !s.silent[l.id] {
			s.w.do(FromAgent{l.id, &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Heartbeat{Heartbeat: &protocol.Heartbeat{}}}})
			s.w.log = slices.DeleteFunc(s.w.log, func(line string) bool { return strings.HasSuffix(line, "<- HEARTBEAT") })
		}
	}
}

// register LINK [id=] [host=] [res=] [region=REGION/ZONE] [drains=no] [attrs=NAME:TEXT;…] [without=CAPABILITY,…] [made=ROLE|RESOURCES] [ops=NUMBER/STATE,…] [inc=] [tasks=FRAMEWORK/ID/STATE/RESOURCES,…] [frameworks=ID,…] [executors=FRAMEWORK/ID,…] [ended=FRAMEWORK/ID,…]
func (s *scenario) register(a args) {
	res := a.named["res"]
	if res == "" {
		res = "cpus:4;mem:4096;ports:[31000-31009]"
	}
	host := a.named["host"]
	if host == "" {
		host = "h" + a.word(1)
	}
	r := &protocol.Register{
		Agent:       &mesos.AgentInfo{Hostname: proto.String(host), Resources: s.resources(res).Proto()},
		Version:     proto.String("1"),
		Incarnation: proto.String(a.named["inc"]),
		HttpAddress: proto.String("10.0.0." + a.word(1) + ":5051"),
	}
	if role, text, ok := strings.Cut(a.named["made"], "|"); ok {
		r.Agent.Resources = append(r.Agent.Resources, s.reserved(role, text)...)
	}
	if id := a.named["id"]; id != "" {
		r.Agent.Id = agentID(id)
	}
	for text := range strings.FieldsFuncSeq(a.named["attrs"], func(r rune) bool { return r == ';' }) {
		name, value, _ := strings.Cut(text, ":")
		r.Agent.Attributes = append(r.Agent.Attributes, &mesos.Attribute{
			Name: proto.String(name), Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: proto.String(value)}})
	}
	if region := a.named["region"]; region != "" {
		r.Agent.Domain = domain(region)
	}
	if a.named["drains"] != "no" {
		r.Capabilities = []*mesos.AgentInfo_Capability{{Type: mesos.AgentInfo_Capability_AGENT_DRAINING.Enum()}}
	}
	r.Operations = s.operations(a.list("ops"))
	for _, c := range []mesos.AgentInfo_Capability_Type{mesos.AgentInfo_Capability_MULTI_ROLE, mesos.AgentInfo_Capability_HIERARCHICAL_ROLE,
		mesos.AgentInfo_Capability_RESERVATION_REFINEMENT, mesos.AgentInfo_Capability_RESOURCE_PROVIDER, mesos.AgentInfo_Capability_RESIZE_VOLUME,
		mesos.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK} {
		if !slices.Contains(a.list("without"), c.String()) {
			r.Capabilities = append(r.Capabilities, &mesos.AgentInfo_Capability{Type: c.Enum()})
		}
	}
	for _, text := range a.list("ended") {
		f, id, _ := strings.Cut(text, "/")
		r.Ended = append(r.Ended, &protocol.Reconcile_Task{FrameworkId: frameworkID(f), TaskId: taskID(id)})
	}
	for _, text := range a.list("tasks") {
		f := strings.SplitN(text, "/", 4)
		r.Tasks = append(r.Tasks, &mesos.Task{
			FrameworkId: frameworkID(f[0]), TaskId: taskID(f[1]), Name: proto.String(f[1]), AgentId: r.Agent.Id,
			State: mesos.TaskState(mesos.TaskState_value[f[2]]).Enum(), Resources: s.resources(f[3]).Allocate("*").Proto(),
		})
	}
	for _, id := range a.list("frameworks") {
		r.Frameworks = append(r.Frameworks, &mesos.FrameworkInfo{Id: frameworkID(id), User: proto.String("u"), Name: proto.String("n")})
	}
	for _, text := range a.list("executors") {
		f, id, _ := strings.Cut(text, "/")
		r.Executors = append(r.Executors, &mesos.ExecutorInfo{FrameworkId: frameworkID(f), ExecutorId: executorID(id),
			Resources: s.resources("cpus:0.1;mem:32").Allocate("*").Proto()})
	}
	s.w.do(FromAgent{a.link(), &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{Register: r}}})
}

func (s *scenario) resources(text string) resource.Set {
	set, err := resource.Parse(text)
	if err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
	return set
}

// subscribe LINK SESSION [id=] [failover=SECONDS] [role=] [roles=,] [caps=,] [suppressed=,] [principal=] [authenticated=] [user=] [resume=yes] [request=CPUS] [:: OfferConstraints]
func (s *scenario) subscribe(a args) {
	info := &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n"), Roles: a.list("roles")}
	call := &scheduler.Call{Type: scheduler.Call_SUBSCRIBE.Enum(), Subscribe: &scheduler.Call_Subscribe{
		FrameworkInfo: info, SuppressedRoles: a.list("suppressed"),
	}}
	if a.rest != "" {
		call.Subscribe.OfferConstraints = &scheduler.OfferConstraints{}
		s.text(a.rest, call.Subscribe.OfferConstraints)
	}
	for name, v := range a.named {
		switch name {
		case "id":
			info.Id = frameworkID(v)
			call.FrameworkId = frameworkID(v)
		case "failover":
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			info.FailoverTimeout = proto.Float64(f)
		case "role":
			info.Role = proto.String(v)
		case "principal":
			info.Principal = proto.String(v)
		case "user":
			info.User = proto.String(v)
		}
	}
	for _, c := range a.list("caps") {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{
			Type: mesos.FrameworkInfo_Capability_Type(mesos.FrameworkInfo_Capability_Type_value[c]).Enum()})
	}
	sub := &protocol.Subscribe{SessionId: proto.String(a.word(2)), Call: call}
	if p := a.named["authenticated"]; p != "" {
		sub.Principal = proto.String(p)
	}
	if cpus := a.named["request"]; cpus != "" {
		sub.Requests = []*mesos.Request{{Resources: s.resources("cpus:" + cpus).Proto()}}
	}
	if a.named["resume"] != "" {
		sub.Resume = proto.Bool(true)
	}
	s.w.do(FromGateway{a.link(), &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Subscribe{Subscribe: sub}}})
}

// send makes a call; a session of "-" is a missing header.
func (s *scenario) send(a args, call *scheduler.Call) {
	if f := a.word(3); f != "-" {
		call.FrameworkId = frameworkID(f)
	}
	s.call++
	msg := &protocol.Call{CallId: proto.Uint64(s.call), Call: call}
	if a.word(2) != "-" {
		msg.SessionId = proto.String(a.word(2))
	}
	if p := a.named["authenticated"]; p != "" {
		msg.Principal = proto.String(p)
	}
	s.w.do(FromGateway{a.link(), &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Call{Call: msg}}})
}

// launch LINK SESSION FRAMEWORK OFFER,… AGENT TASK/RESOURCES … [refuse=SECONDS]
func (s *scenario) launch(a args) {
	accept := &scheduler.Call_Accept{}
	for _, id := range strings.Split(a.word(4), ",") {
		accept.OfferIds = append(accept.OfferIds, offerID(id))
	}
	op := &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{}}
	for _, text := range a.words[min(6, len(a.words)):] {
		id, res, _ := strings.Cut(text, "/")
		op.Launch.TaskInfos = append(op.Launch.TaskInfos, &mesos.TaskInfo{
			Name: proto.String(id), TaskId: taskID(id), AgentId: agentID(a.word(5)), Resources: s.resources(res).Proto(),
			Command: &mesos.CommandInfo{Value: proto.String("sleep 1")},
		})
	}
	accept.Operations = append(accept.Operations, op)
	if r := a.named["refuse"]; r != "" {
		f, err := strconv.ParseFloat(r, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		accept.Filters = &mesos.Filters{RefuseSeconds: proto.Float64(f)}
	}
	s.send(a, &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), Accept: accept})
}

// uuid makes one of a digit or two.
func uuid(text string) []byte {
	n, _ := strconv.ParseUint(text, 16, 8)
	return append([]byte{byte(n)}, make([]byte, 15)...)
}

// update LINK FRAMEWORK TASK STATE [uuid=] [latest=] [healthy=]
func (s *scenario) update(a args) {
	u := &protocol.Update{FrameworkId: frameworkID(a.word(2)), Status: &mesos.TaskStatus{
		TaskId: taskID(a.word(3)), State: mesos.TaskState(mesos.TaskState_value[a.word(4)]).Enum(),
	}}
	if v := a.named["uuid"]; v != "" {
		u.Status.Uuid = uuid(v)
	}
	if v := a.named["latest"]; v != "" {
		u.LatestState = mesos.TaskState(mesos.TaskState_value[v]).Enum()
	}
	if v := a.named["healthy"]; v != "" {
		u.Status.Healthy = proto.Bool(v == "true")
	}
	s.w.do(FromAgent{a.link(), &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Update{Update: u}}})
}

// view writes what everybody sees.
func (s *scenario) view() string {
	var b strings.Builder
	v := s.w.view
	for _, a := range v.RecoveredAgents() {
		fmt.Fprintf(&b, "recovered agent %s\n", a.GetId().GetValue())
	}
	for _, a := range v.Agents() {
		total, _ := resource.FromProto(a.GetTotalResources())
		used, _ := resource.FromProto(a.GetAllocatedResources())
		offered, _ := resource.FromProto(a.GetOfferedResources())
		fmt.Fprintf(&b, "agent %s active=%t total=%s used=%s offered=%s%s\n", a.GetAgentInfo().GetId().GetValue(), a.GetActive(), total, used, offered,
			steered(a.GetDeactivated(), a.GetDrainInfo(), a.GetEstimatedDrainStartTime().GetNanoseconds()))
	}
	for _, id := range v.UnreachableAgents() {
		fmt.Fprintf(&b, "unreachable agent %s\n", id)
	}
	for _, f := range v.Frameworks() {
		fmt.Fprintf(&b, "framework %s active=%t connected=%t recovered=%t\n", f.GetFrameworkInfo().GetId().GetValue(), f.GetActive(), f.GetConnected(), f.GetRecovered())
	}
	for _, f := range v.CompletedFrameworks() {
		fmt.Fprintf(&b, "completed framework %s\n", f.GetFrameworkInfo().GetId().GetValue())
	}
	tasks := func(kind string, ts []*mesos.Task) {
		for _, t := range ts {
			fmt.Fprintf(&b, "%stask %s %s %s\n", kind, t.GetFrameworkId().GetValue(), t.GetTaskId().GetValue(), t.GetState())
		}
	}
	tasks("", v.Tasks())
	tasks("unreachable ", v.UnreachableTasks())
	tasks("completed ", v.CompletedTasks())
	for _, o := range v.Operations() {
		fmt.Fprintf(&b, "operation %s%s %s\n", describeOperation(o.GetInfo()), byWhom(o.FrameworkId), o.GetLatestStatus().GetState())
	}
	for _, e := range v.Executors() {
		fmt.Fprintf(&b, "executor %s\n", e.GetExecutorInfo().GetExecutorId().GetValue())
	}
	return b.String()
}

// registry writes what is committed.
func (s *scenario) registry() string {
	var b strings.Builder
	for _, a := range s.w.registry.Agents() {
		fmt.Fprintf(&b, "agent %s %s%s\n", a.GetInfo().GetId().GetValue(), a.GetStatus(), steered(a.GetDeactivated(), a.GetDrainInfo(), a.GetDrainStart()))
	}
	for _, f := range s.w.registry.Frameworks() {
		fmt.Fprintf(&b, "framework %s session %s%s\n", f.GetInfo().GetId().GetValue(), f.GetSessionId(), deadline(f))
	}
	for _, c := range s.w.registry.Quotas() {
		fmt.Fprintf(&b, "quota of %s: guarantee %s limit %s\n", c.GetRole(), guaranteesOf(c), limitsOf(c))
	}
	for _, w := range s.w.registry.Weights() {
		fmt.Fprintf(&b, "weight of %s: %g\n", w.GetRole(), w.GetWeight())
	}
	return b.String()
}

// roles writes what everybody sees of the roles; quantities that are zero are left out.
func (s *scenario) roles() string {
	var b strings.Builder
	for _, r := range s.w.view.Roles() {
		fmt.Fprintf(&b, "role %s weight %g", r.Name, r.Weight)
		for _, part := range []struct {
			what string
			text fmt.Stringer
		}{
			{"guarantee", r.Guarantees}, {"limit", r.Limits}, {"consumed", r.Consumed},
			{"allocated", r.Allocated}, {"offered", r.Offered}, {"reserved", r.Reserved},
		} {
			if text := part.text.String(); text != "" && text != "{}" {
				fmt.Fprintf(&b, " %s=%s", part.what, text)
			}
		}
		for _, f := range r.Frameworks {
			fmt.Fprintf(&b, " framework %s", f.GetValue())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// steered writes what operators want of an agent.
func steered(deactivated bool, drain *mesos.DrainInfo, start int64) string {
	out := ""
	if deactivated {
		out += " deactivated"
	}
	if drain != nil {
		out += fmt.Sprintf(" %s since +%s%s", drain.GetState(), time.Unix(0, start).Sub(epoch), describeDrain(drain.GetConfig()))
	}
	return out
}

func deadline(f *registry.Framework) string {
	if f.Deadline == nil {
		return ""
	}
	return " until +" + time.Unix(0, f.GetDeadline()).Sub(epoch).String()
}

package offers

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/resource"
)

type simTask struct {
	info      *mesos.TaskInfo
	framework *mesos.FrameworkInfo
	state     mesos.TaskState
	updates   []*mesos.TaskStatus // not acknowledged, the oldest first
}

type simAgent struct {
	link        Link // 0: not linked
	id          string
	incarnation string
	peer        string
	machine     simMachine
	tasks       map[string]*simTask
	operations  map[string]*simOperation
	total, lent resource.Set
	registered  bool
	deaf        bool // what is sent to it is lost, for its link is breaking
	failed      bool // an operation did, so what came after it on this link may not fit
}

type simGateway struct {
	link Link
	deaf bool
}

type simFramework struct {
	gateway  *simGateway
	session  string
	id       string
	failover float64
	offers   map[string]*mesos.Offer
	accepted map[string]*mesos.TaskInfo // answered 202, no status seen
	calling  map[uint64][]*mesos.TaskInfo
	alive    map[string]mesos.TaskState // last state seen
	sessions int
	dead     bool // torn down: it may not come back
	roles    []string
	lacks    mesos.FrameworkInfo_Capability_Type
	wants    int             // of simConstraints
	ended    map[string]bool // the operations whose end it was told
}

func (s *simulation) toAgent(a *simAgent, m *protocol.MasterToAgent) {
	switch m := m.GetMessage().(type) {
	case *protocol.MasterToAgent_Registered:
		a.id, a.registered = m.Registered.GetAgentId().GetValue(), true
	case *protocol.MasterToAgent_RunTask:
		for _, info := range m.RunTask.GetTasks() {
			key := m.RunTask.GetFramework().GetId().GetValue() + "/" + info.GetTaskId().GetValue()
			if a.tasks[key] != nil {
				s.t.Fatalf("task %s is run twice", key)
			}
			t := &simTask{info: info, framework: m.RunTask.GetFramework(), state: mesos.TaskState_TASK_STAGING}
			a.tasks[key] = t
			if used := setOf(info.GetResources()...).Unallocate().NonRevocable(); !a.total.Contains(used) {
				if !a.failed {
					s.t.Fatalf("agent %s of %s is to run a task on %s", a.id, a.total, used)
				}
				s.turn(a, t, mesos.TaskState_TASK_DROPPED)
			}
		}
	case *protocol.MasterToAgent_Drain:
		for _, key := range sortedKeys(a.tasks) {
			s.turn(a, a.tasks[key], mesos.TaskState_TASK_KILLED)
		}
	case *protocol.MasterToAgent_Refused:
		if m.Refused.GetGone() {
			a.id = ""
			a.wipe(s)
		}
	case *protocol.MasterToAgent_ApplyOperation:
		s.apply(a, m.ApplyOperation)
	case *protocol.MasterToAgent_AcknowledgeOperation:
		a.acknowledged(m.AcknowledgeOperation)
	case *protocol.MasterToAgent_ReconcileOperations:
		s.drop(a, m.ReconcileOperations.GetOperationUuids())
	case *protocol.MasterToAgent_KillTask:
		if t := a.tasks[m.KillTask.GetFrameworkId().GetValue()+"/"+m.KillTask.GetTaskId().GetValue()]; t != nil {
			s.turn(a, t, mesos.TaskState_TASK_KILLED)
		}
	case *protocol.MasterToAgent_Acknowledge:
		key := m.Acknowledge.GetFrameworkId().GetValue() + "/" + m.Acknowledge.GetTaskId().GetValue()
		t := a.tasks[key]
		if t == nil || len(t.updates) == 0 || string(t.updates[0].GetUuid()) != string(m.Acknowledge.GetUuid()) {
			return
		}
		t.updates = t.updates[1:]
		if t.state.Terminal() && len(t.updates) == 0 {
			delete(a.tasks, key)
		}
	case *protocol.MasterToAgent_ShutdownFramework:
		for key, t := range a.tasks {
			if t.framework.GetId().GetValue() == m.ShutdownFramework.GetFrameworkId().GetValue() {
				delete(a.tasks, key)
			}
		}
	case *protocol.MasterToAgent_Reconcile:
		answer := &protocol.Reconciled{}
		for _, q := range m.Reconcile.GetTasks() {
			if a.tasks[q.GetFrameworkId().GetValue()+"/"+q.GetTaskId().GetValue()] == nil {
				answer.Unknown = append(answer.Unknown, q)
			}
		}
		s.w.later = append(s.w.later, FromAgent{a.link, &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Reconciled{Reconciled: answer}}})
	}
}

// turn gives a task its next state.
func (s *simulation) turn(a *simAgent, t *simTask, state mesos.TaskState) {
	if t.state.Terminal() {
		return
	}
	t.state = state
	b := s.uuid()
	t.updates = append(t.updates, &mesos.TaskStatus{TaskId: t.info.GetTaskId(), State: state.Enum(), AgentId: agentID(a.id), Uuid: b})
}

func (s *simulation) toGateway(g *simGateway, m *protocol.MasterToGateway) {
	switch m := m.GetMessage().(type) {
	case *protocol.MasterToGateway_Event:
		for _, f := range s.frameworks {
			if f.session == m.Event.GetSessionId() {
				s.event(f, m.Event.GetEvent())
			}
		}
	case *protocol.MasterToGateway_Closed:
		for _, f := range s.frameworks {
			if f.session == m.Closed.GetSessionId() {
				f.session = ""
			}
		}
	case *protocol.MasterToGateway_Reply:
		for _, f := range s.frameworks {
			for _, t := range f.calling[m.Reply.GetCallId()] {
				if _, seen := f.alive[t.GetTaskId().GetValue()]; m.Reply.GetCode() == 202 && !seen {
					f.accepted[t.GetTaskId().GetValue()] = t
				}
			}
			delete(f.calling, m.Reply.GetCallId())
		}
	}
}

func (s *simulation) event(f *simFramework, e *scheduler.Event) {
	switch e.GetType() {
	case scheduler.Event_SUBSCRIBED:
		f.id = e.GetSubscribed().GetFrameworkId().GetValue()
		clear(f.offers)
	case scheduler.Event_OFFERS:
		for _, o := range e.GetOffers().GetOffers() {
			f.offers[o.GetId().GetValue()] = o
		}
	case scheduler.Event_INVERSE_OFFERS:
		s.answer(f, e.GetInverseOffers().GetInverseOffers())
	case scheduler.Event_RESCIND:
		delete(f.offers, e.GetRescind().GetOfferId().GetValue())
	case scheduler.Event_UPDATE_OPERATION_STATUS:
		st := e.GetUpdateOperationStatus().GetStatus()
		if st.GetState().Terminal() {
			f.ended[st.GetOperationId().GetValue()] = true
		}
		if st.Uuid != nil {
			s.w.later = append(s.w.later, s.callOf(f, &scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS.Enum(),
				AcknowledgeOperationStatus: &scheduler.Call_AcknowledgeOperationStatus{AgentId: st.GetAgentId(), OperationId: st.GetOperationId(), Uuid: st.GetUuid().GetValue()}}))
		}
	case scheduler.Event_ERROR:
		if e.GetError().GetMessage() == "Framework has been removed" {
			f.dead = true
		}
	case scheduler.Event_UPDATE:
		st := e.GetUpdate().GetStatus()
		id := st.GetTaskId().GetValue()
		delete(f.accepted, id)
		f.alive[id] = st.GetState()
		if st.Uuid != nil {
			s.w.later = append(s.w.later, s.callOf(f, &scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE.Enum(), Acknowledge: &scheduler.Call_Acknowledge{
				AgentId: st.GetAgentId(), TaskId: st.GetTaskId(), Uuid: st.GetUuid()}}))
		}
	}
}

func (s *simulation) callOf(f *simFramework, call *scheduler.Call) Input {
	s.calls++
	call.FrameworkId = frameworkID(f.id)
	return FromGateway{f.gateway.link, &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Call{Call: &protocol.Call{
		CallId: proto.Uint64(s.calls), SessionId: proto.String(f.session), Call: call,
	}}}}
}

func (f *simFramework) info() *mesos.FrameworkInfo {
	info := &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n"), FailoverTimeout: proto.Float64(f.failover), Roles: f.roles}
	for _, c := range append([]mesos.FrameworkInfo_Capability_Type{mesos.FrameworkInfo_Capability_PARTITION_AWARE, mesos.FrameworkInfo_Capability_MULTI_ROLE,
		mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT}, simCapabilities...) {
		if c != f.lacks {
			info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: c.Enum()})
		}
	}
	if f.id != "" {
		info.Id = frameworkID(f.id)
	}
	return info
}

// wipe makes an agent one that knows nothing.
func (a *simAgent) wipe(s *simulation) {
	a.incarnation += "1"
	a.total, a.lent, a.failed = s.set(a.machine.resources), resource.Set{}, false
	clear(a.tasks)
	clear(a.operations)
}

func (s *simulation) announce(f *simFramework, resume bool) {
	info := f.info()
	call := &scheduler.Call{Type: scheduler.Call_SUBSCRIBE.Enum(), Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: info, OfferConstraints: f.offerConstraints()}}
	if f.id != "" {
		call.FrameworkId = frameworkID(f.id)
	}
	sub := &protocol.Subscribe{SessionId: proto.String(f.session), Call: call, Resume: proto.Bool(resume)}
	s.w.do(FromGateway{f.gateway.link, &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Subscribe{Subscribe: sub}}})
	if resume && len(f.accepted) > 0 {
		p := &protocol.Pending{FrameworkId: frameworkID(f.id)}
		for _, id := range sortedKeys(f.accepted) {
			p.Tasks = append(p.Tasks, &protocol.Pending_Task{TaskId: taskID(id), AgentId: f.accepted[id].GetAgentId()})
		}
		s.w.do(FromGateway{f.gateway.link, &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Pending{Pending: p}}})
	}
}

func (s *simulation) register(a *simAgent) {
	a.failed = false
	r := &protocol.Register{Agent: a.machine.info(a.peer), Incarnation: proto.String(a.incarnation), Oversubscribed: a.lent.Proto()}
	r.Agent.Resources = a.total.Proto()
	for _, c := range []mesos.AgentInfo_Capability_Type{mesos.AgentInfo_Capability_AGENT_DRAINING, mesos.AgentInfo_Capability_MULTI_ROLE,
		mesos.AgentInfo_Capability_HIERARCHICAL_ROLE, mesos.AgentInfo_Capability_RESERVATION_REFINEMENT, mesos.AgentInfo_Capability_RESOURCE_PROVIDER,
		mesos.AgentInfo_Capability_RESIZE_VOLUME, mesos.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK} {
		r.Capabilities = append(r.Capabilities, &mesos.AgentInfo_Capability{Type: c.Enum()})
	}
	for _, key := range sortedKeys(a.operations) {
		r.Operations = append(r.Operations, a.operations[key].msg)
	}
	if a.id != "" {
		r.Agent.Id = agentID(a.id)
	}
	seen := map[string]bool{}
	for _, key := range sortedKeys(a.tasks) {
		t := a.tasks[key]
		msg := &mesos.Task{Name: t.info.Name, TaskId: t.info.GetTaskId(), FrameworkId: t.framework.GetId(), AgentId: agentID(a.id),
			State: t.state.Enum(), Resources: t.info.GetResources()}
		if len(t.updates) > 0 {
			msg.StatusUpdateState, msg.StatusUpdateUuid = t.updates[0].State, t.updates[0].Uuid
		}
		r.Tasks = append(r.Tasks, msg)
		if id := t.framework.GetId().GetValue(); !seen[id] {
			seen[id] = true
			r.Frameworks = append(r.Frameworks, t.framework)
		}
	}
	s.w.do(FromAgent{a.link, &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{Register: r}}})
}

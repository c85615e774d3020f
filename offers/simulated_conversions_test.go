package offers

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	"muster/offers/allocator"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/resource"
)

// simOperation is one that an agent has carried out, or could not.
type simOperation struct {
	msg    *mesos.Operation
	update *mesos.OperationStatus // told until it is acknowledged
}

// apply carries out an operation at once; some fail.
func (s *simulation) apply(a *simAgent, m *protocol.ApplyOperation) {
	key := string(m.GetOperationUuid())
	if a.operations[key] != nil {
		s.t.Fatalf("operation %x is to be applied twice", key)
	}
	state := mesos.OperationState_OPERATION_FAILED
	conversions, err := resource.Convert(m.GetInfo())
	if err != nil {
		s.t.Fatalf("told to apply %v: %v", m.GetInfo(), err)
	}
	for i := range conversions {
		conversions[i] = conversions[i].Unallocate()
	}
	if total, no := a.total.Apply(conversions...); no != nil {
		if !a.failed {
			s.t.Fatalf("agent %s of %s is told what it cannot do: %v", a.id, a.total, no)
		}
	} else if s.r.IntN(12) > 0 {
		a.total, state = total, mesos.OperationState_OPERATION_FINISHED
	}
	a.failed = a.failed || state == mesos.OperationState_OPERATION_FAILED
	status := &mesos.OperationStatus{OperationId: m.GetInfo().GetId(), State: state.Enum(), AgentId: agentID(a.id), Uuid: &mesos.UUID{Value: s.uuid()}}
	a.operations[key] = &simOperation{update: status, msg: &mesos.Operation{
		FrameworkId: m.GetFrameworkId(), AgentId: agentID(a.id), Info: m.GetInfo(), Uuid: &mesos.UUID{Value: m.GetOperationUuid()}, LatestStatus: status}}
}

func (s *simulation) uuid() []byte {
	b := make([]byte, 16)
	for i := range b {
		b[i] = byte(s.r.IntN(256))
	}
	return b
}

// acknowledged forgets an operation whose end is known.
func (a *simAgent) acknowledged(m *protocol.AcknowledgeOperation) {
	if o := a.operations[string(m.GetOperationUuid())]; o != nil && bytes.Equal(o.update.GetUuid().GetValue(), m.GetStatusUuid()) {
		delete(a.operations, string(m.GetOperationUuid()))
	}
}

// drop answers for operations that an agent never heard of.
func (s *simulation) drop(a *simAgent, uuids [][]byte) {
	for _, u := range uuids {
		if a.operations[string(u)] == nil {
			s.later(a, &protocol.AgentToMaster{Message: &protocol.AgentToMaster_UpdateOperation{UpdateOperation: &protocol.UpdateOperation{
				OperationUuid: u, Status: &mesos.OperationStatus{State: mesos.OperationState_OPERATION_DROPPED.Enum()}}}})
		}
	}
}

func (s *simulation) later(a *simAgent, m *protocol.AgentToMaster) {
	s.w.later = append(s.w.later, FromAgent{a.link, m})
}

// tellOperations says how operations ended, and now and then what else is lent.
func (s *simulation) tellOperations(a *simAgent) {
	for _, key := range sortedKeys(a.operations) {
		if o := a.operations[key]; o != nil && a.link != 0 && a.registered {
			s.w.do(FromAgent{a.link, &protocol.AgentToMaster{Message: &protocol.AgentToMaster_UpdateOperation{UpdateOperation: &protocol.UpdateOperation{
				OperationUuid: []byte(key), Status: o.update, LatestStatus: o.update}}}})
		}
	}
	if a.link != 0 && a.registered && !s.sharing && s.r.IntN(8) == 0 {
		a.lent = s.set([]string{"", "cpus{REV}:1", "cpus{REV}:3"}[s.r.IntN(3)])
		s.w.do(FromAgent{a.link, &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Oversubscribed{
			Oversubscribed: &protocol.Oversubscribed{Total: a.lent.Proto()}}}})
	}
}

func (s *simulation) set(text string) resource.Set {
	r, err := resource.Parse(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// conversion makes up an operation on some of what there is; nil if that cannot be.
func (s *simulation) conversion(some []*mesos.Resource, role string) *mesos.Offer_Operation {
	if len(some) == 0 {
		return nil
	}
	r := proto.CloneOf(some[s.r.IntN(len(some))])
	if r.GetType() != mesos.Value_SCALAR || r.Revocable != nil {
		return nil
	}
	part := func() {
		if most := int(r.GetScalar().GetValue()); most > 1 {
			r.Scalar = &mesos.Value_Scalar{Value: proto.Float64(float64(1 + s.r.IntN(most)))}
		}
	}
	list := []*mesos.Resource{r}
	dynamically := &mesos.Resource_ReservationInfo{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &role}
	switch persistent := r.GetDisk().GetPersistence() != nil; {
	case persistent && r.Shared == nil && s.r.IntN(3) == 0:
		if r.GetScalar().GetValue() < 2 {
			return nil
		}
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_SHRINK_VOLUME.Enum(),
			ShrinkVolume: &mesos.Offer_Operation_ShrinkVolume{Volume: r, Subtract: &mesos.Value_Scalar{Value: proto.Float64(1)}}}
	case persistent && r.Shared == nil && s.r.IntN(3) == 0:
		more := proto.CloneOf(r)
		more.Disk, more.Scalar = nil, &mesos.Value_Scalar{Value: proto.Float64(1)}
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_GROW_VOLUME.Enum(),
			GrowVolume: &mesos.Offer_Operation_GrowVolume{Volume: r, Addition: more}}
	case persistent:
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_DESTROY.Enum(), Destroy: &mesos.Offer_Operation_Destroy{Volumes: list}}
	case len(r.GetReservations()) == 0:
		part()
		r.Reservations = append(r.Reservations, dynamically)
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: list}}
	case r.GetName() == "disk" && s.r.IntN(2) == 0:
		part()
		s.volumes++
		r.Disk = &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{Id: proto.String(fmt.Sprint("v", s.volumes))},
			Volume: &mesos.Volume{ContainerPath: proto.String("data"), Mode: mesos.Volume_RW.Enum()}}
		if s.r.IntN(3) == 0 {
			r.Shared = &mesos.Resource_SharedInfo{}
		}
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: list}}
	}
	part()
	return &mesos.Offer_Operation{Type: mesos.Offer_Operation_UNRESERVE.Enum(), Unreserve: &mesos.Offer_Operation_Unreserve{Resources: list}}
}

// govern has an operator convert resources, or change what roles may have.
func (s *simulation) govern() {
	role := simRoles[s.r.IntN(len(simRoles))]
	switch s.r.IntN(4) {
	case 0:
		s.operate(&master.Call{Type: master.Call_UPDATE_WEIGHTS.Enum(), UpdateWeights: &master.Call_UpdateWeights{WeightInfos: []*mesos.WeightInfo{
			{Role: &role, Weight: proto.Float64(float64(1 + s.r.IntN(4)))}}}})
	case 1:
		config := &quota.QuotaConfig{Role: &role, Limits: map[string]*mesos.Value_Scalar{}, Guarantees: map[string]*mesos.Value_Scalar{}}
		if s.r.IntN(2) == 0 {
			config.Limits["cpus"] = &mesos.Value_Scalar{Value: proto.Float64(float64(2 + s.r.IntN(6)))}
		}
		if s.r.IntN(2) == 0 {
			config.Guarantees["cpus"] = &mesos.Value_Scalar{Value: proto.Float64(float64(1 + s.r.IntN(2)))}
		}
		s.operate(&master.Call{Type: master.Call_UPDATE_QUOTA.Enum(), UpdateQuota: &master.Call_UpdateQuota{
			Force: proto.Bool(s.r.IntN(2) == 0), QuotaConfigs: []*quota.QuotaConfig{config}}})
	default:
		a := s.agents[s.r.IntN(len(s.agents))]
		if op := s.conversion(a.total.Proto(), role); op != nil {
			s.operate(operatorCall(agentID(a.id), op))
		}
	}
}

// change has a framework want other things than before, or ask about what it has.
func (s *simulation) change(f *simFramework) {
	call := &scheduler.Call{}
	switch s.r.IntN(7) {
	case 0:
		call = s.rewish(f)
	case 1:
		call.Type, call.Suppress = scheduler.Call_SUPPRESS.Enum(), &scheduler.Call_Suppress{Roles: f.roles[:s.r.IntN(2)]}
	case 2, 3:
		call.Type, call.Revive = scheduler.Call_REVIVE.Enum(), &scheduler.Call_Revive{}
	case 4:
		call = s.request(f)
	case 5:
		call.Type, call.Reconcile = scheduler.Call_RECONCILE.Enum(), &scheduler.Call_Reconcile{}
	case 6:
		ids := sortedKeys(f.alive)
		if len(ids) == 0 {
			return
		}
		call.Type, call.Kill = scheduler.Call_KILL.Enum(), &scheduler.Call_Kill{TaskId: taskID(ids[s.r.IntN(len(ids))])}
	}
	s.w.do(s.callOf(f, call))
	if call.Revive != nil {
		s.checkRevived(f)
	}
}

// checkRevived holds that nothing that a framework has refused is kept from it when it
// has just said that it wants offers again.
func (s *simulation) checkRevived(f *simFramework) {
	known := s.w.core.frameworks[f.id]
	if known == nil || !known.active || known.session == nil || known.session.id != f.session {
		return // it was not heard
	}
	for _, role := range known.roles {
		why, _ := s.w.core.allocator.Explain(s.w.now, f.id, role, "", func(string) string { return "" })
		for _, finding := range why.Findings {
			if finding.Reason == allocator.Refused {
				s.t.Fatalf("framework %s is not offered %v under %s, which it refused before it revived", f.id, finding.Examples, role)
			}
		}
	}
}

// checkQuota holds that who was just offered unreserved resources is within the
// limits of its role and of those above it, counted from what agents have.
func (s *simulation) checkQuota(o *offer) {
	mine := o.resources.Unreserved().NonRevocable()
	for _, role := range simRoles {
		if o.role != role && !resource.IsBelow(o.role, role) {
			continue
		}
		for kind, limit := range s.w.core.facts.Quota(role).GetLimits() {
			most := int64(limit.GetValue() * resource.Milli)
			if now := s.charged(role, kind); mine.Scalar(kind) > 0 && now > most {
				s.t.Fatalf("role %s was offered %s: it has %d thousandths of %s, the limit is %d", role, mine, now, kind, most)
			}
		}
	}
}

// charged is what counts against a role's quota: what is reserved to it and those
// below, and what they have or are offered of the rest.
func (s *simulation) charged(role, kind string) (sum int64) {
	for _, a := range s.w.core.agents {
		for _, name := range simRoles {
			if name == role || resource.IsBelow(name, role) {
				held := a.allocated.Add(a.offered).AllocatedTo(name).Unreserved().NonRevocable()
				sum += a.total.ReservedTo(name).Scalar(kind) + held.Scalar(kind)
			}
		}
	}
	return sum
}

// checkKept holds that conversions make and lose nothing.
func (s *simulation) checkKept() {
	for _, a := range sorted(s.w.core.agents) {
		if got, want := a.total.Original(), s.set(s.machine(a).resources); !got.Equal(want) {
			s.t.Fatalf("agent %s has %s, that is %s and not %s", a.id, a.total, got, want)
		}
	}
}

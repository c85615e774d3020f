package offers

import (
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/resource"
)

// share has everything end and be undone: tasks, reservations, volumes, quotas and
// wishes. Then all there is must be offered, a guarantee be met, and what each has
// be fair, by weights.
func (s *simulation) share() {
	s.sharing = true
	for i, f := range s.frameworks {
		f.roles, f.wants, f.lacks = [][]string{{"a"}, {"b"}, {"a/b", "b"}}[i], 0, mesos.FrameworkInfo_Capability_UNKNOWN
		s.w.do(s.callOf(f, f.updateFramework()))
		s.w.do(s.callOf(f, &scheduler.Call{Type: scheduler.Call_REQUEST.Enum(), Request: &scheduler.Call_Request{}}))
	}
	for _, role := range simRoles {
		s.setQuota(role, nil)
	}
	for range 60 {
		s.connect()
		for _, a := range s.agents {
			s.undo(a)
		}
		s.work()
		s.w.advance(5 * time.Second)
	}
	for _, a := range s.agents {
		if want := s.set(a.machine.resources); !s.w.core.agents[a.id].capacity().Equal(want) || len(a.tasks) > 0 {
			s.t.Fatalf("agent %s has %s and %d tasks after all was undone, it had %s", a.id, s.w.core.agents[a.id].capacity(), len(a.tasks), want)
		}
	}
	for _, f := range s.frameworks {
		s.w.do(s.callOf(f, &scheduler.Call{Type: scheduler.Call_REVIVE.Enum(), Revive: &scheduler.Call_Revive{}}))
	}
	s.setQuota("b", map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(5)}})
	s.reoffer()
	if got := s.charged("b", "cpus"); got < 5*resource.Milli {
		s.t.Errorf("role b was promised 5 cpus and has %d thousandths", got)
	}
	s.setQuota("b", nil)
	weights := s.reoffer()
	for _, a := range s.w.core.agents {
		if !a.offered.Unallocate().Equal(a.total) {
			s.t.Errorf("of agent %s, which has %s, only %s is offered", a.id, a.total, a.offered)
		}
	}
	s.checkFair(weights)
}

// undo ends what an agent has and does, as far as it can be ended yet.
func (s *simulation) undo(a *simAgent) {
	for _, key := range sortedKeys(a.tasks) {
		s.turn(a, a.tasks[key], mesos.TaskState_TASK_FINISHED)
	}
	if !a.registered {
		return
	}
	if a.lent = (resource.Set{}); !s.w.core.agents[a.id].revocable.Empty() {
		s.w.do(FromAgent{a.link, &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Oversubscribed{Oversubscribed: &protocol.Oversubscribed{}}}})
	}
	for _, r := range a.total.Proto() {
		list := []*mesos.Resource{r}
		stack := r.GetReservations()
		switch {
		case r.GetDisk().GetPersistence() != nil:
			s.operate(operatorCall(agentID(a.id), &mesos.Offer_Operation{Type: mesos.Offer_Operation_DESTROY.Enum(),
				Destroy: &mesos.Offer_Operation_Destroy{Volumes: list}}))
		case len(stack) > 0 && stack[len(stack)-1].GetType() == mesos.Resource_ReservationInfo_DYNAMIC:
			s.operate(operatorCall(agentID(a.id), &mesos.Offer_Operation{Type: mesos.Offer_Operation_UNRESERVE.Enum(),
				Unreserve: &mesos.Offer_Operation_Unreserve{Resources: list}}))
		}
	}
}

func (s *simulation) setQuota(role string, guarantees map[string]*mesos.Value_Scalar) {
	s.operate(&master.Call{Type: master.Call_UPDATE_QUOTA.Enum(), UpdateQuota: &master.Call_UpdateQuota{
		Force: proto.Bool(true), QuotaConfigs: []*quota.QuotaConfig{{Role: &role, Guarantees: guarantees}}}})
}

// reoffer has all offers taken back and made again, by other weights.
func (s *simulation) reoffer() (weights map[string]float64) {
	weights = map[string]float64{}
	call := &master.Call_UpdateWeights{}
	for _, role := range simRoles {
		w := 1 + s.r.Float64()*3
		weights[role] = w
		call.WeightInfos = append(call.WeightInfos, &mesos.WeightInfo{Role: &role, Weight: &w})
	}
	s.operate(&master.Call{Type: master.Call_UPDATE_WEIGHTS.Enum(), UpdateWeights: call})
	s.w.advance(2 * time.Second)
	return weights
}

// checkFair holds the bound of dominant resource fairness at every level of the tree:
// whoever got an agent was, before he got it, no better off than his siblings, each by
// his weight.
func (s *simulation) checkFair(weights map[string]float64) {
	under := func(role string) func(*offer) bool { return func(o *offer) bool { return o.role == role } }
	below := func(role string) func(*offer) bool {
		return func(o *offer) bool { return o.role == role || resource.IsBelow(o.role, role) }
	}
	of := func(f *simFramework) func(*offer) bool {
		return func(o *offer) bool { return o.role == "b" && o.framework.id == f.id }
	}
	s.fair(below("a"), below("b"), weights["a"], weights["b"])
	s.fair(under("a"), under("a/b"), 1, weights["a/b"])
	s.fair(of(s.frameworks[1]), of(s.frameworks[2]), 1, 1)
}

// fair compares two competitors both ways.
func (s *simulation) fair(x, y func(*offer) bool, xWeight, yWeight float64) {
	xAll, xBefore := s.shares(x)
	yAll, yBefore := s.shares(y)
	if xBefore/xWeight > yAll/yWeight+1e-9 || yBefore/yWeight > xAll/xWeight+1e-9 {
		s.t.Errorf("shares %g and %g, at least %g and %g before the last offer, by weights %g and %g", xAll, yAll, xBefore, yBefore, xWeight, yWeight)
	}
}

// shares returns the dominant share of what a competitor was offered, and what it was at
// the least before the last offer for which others competed.
func (s *simulation) shares(his func(*offer) bool) (all, before float64) {
	total, sum, last := resource.Quantities{}, resource.Quantities{}, 0.0
	for _, a := range s.w.core.agents {
		total = total.Add(a.total.Quantities())
	}
	alone := resource.Quantities{} // what is reserved: nobody else competed for it
	for _, o := range s.w.core.offers {
		if his(o) {
			q := o.resources.Quantities()
			sum, alone = sum.Add(q), alone.Add(o.resources.Reserved().Quantities())
			last = max(last, q.DominantShare(&total))
		}
	}
	all = sum.DominantShare(&total)
	return all, max(0, all-last-alone.DominantShare(&total))
}

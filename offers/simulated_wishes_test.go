package offers

import (
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/resource"
)

// simMachine is what the agent of a node is like.
type simMachine struct{ resources, rack, domain string }

// The leader's region is "near".
var simMachines = []simMachine{
	{"cpus:4;mem:1024;disk:20;ports:[31000-31009]", "r1", "near/a"},
	{"cpus:4;mem:1024;disk:20;ports:[31000-31009];gpus:1", "r1", "near/b"},
	{"cpus:2;mem:2048;disk:20;cpus(a):1;mem(a):100", "r2", "near/a"},
	{"cpus:4;mem:1024;disk:20;ports:[31000-31009]", "r2", "far/a"},
}

func (m simMachine) info(peer string) *mesos.AgentInfo {
	return &mesos.AgentInfo{Hostname: &peer, Domain: domain(m.domain), Attributes: []*mesos.Attribute{
		{Name: proto.String("rack"), Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: &m.rack}}}}
}

// The roles that may have something, and the quota of which is looked at.
var simRoles = []string{"a", "b", "a/b"}

// simConstraints are wishes of agents, and what they mean.
var simConstraints = []struct {
	groups []*scheduler.OfferConstraints_RoleConstraints_Group
	holds  func(peer string, m simMachine) bool
}{
	{nil, func(string, simMachine) bool { return true }},
	{anyOf(is("rack", "r1")), func(_ string, m simMachine) bool { return m.rack == "r1" }},
	{anyOf(is("HOSTNAME", "p0"), is("HOSTNAME", "p2")), func(peer string, _ simMachine) bool { return peer == "p0" || peer == "p2" }},
	{anyOf(is("ZONE", "a")), func(_ string, m simMachine) bool { return m.domain != "near/b" }},
	{anyOf(fits("rack", "r[2-9]")), func(_ string, m simMachine) bool { return m.rack == "r2" }},
}

func anyOf(conditions ...*scheduler.AttributeConstraint) (groups []*scheduler.OfferConstraints_RoleConstraints_Group) {
	for _, c := range conditions {
		groups = append(groups, &scheduler.OfferConstraints_RoleConstraints_Group{AttributeConstraints: []*scheduler.AttributeConstraint{c}})
	}
	return groups
}

func selector(name string) *scheduler.AttributeConstraint_Selector {
	if pseudo, some := scheduler.AttributeConstraint_Selector_PseudoattributeType_value[name]; some {
		return &scheduler.AttributeConstraint_Selector{Selector: &scheduler.AttributeConstraint_Selector_PseudoattributeType_{
			PseudoattributeType: scheduler.AttributeConstraint_Selector_PseudoattributeType(pseudo)}}
	}
	return &scheduler.AttributeConstraint_Selector{Selector: &scheduler.AttributeConstraint_Selector_AttributeName{AttributeName: name}}
}

func is(name, value string) *scheduler.AttributeConstraint {
	return &scheduler.AttributeConstraint{Selector: selector(name), Predicate: &scheduler.AttributeConstraint_Predicate{
		Predicate: &scheduler.AttributeConstraint_Predicate_TextEquals_{TextEquals: &scheduler.AttributeConstraint_Predicate_TextEquals{Value: &value}}}}
}

func fits(name, pattern string) *scheduler.AttributeConstraint {
	return &scheduler.AttributeConstraint{Selector: selector(name), Predicate: &scheduler.AttributeConstraint_Predicate{
		Predicate: &scheduler.AttributeConstraint_Predicate_TextMatches_{TextMatches: &scheduler.AttributeConstraint_Predicate_TextMatches{Regex: &pattern}}}}
}

// offerConstraints is what a framework says with its subscription of the agents it wants.
func (f *simFramework) offerConstraints() *scheduler.OfferConstraints {
	c := &scheduler.OfferConstraints{RoleConstraints: map[string]*scheduler.OfferConstraints_RoleConstraints{}}
	for _, role := range f.roles {
		if groups := simConstraints[f.wants].groups; groups != nil {
			c.RoleConstraints[role] = &scheduler.OfferConstraints_RoleConstraints{Groups: groups}
		}
	}
	return c
}

// The capabilities that frameworks may lack.
var simCapabilities = []mesos.FrameworkInfo_Capability_Type{mesos.FrameworkInfo_Capability_SHARED_RESOURCES, mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES,
	mesos.FrameworkInfo_Capability_GPU_RESOURCES, mesos.FrameworkInfo_Capability_REGION_AWARE}

// rewish has a framework want offers of other roles and agents, or understand more or less of them.
func (s *simulation) rewish(f *simFramework) *scheduler.Call {
	f.roles = [][]string{{"a"}, {"b"}, {"a/b", "b"}, {"a", "b"}}[s.r.IntN(4)]
	f.lacks = simCapabilities[s.r.IntN(len(simCapabilities))]
	if f.wants = 0; s.r.IntN(2) == 0 {
		f.wants = s.r.IntN(len(simConstraints))
	}
	return f.updateFramework()
}

func (f *simFramework) updateFramework() *scheduler.Call {
	return &scheduler.Call{Type: scheduler.Call_UPDATE_FRAMEWORK.Enum(),
		UpdateFramework: &scheduler.Call_UpdateFramework{FrameworkInfo: f.info(), OfferConstraints: f.offerConstraints()}}
}

// request has a framework say what it needs: of any agent, of one, what nobody has, or nothing.
func (s *simulation) request(f *simFramework) *scheduler.Call {
	call := &scheduler.Call{Type: scheduler.Call_REQUEST.Enum(), Request: &scheduler.Call_Request{}}
	for range s.r.IntN(3) {
		r := &mesos.Request{Resources: s.set([]string{"cpus:2", "cpus:1;mem:200", "mem:1500", "cpus:3;disk:5", "cpus:99"}[s.r.IntN(5)]).Proto()}
		if s.r.IntN(3) == 0 {
			r.AgentId = agentID(s.agents[s.r.IntN(len(s.agents))].id)
		}
		call.Request.Requests = append(call.Request.Requests, r)
	}
	return call
}

// checkOffers holds that whoever was just offered something may have it, wants it and
// understands it.
func (s *simulation) checkOffers() {
	m := s.w.core
	if s.leader != m {
		s.leader, s.checked = m, 0
	}
	for ; s.checked < m.lastOffer; s.checked++ {
		o := s.w.core.offers[offerName(m, s.checked)]
		if o == nil {
			continue // it was taken back in the same step
		}
		f, machine, peer := o.framework, s.machine(o.agent), o.agent.info.GetHostname()
		constraints := f.constraints.GetRoleConstraints()[o.role].GetGroups()
		set := o.resources
		switch {
		case !slices.Contains(f.info.GetRoles(), o.role) || slices.Contains(f.suppressed, o.role):
			s.t.Fatalf("framework %s was offered %s under role %s, of its roles %v, suppressed %v", f.id, o.id, o.role, f.info.GetRoles(), f.suppressed)
		case !s.suits(f, peer, machine, constraints):
			s.t.Fatalf("framework %s (%v, %v) was offered agent %s (%v)", f.id, f.info.GetCapabilities(), constraints, peer, machine)
		case !f.caps.revocable && !set.Revocable().Empty(), !f.caps.shared && !set.Shared().Empty():
			s.t.Fatalf("framework %s (%v) was offered %s", f.id, f.info.GetCapabilities(), set)
		case len(f.requests) > 0 && !meets(f.requests, o.agent.id, set) && s.heeded(f, o.role):
			s.t.Fatalf("framework %s asked for %v and was offered %s of %s", f.id, f.requests, set, peer)
		}
		s.checkQuota(o)
	}
}

func offerName(m *Master, number int) string {
	return m.cfg.MasterID + "-O" + strconv.Itoa(number)
}

func (s *simulation) machine(a *agent) simMachine {
	i := slices.IndexFunc(s.agents, func(o *simAgent) bool { return o.peer == a.info.GetHostname() })
	return simMachines[i]
}

// suits tells whether a framework may be offered anything of a machine.
func (s *simulation) suits(f *framework, peer string, m simMachine, constraints []*scheduler.OfferConstraints_RoleConstraints_Group) bool {
	if m.domain[:4] != "near" && !f.caps.regionAware || s.set(m.resources).Scalar("gpus") > 0 && !f.caps.gpu {
		return false
	}
	for _, c := range simConstraints {
		if slices.EqualFunc(c.groups, constraints, func(x, y *scheduler.OfferConstraints_RoleConstraints_Group) bool { return proto.Equal(x, y) }) {
			return c.holds(peer, m)
		}
	}
	s.t.Fatalf("nobody wishes %v", constraints)
	return false
}

// meets tells whether resources of an agent meet one of the requests.
func meets(requests []*mesos.Request, agent string, set resource.Set) bool {
	return slices.ContainsFunc(requests, func(r *mesos.Request) bool {
		return (r.GetAgentId().GetValue() == "" || r.GetAgentId().GetValue() == agent) &&
			set.Quantities().Contains(setOf(r.GetResources()...).Quantities())
	})
}

// heeded tells whether a framework's requests could be met under a role if everything
// were free.
func (s *simulation) heeded(f *framework, role string) bool {
	m := s.w.core
	for _, a := range m.agents {
		set := a.capacity().AllocatableTo(role)
		if !f.caps.revocable {
			set = set.NonRevocable()
		}
		for _, name := range simRoles {
			if name == role || resource.IsBelow(role, name) {
				limits, err := resource.LimitsFromProto(m.facts.Quota(name).GetLimits())
				if err != nil {
					s.t.Fatal(err)
				}
				set = set.Chop(limits)
			}
		}
		if m.offerable(a) && meets(f.requests, a.id, set) &&
			s.suits(f, a.info.GetHostname(), s.machine(a), f.constraints.GetRoleConstraints()[role].GetGroups()) {
			return true
		}
	}
	return false
}

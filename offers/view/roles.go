package view

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/resource"
)

// Role is what one role may have and has. What it has includes all below it in
// the tree of roles.
type Role struct {
	Name       string
	Weight     float64
	Guarantees resource.Quantities
	Limits     resource.Limits
	Consumed   resource.Quantities  // counts against the quota: Reserved, and what else is allocated and firm
	Allocated  resource.Quantities  // used by tasks and executors
	Offered    resource.Quantities  // out as offers
	Reserved   resource.Quantities  // of agents' resources, used or not
	Frameworks []*mesos.FrameworkID // subscribed to it
}

// Roles returns by name every role that a framework is subscribed to or holds
// something under, that is reserved for or has a quota or a weight, and the roles
// above these.
// Mesos: src/master/master.cpp, Master::knownRoles.
func (v *View) Roles() []*Role {
	t := tree{}
	for _, r := range v.roles.values() {
		t.role(r.GetName()).Weight = r.GetWeight()
	}
	for _, c := range v.quotas.values() {
		r := t.role(c.GetRole())
		// What a leader of another version has let in and this one cannot read stays out.
		if guarantees, err := resource.QuantitiesFromProto(c.GetGuarantees()); err == nil {
			r.Guarantees = guarantees
		}
		if limits, err := resource.LimitsFromProto(c.GetLimits()); err == nil {
			r.Limits = limits
		}
	}
	for _, f := range v.Frameworks() {
		t.addFramework(f)
	}
	for _, a := range v.Agents() {
		t.addReservations(setOf(a.GetTotalResources()))
	}
	out := make([]*Role, 0, len(t))
	for _, name := range slices.Sorted(maps.Keys(t)) {
		out = append(out, t[name])
	}
	return out
}

// tree is roles by name, each with those above it.
type tree map[string]*Role

func (t tree) role(name string) *Role {
	r := t[name]
	if r == nil {
		r = &Role{Name: name, Weight: 1}
		t[name] = r
		if i := strings.LastIndexByte(name, '/'); i >= 0 {
			t.role(name[:i])
		}
	}
	return r
}

// each calls do for the role and those above it.
func (t tree) each(name string, do func(*Role)) {
	for {
		do(t.role(name))
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return
		}
		name = name[:i]
	}
}

func (t tree) addFramework(f *master.Response_GetFrameworks_Framework) {
	for _, name := range frameworkRoles(f.GetFrameworkInfo()) {
		r := t.role(name)
		r.Frameworks = append(r.Frameworks, f.GetFrameworkInfo().GetId())
	}
	allocated, offered := setOf(f.GetAllocatedResources()), setOf(f.GetOfferedResources())
	for _, name := range allocated.AllocatedRoles() {
		set := allocated.AllocatedTo(name)
		all, loose := set.Quantities(), set.Unreserved().NonRevocable().Quantities()
		t.each(name, func(r *Role) {
			r.Allocated, r.Consumed = r.Allocated.Add(all), r.Consumed.Add(loose)
		})
	}
	for _, name := range offered.AllocatedRoles() {
		q := offered.AllocatedTo(name).Quantities()
		t.each(name, func(r *Role) { r.Offered = r.Offered.Add(q) })
	}
}

func (t tree) addReservations(total resource.Set) {
	for _, name := range total.ReservedRoles() {
		q := total.ReservedTo(name).Quantities()
		t.each(name, func(r *Role) {
			r.Reserved, r.Consumed = r.Reserved.Add(q), r.Consumed.Add(q)
		})
	}
}

// setOf reads resources; those of another version that cannot be read are none.
func setOf(list []*mesos.Resource) resource.Set {
	set, err := resource.FromProto(list)
	if err != nil {
		return resource.Set{}
	}
	return set
}

// GetRoles returns the payload of GET_ROLES.
func (v *View) GetRoles() *master.Response_GetRoles {
	out := &master.Response_GetRoles{}
	for _, r := range v.Roles() {
		out.Roles = append(out.Roles, &mesos.Role{
			Name: proto.String(r.Name), Weight: proto.Float64(r.Weight), Frameworks: r.Frameworks,
			Resources: r.Allocated.Add(r.Offered).Proto(),
		})
	}
	return out
}

// GetWeights returns the payload of GET_WEIGHTS: the weights that were set.
func (v *View) GetWeights() *master.Response_GetWeights {
	return &master.Response_GetWeights{WeightInfos: v.Weights()}
}

// Weights returns the weights that were set, by role.
func (v *View) Weights() []*mesos.WeightInfo {
	var out []*mesos.WeightInfo
	for _, r := range v.roles.values() {
		out = append(out, &mesos.WeightInfo{Role: r.Name, Weight: r.Weight})
	}
	return out
}

// GetQuota returns the payload of GET_QUOTA.
func (v *View) GetQuota() *master.Response_GetQuota {
	return &master.Response_GetQuota{Status: v.Quota()}
}

// Quota returns the quotas by role, with the older form of their guarantees.
// Mesos: src/master/quota_handler.cpp, QuotaHandler::_status.
func (v *View) Quota() *quota.QuotaStatus {
	s := &quota.QuotaStatus{}
	for _, c := range v.quotas.values() {
		s.Configs = append(s.Configs, c)
		info := &quota.QuotaInfo{Role: c.Role}
		if q, err := resource.QuantitiesFromProto(c.GetGuarantees()); err == nil {
			info.Guarantee = q.Proto()
		}
		s.Infos = append(s.Infos, info)
	}
	return s
}

// frameworkRoles returns the roles a framework is subscribed to.
func frameworkRoles(info *mesos.FrameworkInfo) []string {
	for _, c := range info.GetCapabilities() {
		if c.GetType() == mesos.FrameworkInfo_Capability_MULTI_ROLE {
			return info.GetRoles()
		}
	}
	return []string{info.GetRole()}
}

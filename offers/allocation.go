package offers

import (
	"time"

	"muster/offers/allocator"
	"muster/offers/mesos"
	"muster/offers/resource"
)

// recover gives back what a framework was offered or used on an agent; refuse is
// for how long the framework does not want it again.
func (m *Master) recover(framework, agent string, r resource.Set, refuse *time.Duration) {
	if !r.Empty() {
		m.allocator.Recover(m.now, framework, agent, r, refuse)
	}
}

// options is what the allocator has to know of a framework.
func (f *framework) options() allocator.FrameworkOptions {
	return allocator.FrameworkOptions{
		Roles:      f.roles,
		Suppressed: f.suppressed,
		Active:     f.active,
		Capabilities: allocator.Capabilities{
			Revocable: f.caps.revocable, GPU: f.caps.gpu, Shared: f.caps.shared, PartitionAware: f.caps.partitionAware,
			MultiRole: f.caps.multiRole, Refinement: f.caps.refinement, RegionAware: f.caps.regionAware,
		},
		MinAllocatable: minAllocatable(f.info),
		Constraints:    f.compiled,
	}
}

// minAllocatable returns the least that a framework wants to be offered, by role.
func minAllocatable(info *mesos.FrameworkInfo) map[string][]resource.Quantities {
	var out map[string][]resource.Quantities
	for role, filter := range info.GetOfferFilters() {
		if filter.GetMinAllocatableResources() == nil {
			continue
		}
		least := []resource.Quantities{}
		for _, q := range filter.GetMinAllocatableResources().GetQuantities() {
			if sum, err := resource.QuantitiesFromProto(q.GetQuantities()); err == nil {
				least = append(least, sum)
			}
		}
		if out == nil {
			out = map[string][]resource.Quantities{}
		}
		out[role] = least
	}
	return out
}

// options is what the allocator has to know of an agent.
func (a *agent) options() allocator.AgentOptions {
	return allocator.AgentOptions{
		Hostname: a.info.GetHostname(), Total: a.capacity(),
		Attributes: a.info.GetAttributes(), Domain: a.info.GetDomain(),
		NoMultiRole:         !a.can(mesos.AgentInfo_Capability_MULTI_ROLE),
		NoHierarchicalRoles: !a.can(mesos.AgentInfo_Capability_HIERARCHICAL_ROLE),
	}
}

package allocator

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/resource"
)

// agent is what one agent has, who has it, and what is left. What a run looks
// at comes first: a run over all agents is as fast as they come out of memory.
type agent struct {
	available resource.Set // neither offered nor allocated; shared volumes always
	holdings  []holding
	refusals  []*refusal
	open      int  // 1 + index in the list of those open, 0: not there
	active    bool // may be offered
	quiet     bool // every entitled client was asked and wants nothing of this
	kept      bool // of something of it, for guarantees, when it was visited
	special   bool // not for everyone: see suits
	excess    bool // more is held than there is
	touched   bool // is in the list of those touched
	id        string
	loose     resource.Quantities // what of it is in the headroom
	screened  []uint64            // what is known of constraints: see screen

	index   int // in the list of all
	gpu     bool
	remote  bool // in another region than the cluster
	options AgentOptions
}

// holding is what a client has of an agent, offered or in use, allocated to
// its role.
type holding struct {
	client *client
	set    resource.Set
}

// Use is what a framework uses of an agent, allocated to roles.
type Use struct {
	Framework string
	Resources resource.Set
}

// AddAgent adds an active agent, with what frameworks use of it, each named once.
// They need not have been added.
func (a *Allocator) AddAgent(now time.Time, id string, o AgentOptions, used []Use) {
	a.observe(now)
	if a.agents[id] != nil {
		a.RemoveAgent(now, id)
	}
	ag := &agent{id: id, active: true, index: len(a.list)}
	a.agents[id] = ag
	a.list = append(a.list, ag)
	a.describe(ag, o)
	ag.holdings = make([]holding, 0, len(used))
	for i := range used {
		if !used[i].Resources.Empty() {
			a.hold(a.framework(used[i].Framework), ag, used[i].Resources)
		}
	}
	a.setTotal(a.total.Add(o.Total.Quantities()))
	a.recompute(ag)
	a.touch(ag)
}

// CorrectUse accounts for what frameworks were found to use of an agent and do not
// hold by this account.
func (a *Allocator) CorrectUse(now time.Time, id string, used []Use) {
	a.observe(now)
	ag := a.agents[id]
	if ag == nil {
		return
	}
	for i := range used {
		f := a.framework(used[i].Framework)
		a.use(f, ag, used[i].Resources.Sub(ag.heldBy(f)))
		a.abandon(f)
	}
}

// UpdateAgent replaces what is known of an agent. Filters end when its
// attributes change: who refused it did not know them.
// Mesos: src/master/allocator/mesos/hierarchical.cpp, updateSlave.
func (a *Allocator) UpdateAgent(now time.Time, id string, o AgentOptions) {
	a.observe(now)
	ag := a.agents[id]
	if ag == nil {
		return
	}
	old := ag.options
	same := sameAttributes(old.Attributes, o.Attributes)
	if !same {
		a.forget(ag)
	}
	if !sameTraits(&old, &o) {
		ag.screened = nil
	}
	a.describe(ag, o)
	if same && old.Total.Equal(o.Total) && old.Hostname == o.Hostname && proto.Equal(old.Domain, o.Domain) &&
		old.NoMultiRole == o.NoMultiRole && old.NoHierarchicalRoles == o.NoHierarchicalRoles {
		return
	}
	a.setTotal(a.total.Sub(old.Total.Quantities()).Add(o.Total.Quantities()))
	a.recompute(ag)
	a.touch(ag)
}

// RemoveAgent forgets an agent and all that is allocated on it.
func (a *Allocator) RemoveAgent(now time.Time, id string) {
	a.observe(now)
	ag := a.agents[id]
	if ag == nil {
		return
	}
	for len(ag.holdings) > 0 {
		h := ag.holdings[len(ag.holdings)-1]
		a.reclaim(h.client, ag, h.set)
		a.settle(h.client)
	}
	a.forget(ag)
	ag.active = false
	a.revision++
	a.setOpen(ag)
	last := a.list[len(a.list)-1]
	a.list[ag.index], last.index = last, ag.index
	a.list[len(a.list)-1] = nil
	a.list = a.list[:len(a.list)-1]
	delete(a.agents, id)
	a.setTotal(a.total.Sub(ag.options.Total.Quantities()))
	a.chargeReservations(ag.options.Total, resource.Set{})
}

// UpdateRevocable replaces what is revocable of an agent's total. It returns
// what is held of it beyond that: offers of it are to be taken back.
func (a *Allocator) UpdateRevocable(now time.Time, id string, revocable resource.Set) resource.Set {
	ag := a.agents[id]
	if ag == nil {
		return resource.Set{}
	}
	o := ag.options
	o.Total = o.Total.NonRevocable().Add(revocable.Unallocate().Revocable())
	a.UpdateAgent(now, id, o)
	held := resource.Set{}
	for _, h := range ag.holdings {
		held = held.Add(h.set.Unallocate().Revocable())
	}
	return held.Sub(o.Total)
}

// ActivateAgent lets the agent be offered.
func (a *Allocator) ActivateAgent(now time.Time, id string) {
	a.observe(now)
	if ag := a.agents[id]; ag != nil && !ag.active {
		ag.active = true
		a.revision++
		a.touch(ag)
	}
}

// DeactivateAgent stops offers of the agent; what is allocated stays so.
func (a *Allocator) DeactivateAgent(now time.Time, id string) {
	a.observe(now)
	if ag := a.agents[id]; ag != nil {
		ag.active = false
		a.revision++
		a.setOpen(ag)
	}
}

func (a *Allocator) describe(ag *agent, o AgentOptions) {
	o.Total = o.Total.Unallocate()
	a.chargeReservations(ag.options.Total, o.Total)
	ag.options = o
	a.revision++
	ag.gpu = o.Total.Scalar("gpus") > 0
	region := o.Domain.GetFaultDomain().GetRegion().GetName()
	ag.remote = a.cfg.Region != "" && region != "" && region != a.cfg.Region
	ag.special = ag.gpu && !a.cfg.GPUsForAll || ag.remote || o.NoMultiRole || o.NoHierarchicalRoles
}

// suits reports whether the client understands the agent, and the agent the client.
// Mesos: src/master/allocator/mesos/hierarchical.cpp, isCapableOfReceivingAgent, isFiltered.
func (ag *agent) suits(c *client, cfg *Config) bool {
	caps := &c.framework.caps
	switch {
	case ag.gpu && !caps.GPU && !cfg.GPUsForAll:
	case ag.remote && !caps.RegionAware:
	case ag.options.NoMultiRole && caps.MultiRole:
	case ag.options.NoHierarchicalRoles && c.role.parent.parent != nil:
	default:
		return true
	}
	return false
}

// touch makes the next run consider the agent.
func (a *Allocator) touch(ag *agent) {
	ag.quiet = false
	a.setOpen(ag)
	if !ag.touched && ag.open > 0 {
		ag.touched = true
		a.touched = append(a.touched, ag)
	}
}

// setOpen keeps the list of agents with something to offer, and the headroom.
func (a *Allocator) setOpen(ag *agent) {
	a.countHeadroom(ag)
	open := ag.active && !ag.available.Empty()
	switch {
	case open && ag.open == 0:
		a.open = append(a.open, ag)
		ag.open = len(a.open)
	case !open && ag.open > 0:
		last := a.open[len(a.open)-1]
		a.open[ag.open-1], last.open = last, ag.open
		a.open[len(a.open)-1] = nil
		a.open = a.open[:len(a.open)-1]
		ag.open = 0
	}
}

// sameAttributes compares them without order.
func sameAttributes(a, b []*mesos.Attribute) bool {
	return slices.Equal(attributeKeys(a), attributeKeys(b))
}

func attributeKeys(attributes []*mesos.Attribute) []string {
	keys := make([]string, len(attributes))
	for i, attribute := range attributes {
		keys[i] = attribute.String()
	}
	slices.Sort(keys)
	return keys
}

func compareRoles(x, y *role) int { return cmp.Compare(x.name, y.name) }

package offers

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/allocator"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/registry"
	"muster/offers/resource"
	"muster/offers/view"
)

// agent is one agent that has registered in this leadership and is not unreachable.
type agent struct {
	id          string
	info        *mesos.AgentInfo // with its ID
	peer        string
	incarnation string // names the start of its daemon
	version     string
	address     string // ip:port of its API
	url         *mesos.URL
	caps        []*mesos.AgentInfo_Capability

	link    *link // nil while it is disconnected
	silence *timer
	absence *timer // armed while it is disconnected
	heard   time.Time
	leaving bool    // its end is on the way into the registry
	emptied bool    // that it is drained is on the way into the registry
	upkeep  *upkeep // nil: no maintenance of its machine is planned
	stale   staleness

	total     resource.Set // what is its own, as operations have converted it
	revocable resource.Set // what it lends
	allocated resource.Set // to tasks and executors
	offered   resource.Set

	tasks      taskList
	executors  map[string]map[string]*executor // by framework and ID
	offers     map[string]*offer
	operations map[string]*operation // by UUID

	registered   time.Time
	reregistered time.Time
}

// recovered is an agent known from the registry that has not come back.
type recovered struct {
	info    *mesos.AgentInfo
	peer    string
	absence *timer
	leaving bool
}

// capacity is all that can be offered of an agent.
func (a *agent) capacity() resource.Set { return a.total.Add(a.revocable) }

// can reports whether an agent has a capability.
func (a *agent) can(t mesos.AgentInfo_Capability_Type) bool {
	for _, c := range a.caps {
		if c.GetType() == t {
			return true
		}
	}
	return false
}

func (a *agent) sortedOffers() []*offer { return byNumber(a.offers) }

// use counts resources of a task or an executor; f may be nil.
func (m *Master) use(a *agent, f *framework, r resource.Set) {
	a.allocated = a.allocated.Add(r)
	m.oweInverse(a)
	if f != nil {
		f.used = f.used.Add(r.Scalars())
	}
	m.dirty.usage(f, a)
}

// free is the end of use.
func (m *Master) free(a *agent, f *framework, r resource.Set) {
	a.allocated = a.allocated.Sub(r)
	if f != nil {
		f.used = f.used.Sub(r.Scalars())
	}
	m.dirty.usage(f, a)
}

// usedBy appends to used, which is empty, what each framework uses of an agent, by
// framework.
func (a *agent) usedBy(used []allocator.Use) []allocator.Use {
	for _, t := range a.tasks { // which come by framework
		if t.freed {
			continue
		}
		if n := len(used); n == 0 || used[n-1].Framework != t.framework {
			used = append(used, allocator.Use{Framework: t.framework})
		}
		u := &used[len(used)-1]
		u.Resources = u.Resources.Add(t.resources)
	}
	for f, es := range a.executors {
		i, found := slices.BinarySearchFunc(used, f, func(u allocator.Use, f string) int { return strings.Compare(u.Framework, f) })
		if !found {
			used = slices.Insert(used, i, allocator.Use{Framework: f})
		}
		for _, e := range es {
			used[i].Resources = used[i].Resources.Add(e.resources)
		}
	}
	return used
}

// recoverAgent brings in an agent that an earlier leader admitted.
func (m *Master) recoverAgent(r *registry.Agent) {
	id := r.GetInfo().GetId().GetValue()
	if r.GetStatus() != registry.Agent_ADMITTED {
		m.publish(view.AgentRemovedEvent(id, r.GetStatus() == registry.Agent_UNREACHABLE))
		return
	}
	m.expectAgent(r)
}

// expectAgent waits for an admitted agent to come, and gives it up in the end.
func (m *Master) expectAgent(r *registry.Agent) {
	id := r.GetInfo().GetId().GetValue()
	rec := &recovered{info: r.GetInfo(), peer: r.GetPeerId()}
	m.recovered[id] = rec
	if rec.peer != "" {
		m.peers[rec.peer] = id
	}
	m.awaitReturn(id, rec)
	m.publish(view.RecoveredAgentEvent(rec.info))
}

// awaitReturn gives a recovered agent up if it does not come in time.
func (m *Master) awaitReturn(id string, r *recovered) {
	r.absence = m.timers.set(m.now.Add(m.cfg.ReregisterTimeout), func() {
		r.absence = m.timers.set(m.removals.turn(m.now), func() { m.recoveredLost(id, r) })
	})
}

// heard notes that an agent is alive.
func (m *Master) heard(a *agent) {
	a.heard = m.now
	if a.silence == nil {
		m.listen(a)
	}
}

// listen arms an agent's silence timer. It is moved on when it fires, not at every
// message.
func (m *Master) listen(a *agent) {
	a.silence = m.timers.set(a.heard.Add(m.cfg.AgentTimeout), func() {
		a.silence = nil
		switch {
		case a.leaving || m.agents[a.id] != a:
			return
		case m.now.Sub(a.heard) < m.cfg.AgentTimeout:
			m.listen(a)
			return
		}
		a.silence = m.timers.set(m.removals.turn(m.now), func() {
			a.silence = nil
			switch {
			case a.leaving || m.agents[a.id] != a:
			case m.now.Sub(a.heard) < m.cfg.AgentTimeout: // it was heard while it waited to be given up
				m.listen(a)
			default:
				m.markUnreachable(a, "health check timed out")
			}
		})
	})
}

// agentUnlinked takes in that an agent's link ended: nothing of it is offered until
// it is back.
func (m *Master) agentUnlinked(a *agent) {
	a.link = nil
	m.withdraw(a)
	m.timers.stop(a.absence)
	a.absence = m.timers.set(m.now.Add(m.cfg.ReregisterTimeout), func() {
		a.absence = m.timers.set(m.removals.turn(m.now), func() {
			if !a.leaving && m.agents[a.id] == a {
				m.markUnreachable(a, "agent did not reregister within "+m.cfg.ReregisterTimeout.String())
			}
		})
	})
}

// dropAgent forgets an agent and all it has. What became of its tasks has been told.
func (m *Master) dropAgent(a *agent, unreachable bool) {
	for _, o := range a.sortedOffers() {
		m.rescind(o, nil)
	}
	m.dropUpkeep(a)
	for _, f := range sortedKeys(a.executors) {
		m.removeExecutors(a, f)
	}
	m.loseOperations(a, mesos.OperationState_OPERATION_UNKNOWN, "Agent was removed")
	m.timers.stop(a.silence)
	m.timers.stop(a.absence)
	m.allocator.RemoveAgent(m.now, a.id)
	delete(m.agents, a.id)
	if m.peers[a.peer] == a.id {
		delete(m.peers, a.peer)
	}
	m.dirty.forgetAgent(a)
	m.publish(view.AgentRemovedEvent(a.id, unreachable))
}

// agentFact returns an agent as the view shows it.
func (m *Master) agentFact(a *agent) *master.Response_GetAgents_Agent {
	was := m.facts.Agent(a.id)
	fact := &master.Response_GetAgents_Agent{
		AgentInfo:          a.info,
		Active:             proto.Bool(m.offerable(a)),
		Deactivated:        proto.Bool(was.GetDeactivated()),
		DrainInfo:          was.GetDrainInfo(),
		Version:            proto.String(a.version),
		Pid:                proto.String("slave(1)@" + a.address),
		RegisteredTime:     timeInfo(a.registered),
		ReregisteredTime:   timeInfo(a.reregistered),
		TotalResources:     a.capacity().Proto(),
		AllocatedResources: a.allocated.Proto(),
		OfferedResources:   a.offered.Proto(),
		Capabilities:       a.caps,
	}
	if was.GetDrainInfo() != nil {
		fact.EstimatedDrainStartTime = &mesos.TimeInfo{Nanoseconds: proto.Int64(was.GetDrainStart())}
	}
	return fact
}

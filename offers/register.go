package offers

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/registry"
	"muster/offers/resource"
)

// claim is a registration that cannot be answered before the registry has.
type claim struct {
	reg *protocol.Register
	on  string // the agent whose way into or out of the registry it waits for
}

// register takes in an agent that announces itself, new or returning, with all it
// holds.
func (m *Master) register(l *link, reg *protocol.Register) {
	info := reg.GetAgent()
	if info == nil {
		m.refuse(l, "register: 'agent' is missing", false)
		return
	}
	if _, err := resource.FromProto(info.GetResources()); err != nil {
		m.refuse(l, "register: 'agent.resources': "+err.Error(), false)
		return
	}
	if m.onDownMachine(info, reg.GetHttpAddress()) {
		m.refuse(l, machineDown, info.GetId().GetValue() != "") // it comes back as a new agent
		return
	}
	if l.claim != nil { // said again while the registry is asked: this is what counts
		l.claim.reg = reg
		return
	}
	if a := l.agent; a != nil && a.id != info.GetId().GetValue() {
		l.agent = nil
		m.agentUnlinked(a)
	}
	if info.GetId().GetValue() == "" {
		m.registerNew(l, reg)
		return
	}
	m.registerKnown(l, info.GetId().GetValue(), reg)
}

// refuse ends an agent's link for good.
func (m *Master) refuse(l *link, message string, gone bool) {
	m.toLink(l.id, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_Refused{
		Refused: &protocol.Refused{Message: proto.String(message), Gone: proto.Bool(gone)},
	}})
	m.disconnect(l.id, message)
}

// registerNew admits an agent that has no ID. One that has lost the answer to its
// registration gets it again; one that has lost its memory takes the place of what
// it was.
func (m *Master) registerNew(l *link, reg *protocol.Register) {
	if id := m.peers[l.peer]; l.peer != "" && id != "" {
		if m.busy(id) {
			m.wait(l, id, reg)
			return
		}
		if was := m.facts.Agent(id); reg.GetIncarnation() != "" && was.GetIncarnation() == reg.GetIncarnation() {
			m.registerKnown(l, id, reg)
			return
		}
		m.supplant(id)
	}
	id := m.newAgentID()
	if l.peer != "" {
		m.peers[l.peer] = id
	}
	info := withAgentID(reg.GetAgent(), id)
	m.admitAgent(l, id, reg, &registry.Op{Op: &registry.Op_AdmitAgent{AdmitAgent: &registry.AdmitAgent{
		Agent: info, PeerId: proto.String(l.peer), Incarnation: reg.Incarnation,
	}}})
}

// newAgentID returns an ID that nobody has: agents may bring IDs of their own.
func (m *Master) newAgentID() string {
	for {
		id := fmt.Sprintf("%s-S%d", m.cfg.MasterID, m.lastAgent)
		m.lastAgent++
		if m.agents[id] == nil && m.recovered[id] == nil && !m.admitting[id] && m.facts.Agent(id) == nil {
			return id
		}
	}
}

// registerKnown takes in an agent under the ID it has.
func (m *Master) registerKnown(l *link, id string, reg *protocol.Register) {
	was := m.facts.Agent(id)
	switch {
	case was.GetStatus() == registry.Agent_GONE:
		m.refuse(l, "Agent has been marked gone", true)
	case m.busy(id):
		m.wait(l, id, reg)
	case m.agents[id] != nil:
		m.reregister(l, m.agents[id], reg)
	case m.recovered[id] != nil:
		m.timers.stop(m.recovered[id].absence)
		delete(m.recovered, id)
		m.addAgent(l, id, reg, false)
	default:
		if err := validateID(id); err != nil {
			m.refuse(l, "register: 'agent.id': "+err.Error(), false)
			return
		}
		m.admitAgent(l, id, reg, &registry.Op{Op: &registry.Op_MarkAgentReachable{MarkAgentReachable: &registry.MarkAgentReachable{
			Agent: withAgentID(reg.GetAgent(), id), PeerId: proto.String(l.peer),
		}}})
	}
}

// admitAgent has the registry take an agent in; then it is registered.
func (m *Master) admitAgent(l *link, id string, reg *protocol.Register, op *registry.Op) {
	c := &claim{reg: reg, on: id}
	l.claim = c
	m.admitting[id] = true
	returning := op.GetMarkAgentReachable() != nil
	m.propose(op, func(err error) {
		delete(m.admitting, id)
		present := m.links[l.id] == l && l.claim == c
		if present {
			l.claim = nil
		}
		switch {
		case err != nil:
			if m.peers[l.peer] == id {
				delete(m.peers, l.peer)
			}
			if present {
				m.disconnect(l.id, "register: "+err.Error())
			}
		case present:
			m.addAgent(l, id, c.reg, returning)
			if a := m.agents[id]; a != nil && m.onDownMachine(a.info, a.address) {
				m.takeDown(a) // it was let in when its machine went down
			}
		default:
			m.expectAgent(m.facts.Agent(id))
		}
		m.resumeWaiting(id)
	})
}

// busy reports whether the registry is just taking an agent in, or letting it go.
func (m *Master) busy(id string) bool {
	if m.admitting[id] {
		return true
	}
	if a := m.agents[id]; a != nil {
		return a.leaving
	}
	r := m.recovered[id]
	return r != nil && r.leaving
}

// wait keeps a registration until the agent's way into or out of the registry is
// over. The last link that claims to be an agent is right.
func (m *Master) wait(l *link, id string, reg *protocol.Register) {
	if old := m.waiting[id]; old != nil && old != l {
		m.disconnect(old.id, "replaced by a newer link of the same agent")
	}
	l.claim = &claim{reg: reg, on: id}
	m.waiting[id] = l
}

func (m *Master) resumeWaiting(id string) {
	l := m.waiting[id]
	if l == nil {
		return
	}
	delete(m.waiting, id)
	if m.links[l.id] != l || l.claim == nil {
		return
	}
	reg := l.claim.reg
	l.claim = nil
	m.register(l, reg)
}

// forgetInRegistry has the registry forget an agent; then it is forgotten here.
func (m *Master) forgetInRegistry(id string, forget func()) {
	m.proposeSurely(&registry.Op{Op: &registry.Op_RemoveAgent{RemoveAgent: &registry.RemoveAgent{AgentId: agentID(id)}}}, func() {
		forget()
		m.resumeWaiting(id)
	})
}

// supplant removes an agent whose node runs a new one: it was wiped.
func (m *Master) supplant(id string) {
	if a := m.agents[id]; a != nil {
		a.leaving = true
		m.cutLink(a, "replaced by a new agent of the same node")
		m.forgetInRegistry(id, func() { m.agentRemoved(a, "a new agent registered at the same address") })
	} else if r := m.recovered[id]; r != nil {
		r.leaving = true
		m.forgetInRegistry(id, func() { m.recoveredSupplanted(id, r) })
	}
}

// reregister takes in an agent that this leader knows, over a new link or anew over
// the one it has. Both tell each other what the other does not know.
func (m *Master) reregister(l *link, a *agent, reg *protocol.Register) {
	if a.link == l {
		l.agent = nil
		m.agentUnlinked(a)
	} else {
		m.cutLink(a, "replaced by a newer link of the same agent")
	}
	m.timers.stop(a.absence)
	if changed := m.describe(a, l, reg); changed {
		m.proposeSurely(&registry.Op{Op: &registry.Op_UpdateAgent{UpdateAgent: &registry.UpdateAgent{Agent: a.info}}}, func() {})
	}
	missing := m.mergeOperations(a, reg)
	m.allocator.UpdateAgent(m.now, a.id, a.options())
	m.lend(a, a.revocable)
	a.reregistered = m.now
	m.attach(l, a)
	m.greet(a)
	m.askForOperations(a, missing)
	m.plan(a)
	m.adoptFrameworks(a, reg)
	m.endedBefore(reg)
	m.mergeExecutors(a, reg)
	m.mergeTasks(a, reg)
	m.tellDraining(a)
	m.uses = a.usedBy(m.uses[:0])
	m.allocator.CorrectUse(m.now, a.id, m.uses)
	m.shutdownRemoved(a, reg)
	if m.offerable(a) {
		m.allocator.ActivateAgent(m.now, a.id)
		m.oweInverse(a)
	}
	m.dirty.agent(a)
	m.agentSettled(a.id)
	m.checkDrained(a)
}

// addAgent registers an agent that the registry has and this leader has not heard
// of yet. With returning it was unreachable, and its tasks' frameworks hear of them.
func (m *Master) addAgent(l *link, id string, reg *protocol.Register, returning bool) {
	if m.agents[id] != nil {
		m.reregister(l, m.agents[id], reg)
		return
	}
	a := &agent{
		id: id, registered: m.now,
		tasks: make(taskList, 0, len(reg.GetTasks())), executors: map[string]map[string]*executor{}, offers: map[string]*offer{},
		operations: map[string]*operation{},
	}
	if m.describe(a, l, reg) {
		m.proposeSurely(&registry.Op{Op: &registry.Op_UpdateAgent{UpdateAgent: &registry.UpdateAgent{Agent: a.info}}}, func() {})
	}
	m.agents[id] = a
	m.mergeOperations(a, reg) // none was known
	m.attach(l, a)
	m.greet(a)
	m.plan(a)
	m.adoptFrameworks(a, reg)
	m.endedBefore(reg)
	m.mergeExecutors(a, reg)
	found := m.mergeTasks(a, reg)
	m.tellDraining(a)
	if returning {
		m.welcomeBack(a, found)
	}
	m.uses = a.usedBy(m.uses[:0])
	m.allocator.AddAgent(m.now, id, a.options(), m.uses)
	if !m.offerable(a) {
		m.allocator.DeactivateAgent(m.now, id)
	}
	m.shutdownRemoved(a, reg)
	m.dirty.agent(a)
	m.agentSettled(id)
	m.checkDrained(a)
}

// describe takes in what an agent says of itself and reports whether the registry
// knows it otherwise.
func (m *Master) describe(a *agent, l *link, reg *protocol.Register) bool {
	info := withAgentID(reg.GetAgent(), a.id)
	total, err := resource.FromProto(info.GetResources())
	if err != nil {
		total = a.total // register has checked it
	}
	a.info, a.total = info, total.Unallocate()
	if revocable, err := lent(reg.GetOversubscribed()); err == nil {
		a.revocable = revocable
	}
	a.peer, a.incarnation = l.peer, reg.GetIncarnation()
	a.version, a.address, a.caps = reg.GetVersion(), reg.GetHttpAddress(), reg.GetCapabilities()
	a.url = agentURL(info.GetHostname(), a.address)
	if l.peer != "" {
		m.peers[l.peer] = a.id
	}
	return !proto.Equal(m.facts.Agent(a.id).GetInfo(), info)
}

// attach makes a link an agent's.
func (m *Master) attach(l *link, a *agent) {
	l.agent, a.link = a, l
	m.heard(a)
}

// cutLink ends an agent's link, if it has one.
func (m *Master) cutLink(a *agent, reason string) {
	if a.link != nil {
		m.disconnect(a.link.id, reason)
	}
}

// greet answers a registration.
func (m *Master) greet(a *agent) {
	m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_Registered{Registered: &protocol.Registered{
		AgentId: agentID(a.id), HeartbeatIntervalSeconds: proto.Float64(m.cfg.AgentHeartbeat.Seconds()),
	}}})
}

func withAgentID(info *mesos.AgentInfo, id string) *mesos.AgentInfo {
	if info.GetId().GetValue() == id {
		return info
	}
	c := proto.Clone(info).(*mesos.AgentInfo)
	c.Id = agentID(id)
	return c
}

package offers

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/protocol"
)

// link is one live connection, of an agent or of a gateway.
type link struct {
	id       Link
	peer     string
	gateway  bool
	agent    *agent              // registered over it
	claim    *claim              // a registration that waits for the registry
	sessions map[string]*session // open through it
}

func (m *Master) linked(id Link, peer string, gateway bool) {
	if m.links[id] != nil {
		m.unlinked(id)
	}
	m.links[id] = &link{id: id, peer: peer, gateway: gateway, sessions: map[string]*session{}}
}

// unlinked forgets a link that has ended.
func (m *Master) unlinked(id Link) {
	l := m.links[id]
	if l == nil {
		return
	}
	delete(m.links, id)
	if l.claim != nil && m.waiting[l.claim.on] == l {
		delete(m.waiting, l.claim.on)
	}
	l.claim = nil
	if a := l.agent; a != nil {
		l.agent = nil
		m.agentUnlinked(a)
	}
	for _, s := range sorted(l.sessions) {
		m.sessionAway(s)
	}
	m.dropHeld(id)
}

// disconnect ends a link from this side.
func (m *Master) disconnect(id Link, reason string) {
	if m.links[id] == nil {
		return
	}
	m.unlinked(id)
	m.effect(Disconnect{Link: id, Reason: reason})
}

func (m *Master) fromAgent(id Link, msg *protocol.AgentToMaster) {
	l := m.links[id]
	if l == nil || l.gateway {
		return
	}
	if r, ok := msg.GetMessage().(*protocol.AgentToMaster_Register); ok {
		m.register(l, r.Register)
		return
	}
	if l.claim != nil {
		return // it registers anew, and what it says before belongs to what it was
	}
	a := l.agent
	if a == nil {
		m.disconnect(id, "an agent's first message must be register")
		return
	}
	m.heard(a)
	switch msg := msg.GetMessage().(type) {
	case *protocol.AgentToMaster_Update:
		m.update(a, msg.Update)
	case *protocol.AgentToMaster_Heartbeat:
		m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_Heartbeat{Heartbeat: &protocol.Heartbeat{}}})
	case *protocol.AgentToMaster_ExecutorMessage:
		m.executorMessage(a, msg.ExecutorMessage)
	case *protocol.AgentToMaster_ExecutorExited:
		m.executorExited(a, msg.ExecutorExited)
	case *protocol.AgentToMaster_UpdateOperation:
		m.operationUpdated(a, msg.UpdateOperation)
	case *protocol.AgentToMaster_Oversubscribed:
		m.oversubscribed(a, msg.Oversubscribed)
	case *protocol.AgentToMaster_Reconciled:
		m.reconciled(a, msg.Reconciled)
	}
}

func (m *Master) fromGateway(id Link, msg *protocol.GatewayToMaster) {
	l := m.links[id]
	if l == nil || !l.gateway {
		return
	}
	switch msg := msg.GetMessage().(type) {
	case *protocol.GatewayToMaster_Subscribe:
		m.subscribe(l, msg.Subscribe)
	case *protocol.GatewayToMaster_Call:
		m.call(id, msg.Call)
	case *protocol.GatewayToMaster_Operate:
		m.operate(id, msg.Operate)
	case *protocol.GatewayToMaster_Explain:
		m.explain(id, msg.Explain)
	case *protocol.GatewayToMaster_Closed:
		m.closed(msg.Closed.GetSessionId())
	case *protocol.GatewayToMaster_Heartbeat:
		m.toGateway(id, &protocol.MasterToGateway{Message: &protocol.MasterToGateway_Heartbeat{Heartbeat: &protocol.Heartbeat{}}})
	case *protocol.GatewayToMaster_Pending:
		m.pending(msg.Pending)
	}
}

// toAgent sends a message to an agent, if it is linked. The message is the core's own.
func (m *Master) toAgent(a *agent, msg *protocol.MasterToAgent) {
	if a.link != nil {
		m.toLink(a.link.id, msg)
	}
}

func (m *Master) toLink(id Link, msg *protocol.MasterToAgent) {
	msg.Term = proto.Uint64(m.cfg.Term)
	m.effect(ToAgent{Link: id, Message: msg})
}

func (m *Master) toGateway(id Link, msg *protocol.MasterToGateway) {
	msg.Term = proto.Uint64(m.cfg.Term)
	m.effect(ToGateway{Link: id, Message: msg})
}

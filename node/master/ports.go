package master

import (
	"muster/node/link"
	"muster/offers"
	"muster/offers/protocol"
)

type agentPort struct{ m *Master }

// Open admits an agent's link.
func (p agentPort) Open(peer string, down link.Sender[*protocol.MasterToAgent]) (uint64, link.Receiver[*protocol.AgentToMaster], error) {
	r := p.m.reign.Load()
	if r == nil {
		return 0, nil, link.ErrNotLeading
	}
	l := join(r, r.agents, down)
	if err := r.inbox.fromAgent(r.ctx, offers.AgentConnected{Link: l, Peer: peer}); err != nil {
		return 0, nil, err
	}
	return r.term, agentLink{r, l}, nil
}

type agentLink struct {
	r *reign
	l offers.Link
}

func (a agentLink) Receive(m *protocol.AgentToMaster) error {
	return a.r.inbox.fromAgent(a.r.ctx, offers.FromAgent{Link: a.l, Message: m})
}

func (a agentLink) Closed(cause error) {
	leave(a.r, a.r.agents, a.l)
	if a.r.inbox.fromAgent(a.r.ctx, offers.AgentDisconnected{Link: a.l}) == nil {
		a.r.lost(a.l, cause)
	}
}

type gatewayPort struct{ m *Master }

// Open admits a gateway's link.
func (p gatewayPort) Open(peer string, down link.Sender[*protocol.MasterToGateway]) (uint64, link.Receiver[*protocol.GatewayToMaster], error) {
	r := p.m.reign.Load()
	if r == nil {
		return 0, nil, link.ErrNotLeading
	}
	l := join(r, r.gateways, down)
	if r.ctx.Err() != nil {
		return 0, nil, errReignEnded // it may have ended before it could close this link
	}
	r.inbox.gateway(offers.GatewayConnected{Link: l, Peer: peer})
	return r.term, gatewayLink{r, l, make(chan struct{}, gatewayInputs)}, nil
}

type gatewayLink struct {
	r    *reign
	l    offers.Link
	room chan struct{}
}

func (g gatewayLink) Receive(m *protocol.GatewayToMaster) error {
	return g.r.inbox.fromGateway(g.r.ctx, offers.FromGateway{Link: g.l, Message: m}, g.room)
}

func (g gatewayLink) Closed(cause error) {
	leave(g.r, g.r.gateways, g.l)
	g.r.inbox.gateway(offers.GatewayDisconnected{Link: g.l})
	g.r.lost(g.l, cause)
}

// join gives a new link its number.
func join[M any](r *reign, links map[offers.Link]M, s M) offers.Link {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	links[r.last] = s
	return r.last
}

func leave[M any](r *reign, links map[offers.Link]M, l offers.Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(links, l)
}

// lost notes that a link has ended.
func (r *reign) lost(l offers.Link, cause error) {
	r.m.log.Debug("link ended", "link", uint64(l), "cause", cause)
}

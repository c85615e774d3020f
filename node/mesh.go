package node

import (
	"context"
	"errors"
	"fmt"

	"muster/consensus"
	"muster/consensus/elect"
	"muster/node/link"
	"muster/offers/registry"
	"muster/p2p"
)

// compass finds the leader in the mesh's directory.
type compass struct{ d *p2p.Directory }

func (c compass) Leader() (link.Leadership, bool) {
	l, ok := c.d.Leadership()
	return link.Leadership{Peer: string(l.Leader), Term: l.Term}, ok
}

func (c compass) Changed() <-chan struct{} { return c.d.Changed() }

func (n *Node) dialLink(ctx context.Context, peer, protocol string) (link.Stream, error) {
	return n.mesh.Dial(ctx, p2p.PeerID(peer), protocol)
}

// accept registers what other members may ask of this node.
func (n *Node) accept() error {
	n.mesh.SetAdmitter(n)
	if err := n.mesh.Publish(n.record()); err != nil {
		return err
	}
	n.mesh.Handle(agentProtocol, func(ctx context.Context, s p2p.Stream) {
		n.ended(agentProtocol, s, link.Serve(ctx, s, string(s.RemotePeer()), n.master.Agents()))
	})
	n.mesh.Handle(gatewayProtocol, func(ctx context.Context, s p2p.Stream) {
		n.ended(gatewayProtocol, s, link.Serve(ctx, s, string(s.RemotePeer()), n.master.Gateways()))
	})
	n.mesh.Handle(link.ViewProtocol, func(ctx context.Context, s p2p.Stream) {
		n.ended(link.ViewProtocol, s, link.ServeView(ctx, s, n.master.Leading))
	})
	return nil
}

func (n *Node) ended(what string, s p2p.Stream, err error) {
	n.log.Debug("link served", "protocol", what, "peer", s.RemotePeer(), "err", err)
}

// lead runs the master for as long as this node leads the quorum.
func (n *Node) lead(ctx context.Context, term uint64, facts *registry.State) {
	n.announce(ctx)
	defer n.mesh.Resign()
	n.master.Lead(ctx, term, facts)
}

// announce tells the mesh that this node leads, and with whom.
func (n *Node) announce(ctx context.Context) {
	s := n.quorum.Status()
	if s.Role != consensus.Leader || ctx.Err() != nil {
		return
	}
	l := p2p.Leadership{Term: s.Term, Leader: n.mesh.ID()}
	for _, v := range s.Voters {
		l.Voters = append(l.Voters, p2p.PeerID(v.ID))
	}
	if err := n.mesh.Announce(l); err != nil {
		n.log.Warn("leadership not announced", "term", s.Term, "err", err)
	}
}

// herald announces this node's leadership anew at each change of the quorum, and
// tells the quorum what others announce.
func (n *Node) herald(ctx context.Context) error {
	for {
		quorum, directory := n.quorum.Changed(), n.mesh.Directory().Changed()
		if _, term := n.master.Leading(); term != 0 {
			n.announce(ctx)
		}
		if l, ok := n.mesh.Directory().Leadership(); ok && l.Leader != n.mesh.ID() {
			voters := make([]string, len(l.Voters))
			for i, v := range l.Voters {
				voters[i] = string(v)
			}
			n.quorum.Heard(l.Term, string(l.Leader), voters)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-quorum:
		case <-directory:
		}
	}
}

// zoneLabel is the label of a node's record that holds its failure domain.
const zoneLabel = "zone"

// electable are the nodes that may vote.
func (n *Node) electable() []elect.Node {
	var nodes []elect.Node
	for _, d := range n.mesh.Directory().Nodes() {
		nodes = append(nodes, elect.Node{
			ID: string(d.Peer), Alive: d.Alive, Eligible: true, Since: d.Started, Zone: d.Labels[zoneLabel],
		})
	}
	return nodes
}

// Admit lets a joiner in, on the node that leads.
func (n *Node) Admit(ctx context.Context, r p2p.AdmitRequest) ([]byte, error) {
	state := n.quorum.State()
	cluster := state.Cluster()
	if cluster == nil {
		return nil, errors.New("the registry is not here yet")
	}
	authority := p2p.Authority{CACertificate: cluster.GetCaCertificate(), CAKey: cluster.GetCaKey(), SecretHash: cluster.GetJoinSecretHash()}
	certificate, err := authority.Sign(r)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	n.quorum.Propose(admitMember(r.Peer, r.Name, r.Addresses), func(err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			return nil, fmt.Errorf("admit %s: %w", r.Name, err)
		}
		n.log.Info("member admitted", "peer", r.Peer, "name", r.Name)
		return certificate, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// record is what this node tells the others about itself.
func (n *Node) record() p2p.NodeRecord {
	r := p2p.NodeRecord{
		Name: n.cfg.Name, API: told(n.cfg.API), AgentAPI: told(n.cfg.AgentAPI), Version: n.cfg.Version, Started: n.started,
		Labels: map[string]string{},
	}
	if n.cfg.Zone != "" || n.cfg.Region != "" {
		r.Labels[zoneLabel] = n.cfg.Region + "/" + n.cfg.Zone
	}
	return r
}

// meshConfig is how the mesh listens and whom it knows.
func (n *Node) meshConfig() p2p.Config {
	return p2p.Config{
		Dir: n.cfg.identityDir(), Listen: []string{n.cfg.meshAddress()}, Name: n.cfg.Name, NoMDNS: n.cfg.NoMDNS, Log: n.log,
	}
}

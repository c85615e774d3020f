package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/consensus"
	"muster/offers/registry"
	"muster/p2p"
)

// Init founds a cluster whose first member is the node in cfg.Dir, and returns
// the token with which others join.
func Init(cfg Config, cluster string) (p2p.Token, error) {
	f, err := p2p.Init(cfg.identityDir(), p2p.InitConfig{Cluster: cluster, Name: cfg.Name})
	if err != nil {
		return p2p.Token{}, err
	}
	q, err := consensus.New(consensus.Config{Node: string(f.Peer), Dir: cfg.quorumDir()}, consensus.Transport{Dial: noDial, Listener: noListener{}})
	if err != nil {
		return p2p.Token{}, fmt.Errorf("found the quorum: %w", err)
	}
	if err := q.Bootstrap(founding(f, cfg.Region), admitMember(f.Peer, cfg.Name, nil)); err != nil {
		return p2p.Token{}, fmt.Errorf("found the quorum: %w", err)
	}
	return p2p.NewToken(f.CACertificate, f.Secret, cfg.meshHosts()), nil
}

func founding(f *p2p.Founding, region string) *registry.Op {
	op := &registry.InitCluster{
		ClusterId: proto.String(f.ClusterID), Name: proto.String(f.Name),
		CaCertificate: f.CACertificate, CaKey: f.CAKey, JoinSecretHash: f.SecretHash,
	}
	if region != "" {
		op.HomeRegion = proto.String(region)
	}
	return &registry.Op{Op: &registry.Op_InitCluster{InitCluster: op}}
}

func admitMember(p p2p.PeerID, name string, addresses []string) *registry.Op {
	return &registry.Op{Op: &registry.Op_AdmitMember{AdmitMember: &registry.AdmitMember{
		PeerId: proto.String(string(p)), Name: proto.String(name), Addresses: addresses, Joined: proto.Int64(time.Now().UnixNano()),
	}}}
}

// meshHosts are the addresses, as host:port, at which others may reach this node.
func (c Config) meshHosts() []string {
	listen, err := netip.ParseAddr(c.Listen)
	if err != nil || !listen.IsUnspecified() {
		return []string{c.meshAddress()}
	}
	var hosts []string
	for _, a := range interfaceAddresses() {
		hosts = append(hosts, net.JoinHostPort(a.String(), strconv.Itoa(c.MeshPort)))
	}
	return hosts
}

// interfaceAddresses lists this host's addresses, other than link-local ones,
// loopback only where there is no other.
func interfaceAddresses() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var global, loopback []netip.Addr
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		switch {
		case err != nil || p.Addr().IsLinkLocalUnicast():
		case p.Addr().IsLoopback():
			loopback = append(loopback, p.Addr())
		default:
			global = append(global, p.Addr())
		}
	}
	if len(global) == 0 {
		return loopback
	}
	return global
}

// noDial and noListener stand where a quorum is founded but not run.
func noDial(context.Context, string) (net.Conn, error) { return nil, net.ErrClosed }

type noListener struct{}

func (noListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (noListener) Close() error              { return nil }
func (noListener) Addr() net.Addr            { return &net.IPAddr{} }

// Join makes the node in cfg.Dir a member of the cluster that token is of.
func Join(ctx context.Context, cfg Config, token string) error {
	return p2p.Join(ctx, cfg.identityDir(), token, p2p.JoinConfig{Name: cfg.Name, NoMDNS: cfg.NoMDNS})
}

// StoredToken is the join token as the node in cfg.Dir knows it.
func StoredToken(cfg Config) (p2p.Token, error) {
	m, err := p2p.Stored(cfg.identityDir())
	if err != nil {
		return p2p.Token{}, err
	}
	return p2p.NewToken(m.CACertificate, m.Secret, cfg.meshHosts()), nil
}

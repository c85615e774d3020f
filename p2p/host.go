package p2p

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"
)

// hostLike is what opens a raw stream: the host, or the host that gossip sees.
type hostLike interface {
	NewStream(ctx context.Context, p peer.ID, pids ...protocol.ID) (network.Stream, error)
}

// maxConns is when the connection manager begins to close connections, those of
// voters last. A leader may be connected with every node, so it is high.
const maxConns = 1 << 14

type hostConfig struct {
	key        []byte
	addrs      []ma.Multiaddr // announced instead of the listening ones
	transports transports
	gate       gate
}

// newHost makes a libp2p host with what the mesh needs and nothing that reaches
// out by itself: no relay, no hole punching, no NAT mapping, no address oracle.
func newHost(cfg hostConfig) (host.Host, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(cfg.key)
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	manager, err := connmgr.NewConnManager(maxConns/2, maxConns, connmgr.WithGracePeriod(time.Minute))
	if err != nil {
		return nil, fmt.Errorf("connection manager: %w", err)
	}
	limits, err := resourceManager()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("resource manager: %w", err), manager.Close())
	}
	opts := []libp2p.Option{
		libp2p.Identity(key), libp2p.UserAgent("muster"),
		libp2p.Security(noise.ID, noise.New),
		libp2p.ConnectionManager(manager), libp2p.ResourceManager(limits), libp2p.ConnectionGater(cfg.gate),
		libp2p.WithDialTimeout(dialTimeout),
		libp2p.SwarmOpts(swarm.WithDialRanker(rank), swarm.WithDialTimeoutLocal(dialTimeout)),
		libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.Ping(false), libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.UDPBlackHoleSuccessCounter(nil), libp2p.IPv6BlackHoleSuccessCounter(nil),
	}
	if cfg.transports.tcp {
		opts = append(opts, libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport())) // or two daemons could share a port
	}
	if cfg.transports.quic {
		opts = append(opts, libp2p.Transport(libp2pquic.NewTransport))
	}
	if len(cfg.addrs) > 0 {
		opts = append(opts, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return cfg.addrs }))
	}
	return libp2p.New(opts...)
}

// resourceManager sets the limits by hand. libp2p's own are for the open
// internet: they refuse the 151st stream to one peer and the 9th connection
// from one address, and a leader here has thousands of both from its own kind.
// Strangers are bounded by what a connection may do before it is known
// (Transient) and by being closed after strangerStays.
func resourceManager() (network.ResourceManager, error) {
	many := rcmgr.ResourceLimits{
		Streams: 1 << 17, StreamsInbound: 1 << 16, StreamsOutbound: 1 << 16,
		Conns: 2 * maxConns, ConnsInbound: maxConns, ConnsOutbound: maxConns, FD: 2 * maxConns, Memory: 4 << 30,
	}
	onePeer := rcmgr.ResourceLimits{
		Streams: 1 << 14, StreamsInbound: 1 << 13, StreamsOutbound: 1 << 13,
		Conns: 32, ConnsInbound: 16, ConnsOutbound: 16, FD: 32, Memory: 1 << 30,
	}
	transient := rcmgr.ResourceLimits{
		Streams: 8192, StreamsInbound: 4096, StreamsOutbound: 4096,
		Conns: 2048, ConnsInbound: 1024, ConnsOutbound: 1024, FD: 2048, Memory: 256 << 20,
	}
	one := rcmgr.ResourceLimits{
		Streams: 1 << 14, StreamsInbound: 1 << 13, StreamsOutbound: 1 << 13,
		Conns: 1, ConnsInbound: 1, ConnsOutbound: 1, FD: 1, Memory: 64 << 20,
	}
	limits := rcmgr.PartialLimitConfig{
		System: many, Transient: transient, PeerDefault: onePeer,
		ServiceDefault: many, ServicePeerDefault: onePeer, ProtocolDefault: many, ProtocolPeerDefault: onePeer,
		Conn: one, Stream: one, AllowlistedSystem: many, AllowlistedTransient: transient,
	}.Build(rcmgr.InfiniteLimits)
	loopback4, loopback6 := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: 1024}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 64, ConnCount: 1024}}),
		rcmgr.WithNetworkPrefixLimit(
			[]rcmgr.NetworkPrefixLimit{{Network: loopback4, ConnCount: math.MaxInt}},
			[]rcmgr.NetworkPrefixLimit{{Network: loopback6, ConnCount: math.MaxInt}}),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: []rate.PrefixLimit{{Prefix: loopback4}, {Prefix: loopback6}},
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: rate.Limit{RPS: 50, Burst: 500}}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 64, Limit: rate.Limit{RPS: 50, Burst: 500}}},
				GracePeriod:      time.Minute,
			},
		}))
}

// rank tries TCP first: the kernel tells at once when the other process dies,
// where QUIC waits for its idle timeout, and it costs less CPU. QUIC follows for
// networks that carry only UDP.
func rank(addrs []ma.Multiaddr) []network.AddrDelay {
	ranked := make([]network.AddrDelay, 0, len(addrs))
	for _, a := range addrs {
		delay := time.Duration(0)
		if !manet.IsPrivateAddr(a) && !manet.IsIPLoopback(a) {
			delay += 50 * time.Millisecond
		}
		if _, err := a.ValueForProtocol(ma.P_QUIC_V1); err == nil {
			delay += 250 * time.Millisecond
		}
		ranked = append(ranked, network.AddrDelay{Addr: a, Delay: delay})
	}
	return ranked
}

// gate lets a test cut connections; membership is not decided here, since all
// that a gater sees of a peer is its ID.
type gate func(PeerID) bool

func (g gate) allow(p peer.ID) bool { return g == nil || g(peerID(p)) }

func (g gate) InterceptPeerDial(p peer.ID) bool                                { return g.allow(p) }
func (g gate) InterceptAddrDial(p peer.ID, _ ma.Multiaddr) bool                { return g.allow(p) }
func (g gate) InterceptAccept(network.ConnMultiaddrs) bool                     { return true }
func (g gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
func (g gate) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	return g.allow(p)
}

// transports are what connections are made over.
type transports struct{ tcp, quic bool }

// hostPort turns host:port into the multiaddrs for it, TCP first.
func hostPort(a string, t transports) ([]ma.Multiaddr, error) {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", a, err)
	}
	kind := "dns"
	if ip, err := netip.ParseAddr(host); err == nil {
		kind = "ip6"
		if ip = ip.Unmap().WithZone(""); ip.Is4() {
			kind = "ip4"
		}
		host = ip.String()
	}
	var texts []string
	if t.tcp {
		texts = append(texts, fmt.Sprintf("/%s/%s/tcp/%s", kind, host, port))
	}
	if t.quic {
		texts = append(texts, fmt.Sprintf("/%s/%s/udp/%s/quic-v1", kind, host, port))
	}
	var addrs []ma.Multiaddr
	for _, t := range texts {
		addr, err := ma.NewMultiaddr(t)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w", a, err)
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// textHostPort is the opposite, for a token: host:port of an address.
func textHostPort(a ma.Multiaddr) (string, bool) {
	port, err := a.ValueForProtocol(ma.P_TCP)
	if err != nil {
		port, err = a.ValueForProtocol(ma.P_UDP)
	}
	if err != nil {
		return "", false
	}
	for _, code := range []int{ma.P_IP4, ma.P_IP6, ma.P_DNS, ma.P_DNS4, ma.P_DNS6} {
		if host, err := a.ValueForProtocol(code); err == nil {
			return net.JoinHostPort(host, port), true
		}
	}
	return "", false
}

func isUnsupported(err error) bool {
	var unsupported multistream.ErrNotSupported[protocol.ID]
	return errors.As(err, &unsupported) || (err != nil && strings.Contains(err.Error(), "protocols not supported"))
}

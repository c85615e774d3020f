package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/sync/errgroup"
)

// Mesh is this node's place among the others. Its methods may be called by
// anyone at any time; those that need the network wait until Run has begun.
type Mesh struct {
	cfg       Config
	log       *slog.Logger
	id        *identity
	self      peer.ID
	listen    []ma.Multiaddr
	advertise []ma.Multiaddr
	roster    *roster
	directory *Directory
	kick      chan struct{} // wakes the goroutine that keeps connected
	guesses   *guesses
	refusals  quiet         // of peers, in the log
	rumours   quiet         // bad announcements, in the log
	news      chan struct{} // wakes the goroutine that announces: something new
	again     chan struct{} // the same: someone new

	ready chan struct{} // closed once host is set and listens
	done  chan struct{} // closed when Run returns
	host  host.Host

	started  atomic.Bool
	mu       sync.Mutex
	closing  bool
	ctx      context.Context // of Run, for what it spawns
	tasks    sync.WaitGroup
	handlers map[string]func(context.Context, Stream)
	admitter Admitter
	record   NodeRecord
	leading  *Leadership         // what this node announces, nil if it does not lead
	sequence uint64              // of this node's last announcement
	seen     map[PeerID]sighting // members to try that are not in the directory
}

// New reads the identity; nothing is listened on or dialled before Run.
func New(cfg Config) (*Mesh, error) {
	cfg.defaults()
	id, err := loadIdentity(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	if err := id.certificate.check(id.peer, time.Now()); err != nil {
		return nil, fmt.Errorf("mesh: this node's certificate: %w", err)
	}
	if cfg.Name == "" {
		cfg.Name = id.certificate.Name
	}
	self, err := id.peer.decode()
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	m := &Mesh{
		cfg: cfg, log: cfg.Log, id: id, self: self, roster: newRoster(), guesses: newGuesses(),
		directory: newDirectory(id.peer, cfg.AliveTimeout),
		kick:      make(chan struct{}, 1), news: make(chan struct{}, 1), again: make(chan struct{}, 1),
		ready: make(chan struct{}), done: make(chan struct{}),
		handlers: map[string]func(context.Context, Stream){}, seen: map[PeerID]sighting{},
		record: NodeRecord{Name: cfg.Name},
	}
	if m.listen, err = multiaddrs(cfg.Listen, cfg.transports()); err != nil {
		return nil, fmt.Errorf("mesh: listen: %w", err)
	}
	if m.advertise, err = multiaddrs(cfg.Advertise, cfg.transports()); err != nil {
		return nil, fmt.Errorf("mesh: advertise: %w", err)
	}
	return m, nil
}

func multiaddrs(hostPorts []string, t transports) (all []ma.Multiaddr, err error) {
	for _, hp := range hostPorts {
		addrs, err := hostPort(hp, t)
		if err != nil {
			return nil, err
		}
		all = append(all, addrs...)
	}
	return all, nil
}

// ID is this node.
func (m *Mesh) ID() PeerID { return m.id.peer }

// ClusterID is the cluster this node is a member of.
func (m *Mesh) ClusterID() string { return m.id.cluster }

// ClusterName is what the cluster was called when it was founded.
func (m *Mesh) ClusterName() string { return m.id.ca.Name }

// Certificate is this node's proof of membership.
func (m *Mesh) Certificate() Certificate { return *m.id.certificate }

// Directory is who is there and who leads.
func (m *Mesh) Directory() *Directory { return m.directory }

// Ready is closed once the mesh listens.
func (m *Mesh) Ready() <-chan struct{} { return m.ready }

// Run listens, connects and serves until ctx ends; then it ends every stream
// and waits for the handlers.
func (m *Mesh) Run(ctx context.Context) error {
	if m.started.Swap(true) {
		return errors.New("mesh: run twice")
	}
	defer close(m.done)
	h, err := newHost(hostConfig{
		key: m.id.key, addrs: m.advertise, transports: m.cfg.transports(),
		gate: m.cfg.Allow,
	})
	if err != nil {
		return fmt.Errorf("mesh: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer m.shut(h, cancel)
	gossip, err := m.start(ctx, h)
	if err != nil {
		return fmt.Errorf("mesh: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.announceForever(ctx, gossip) })
	g.Go(func() error { return m.keepConnected(ctx) })
	g.Go(func() error { return m.watchLiveness(ctx) })
	if !m.cfg.NoMDNS {
		g.Go(func() error { return m.multicast(ctx) })
	}
	return g.Wait()
}

// start publishes the host to the rest of the mesh, handlers first.
func (m *Mesh) start(ctx context.Context, h host.Host) (*gossip, error) {
	m.mu.Lock()
	m.ctx, m.host = ctx, h
	for name, f := range m.handlers {
		h.SetStreamHandler(m.protocol(name), m.serve(f))
	}
	m.mu.Unlock()
	m.recall()
	h.SetStreamHandler(helloProtocol, m.tracked(m.answerHello))
	h.SetStreamHandler(m.protocol(admitProtocol), m.tracked(m.answerJoiner))
	h.SetStreamHandler(m.protocol(relayProtocol), m.serve(m.answerRelay))
	h.SetStreamHandler(m.protocol(exchangeProtocol), m.serve(m.answerExchange))
	h.SetStreamHandler(m.protocol(pulseProtocol), m.serve(m.answerPulse))
	h.Network().Notify(&network.NotifyBundle{ConnectedF: m.onConnected, DisconnectedF: m.onDisconnected})
	g, err := m.newGossip(ctx, h)
	if err != nil {
		return nil, err
	}
	// Only now: who connects learns at once which protocols are spoken here.
	if err := m.bind(h); err != nil {
		return nil, err
	}
	if err := m.announceRecord(); err != nil {
		return nil, err
	}
	close(m.ready)
	m.log.Info("mesh listens", "peer", m.id.peer, "cluster", m.id.cluster, "addresses", h.Addrs())
	return g, nil
}

// bind listens. A network without UDP is lived with, as long as there is TCP.
func (m *Mesh) bind(h host.Host) error {
	for _, a := range m.listen {
		err := h.Network().Listen(a)
		if _, udp := a.ValueForProtocol(ma.P_UDP); err != nil && udp == nil && !m.cfg.NoTCP {
			m.log.Warn("no QUIC", "address", a, "err", err)
		} else if err != nil {
			return fmt.Errorf("listen on %s: %w", a, err)
		}
	}
	return nil
}

func (m *Mesh) shut(h host.Host, cancel context.CancelFunc) {
	cancel()
	m.mu.Lock()
	m.closing = true
	m.mu.Unlock()
	if err := h.Close(); err != nil {
		m.log.Warn("mesh not closed well", "err", err)
	}
	m.tasks.Wait()
	m.remember()
}

// spawn runs f until the mesh ends; false if it has ended.
func (m *Mesh) spawn(f func(ctx context.Context)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing || m.ctx == nil {
		return false
	}
	m.tasks.Add(1)
	ctx := m.ctx
	go func() {
		defer m.tasks.Done()
		f(ctx)
	}()
	return true
}

// tracked makes a stream handler that Run waits for.
func (m *Mesh) tracked(f func(network.Stream)) network.StreamHandler {
	return func(s network.Stream) {
		if !m.enter() {
			_ = s.Reset()
			return
		}
		defer m.tasks.Done()
		f(s)
	}
}

func (m *Mesh) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return false
	}
	m.tasks.Add(1)
	return true
}

// protocol puts the cluster into a protocol's ID, so that nodes of two clusters
// have no protocol in common but the hello that tells them so.
func (m *Mesh) protocol(name string) protocol.ID {
	return protocol.ID("/muster/" + m.id.cluster + "/" + name)
}

// serve lets only members reach f.
func (m *Mesh) serve(f func(context.Context, Stream)) network.StreamHandler {
	return m.tracked(func(s network.Stream) {
		ctx := m.ctx
		if err := m.welcome(ctx, s); err != nil {
			m.log.Debug("stream refused", "peer", peerID(s.Conn().RemotePeer()), "protocol", s.Protocol(), "err", err)
			_ = s.Close()
			return
		}
		f(ctx, stream{s})
	})
}

// Handle serves a protocol. The handler gets streams of members only, each in a
// goroutine of its own; it closes the stream, and returns when ctx ends.
func (m *Mesh) Handle(protocol string, f func(ctx context.Context, s Stream)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handlers[protocol] = f
	if m.host != nil {
		m.host.SetStreamHandler(m.protocol(protocol), m.serve(f))
	}
}

func (m *Mesh) unhandle(protocol string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.handlers, protocol)
	if m.host != nil {
		m.host.RemoveStreamHandler(m.protocol(protocol))
	}
}

// Dial opens a stream to a member and returns once the member has accepted it.
// Errors wrap ErrSelf, ErrUnreachable, ErrNoProtocol, ErrNotMember,
// ErrOtherCluster, ErrRemoved or ErrClosed.
func (m *Mesh) Dial(ctx context.Context, to PeerID, protocol string) (Stream, error) {
	if to == m.id.peer {
		return nil, fmt.Errorf("dial %s: %w", protocol, ErrSelf)
	}
	id, err := to.decode()
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	if err := m.wait(ctx); err != nil {
		return nil, fmt.Errorf("dial %s: %w", to.short(), err)
	}
	s, err := m.open(ctx, m.host, id, m.protocol(protocol))
	if err != nil {
		return nil, err
	}
	return stream{s}, nil
}

// wait returns once the mesh is up.
func (m *Mesh) wait(ctx context.Context) error {
	select {
	case <-m.done:
		return ErrClosed
	default:
	}
	select {
	case <-m.ready:
		return nil
	case <-m.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Addresses are the multiaddrs that others can dial this node at, once it is up.
func (m *Mesh) Addresses() []string {
	select {
	case <-m.ready:
	default:
		return nil
	}
	return dialable(m.host.Addrs())
}

// Token composes a join token from the cluster's secret and the addresses of
// the members that are alive, this node first.
func (m *Mesh) Token() Token {
	var addrs []string
	add := func(texts []string) {
		for _, text := range texts {
			a, err := ma.NewMultiaddr(text)
			if err != nil {
				continue
			}
			if hp, ok := textHostPort(a); ok && !slices.Contains(addrs, hp) {
				addrs = append(addrs, hp)
			}
		}
	}
	add(m.Addresses())
	for _, n := range m.directory.Nodes() {
		if n.Peer != m.id.peer && n.Alive && len(addrs) < maxTokenAddrs {
			add(n.Addresses)
		}
	}
	return NewToken(m.id.CACertificate, m.id.Secret, addrs)
}

// SetAdmitter says who decides about joiners when this node leads.
func (m *Mesh) SetAdmitter(a Admitter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.admitter = a
}

package p2p

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 10 * time.Second
	dialsAtOnce  = 16
	tag          = "muster"
)

// onConnected: the side that dialled introduces itself.
func (m *Mesh) onConnected(_ network.Network, c network.Conn) {
	if c.Stat().Direction != network.DirOutbound {
		return
	}
	m.spawn(func(ctx context.Context) {
		if err := m.greet(ctx, c.RemotePeer()); err != nil {
			m.log.Debug("not greeted", "peer", peerID(c.RemotePeer()), "err", err)
		}
	})
}

func (m *Mesh) onDisconnected(n network.Network, c network.Conn) {
	p := c.RemotePeer()
	if m.roster.part(p, c.ID()) && n.Connectedness(p) != network.Connected {
		m.directory.disconnected(peerID(p), time.Now())
		m.log.Debug("disconnected", "peer", peerID(p))
	}
	m.wake()
}

// welcomed: both sides know each other now.
func (m *Mesh) welcomed(p peer.ID, conn string, dialled bool) {
	m.host.ConnManager().TagPeer(p, tag, 50)
	m.directory.connected(peerID(p), time.Now())
	m.log.Debug("connected", "peer", peerID(p), "dialled", dialled)
	if dialled {
		m.spawn(func(ctx context.Context) { m.exchange(ctx, p) })
	}
	if m.self < p {
		m.spawn(func(ctx context.Context) { m.pulseForever(ctx, p, conn) })
	}
}

// connect makes sure that there is a connection. libp2p's own backoff is
// cleared: the mesh has one, and a peer that someone dials is wanted now.
func (m *Mesh) connect(ctx context.Context, p peer.ID) error {
	if m.host.Network().Connectedness(p) == network.Connected {
		return nil
	}
	if s, ok := m.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(p)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := m.host.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
		m.directory.unreachable(peerID(p), time.Now())
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, peerID(p).short(), err)
	}
	return nil
}

func (m *Mesh) noteAddresses(p peer.ID, texts []string) {
	var addrs []ma.Multiaddr
	for _, t := range texts {
		if a, err := ma.NewMultiaddr(t); err == nil {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return
	}
	ps := m.host.Peerstore()
	if m.host.Network().Connectedness(p) != network.Connected {
		ps.ClearAddrs(p)
	}
	ps.AddAddrs(p, addrs, peerstore.PermanentAddrTTL)
}

func (m *Mesh) wake() { poke(m.kick) }

// attempt is when to try a peer or an address next.
type attempt struct {
	pause time.Duration
	next  time.Time
	busy  bool
}

// outcome is how a dial ended.
type outcome struct {
	key string
	err error
}

// keepConnected is the goroutine that keeps this node connected: with every
// member while there are few, else with the voters and a choice of the others,
// and as long as there is nobody, with the bootstrap addresses. It owns the
// attempts; each dial runs by itself, so that a peer that does not answer
// delays no other.
func (m *Mesh) keepConnected(ctx context.Context) error {
	attempts, outcomes := map[string]*attempt{}, make(chan outcome)
	saved := time.Now()
	for {
		now := time.Now()
		next := m.dialWanted(attempts, outcomes, now)
		m.closeStrangers()
		if now.Sub(saved) > rememberEvery {
			m.remember()
			saved = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.kick:
		case o := <-outcomes:
			a := attempts[o.key]
			a.busy = false
			if o.err == nil {
				*a = attempt{pause: firstBackoff}
			} else {
				a.next = time.Now().Add(a.pause/2 + rand.N(a.pause))
				a.pause = min(2*a.pause, lastBackoff)
			}
		case <-time.After(max(time.Until(next), minPause)):
		}
	}
}

// dialWanted begins the dials that are due; it gives when the next one is.
func (m *Mesh) dialWanted(attempts map[string]*attempt, outcomes chan<- outcome, now time.Time) time.Time {
	next, busy := now.Add(lastBackoff), 0
	wanted := m.wanted()
	for key, a := range attempts {
		if a.busy {
			busy++
		} else if wanted[key] == nil {
			delete(attempts, key)
		}
	}
	for key, dial := range wanted {
		a := attempts[key]
		if a == nil {
			a = &attempt{pause: firstBackoff}
			attempts[key] = a
		}
		switch {
		case a.busy || busy >= dialsAtOnce:
		case now.Before(a.next):
			next = earlier(next, a.next)
		default:
			busy++
			a.busy = m.spawn(func(ctx context.Context) {
				select {
				case outcomes <- outcome{key, dial(ctx)}:
				case <-ctx.Done():
				}
			})
		}
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// wanted is whom to connect with that is not connected, and how.
func (m *Mesh) wanted() map[string]func(context.Context) error {
	all := m.directory.addresses()
	m.mu.Lock()
	for p, at := range m.seen {
		if time.Since(at.when) > forgetAfter {
			delete(m.seen, p)
		} else if all[p] == nil {
			all[p] = at.addrs
		}
	}
	m.mu.Unlock()
	m.directory.setOverlay(len(all) > m.cfg.MaxPeers)
	want := map[string]func(context.Context) error{}
	met, now := 0, time.Now()
	for _, p := range slices.Concat(m.choose(slices.Collect(maps.Keys(all))), m.directory.doubtful(now)) {
		id, err := p.decode()
		if err != nil || m.roster.isRemoved(p) {
			continue
		}
		if m.roster.met(id, now) {
			met++
			continue
		}
		addrs := all[p]
		want[string(p)] = func(ctx context.Context) error {
			m.noteAddresses(id, addrs)
			return m.meet(ctx, id)
		}
	}
	if met == 0 {
		for _, a := range m.cfg.Bootstrap {
			want[a] = func(ctx context.Context) error { return m.bootstrap(ctx, a) }
		}
	}
	return want
}

// choose is the members to stay connected with: all of them, or the voters and
// as many others as fit, those first that are connected already.
func (m *Mesh) choose(all []PeerID) []PeerID {
	if len(all) <= m.cfg.MaxPeers {
		return all
	}
	l, _ := m.directory.Leadership()
	now := time.Now()
	rank := func(p PeerID) int {
		if slices.Contains(l.Voters, p) {
			return 0
		}
		if id, err := p.decode(); err == nil && m.roster.met(id, now) {
			return 1
		}
		return 2
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(a, b PeerID) int { return rank(a) - rank(b) })
	return all[:m.cfg.MaxPeers]
}

// bootstrap connects with whoever is at an address.
func (m *Mesh) bootstrap(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	info, err := whoIsAt(ctx, m.host, addr, m.cfg.transports())
	if err != nil {
		m.log.Debug("nobody at bootstrap address", "address", addr, "err", err)
		return err
	}
	if info.ID == m.self {
		return ErrSelf
	}
	if err := m.host.Connect(ctx, info); err != nil {
		return err
	}
	return m.greet(ctx, info.ID)
}

// protect keeps the connection manager away from the voters.
func (m *Mesh) protect(l Leadership) {
	cm := m.host.ConnManager()
	for _, p := range l.Voters {
		if id, err := p.decode(); err == nil {
			cm.Protect(id, tag)
		}
	}
	m.wake()
}

// shutOut ends the connections of removed members and serves them no more.
func (m *Mesh) shutOut(removed []PeerID) {
	for _, p := range m.roster.remove(removed) {
		if id, err := p.decode(); err == nil && id != m.self {
			m.log.Info("member removed", "peer", p)
			_ = m.host.Network().ClosePeer(id)
		}
	}
}

// closeStrangers ends connections that never brought a certificate.
func (m *Mesh) closeStrangers() {
	now := time.Now()
	for _, c := range m.host.Network().Conns() {
		if now.Sub(c.Stat().Opened) > strangerStays && !m.roster.member(c.RemotePeer(), now) {
			m.log.Debug("stranger's connection closed", "peer", peerID(c.RemotePeer()))
			_ = c.Close()
		}
	}
}

// watchLiveness is the goroutine that judges who is alive, and ends the
// connections of peers that are silent for long, so that streams to them fail
// and their users turn elsewhere.
func (m *Mesh) watchLiveness(ctx context.Context) error {
	for {
		silent, next := m.directory.expire(time.Now())
		for _, p := range silent {
			id, err := p.decode()
			if err != nil {
				continue
			}
			m.log.Info("peer is silent, connection closed", "peer", p)
			m.spawn(func(context.Context) { _ = m.host.Network().ClosePeer(id) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(next)):
		}
	}
}

// dialable leaves out loopback addresses if there are others, and what is too much.
func dialable(addrs []ma.Multiaddr) []string {
	var all, global []string
	for _, a := range addrs {
		all = append(all, a.String())
		if !manet.IsIPLoopback(a) {
			global = append(global, a.String())
		}
	}
	if len(global) > 0 {
		all = global
	}
	return all[:min(len(all), maxAddresses)]
}

// Disconnect ends the connections with a peer; the mesh connects again if it may.
func (m *Mesh) Disconnect(p PeerID) {
	id, err := p.decode()
	if err != nil || !m.up() {
		return
	}
	if err := m.host.Network().ClosePeer(id); err != nil {
		m.log.Debug("not disconnected well", "peer", p, "err", err)
	}
}

package p2p

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const gossipProtocol = "gossip/1"

// gossip carries announcements through the whole cluster.
type gossip struct {
	topic *pubsub.Topic
}

// newGossip joins the cluster's topic. Messages carry no author of gossipsub's
// own: an announcement is signed by itself, so that it can also be handed on in
// an exchange. The validator takes announcements in; relaying without
// subscribing spares a second queue.
func (m *Mesh) newGossip(ctx context.Context, h host.Host) (*gossip, error) {
	params := pubsub.DefaultGossipSubParams()
	params.HeartbeatInterval = time.Second
	proto := m.protocol(gossipProtocol)
	ps, err := pubsub.NewGossipSub(ctx, memberHost{h, m},
		pubsub.WithGossipSubProtocols([]protocol.ID{proto}, func(pubsub.GossipSubFeature, protocol.ID) bool { return true }),
		pubsub.WithGossipSubParams(params),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(func(msg *pb.Message) string {
			sum := sha256.Sum256(msg.GetData())
			return string(sum[:])
		}),
		pubsub.WithMaxMessageSize(1<<20), pubsub.WithValidateQueueSize(1024), pubsub.WithPeerOutboundQueueSize(256),
		pubsub.WithFloodPublish(true), pubsub.WithPeerExchange(false),
		pubsub.WithPeerFilter(func(p peer.ID, _ string) bool { return m.roster.member(p, time.Now()) }),
		pubsub.WithSubscriptionFilter(pubsub.NewAllowlistSubscriptionFilter(string(proto))),
	)
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	err = ps.RegisterTopicValidator(string(proto), pubsub.ValidatorEx(m.validate), pubsub.WithValidatorTimeout(time.Second))
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	topic, err := ps.Join(string(proto))
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	if _, err := topic.Relay(); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	return &gossip{topic: topic}, nil
}

// validate takes an announcement in and says whether to pass it on: only what
// a member sent, what is signed by a member, and what is news.
func (m *Mesh) validate(_ context.Context, from peer.ID, msg *pubsub.Message) pubsub.ValidationResult {
	if from == m.self {
		return pubsub.ValidationAccept
	}
	now := time.Now()
	if !m.roster.member(from, now) {
		return pubsub.ValidationIgnore
	}
	err := m.take(msg.GetData(), true, now)
	switch {
	case err == nil:
		return pubsub.ValidationAccept
	case errors.Is(err, errStale):
		return pubsub.ValidationIgnore
	}
	if m.rumours.loud(peerID(from), now) {
		m.log.Warn("announcement refused", "from", peerID(from), "err", err)
	}
	return pubsub.ValidationReject
}

// take checks an announcement and puts it into the directory.
func (m *Mesh) take(raw []byte, gossiped bool, now time.Time) error {
	a, err := m.id.unseal(raw, now)
	if err != nil {
		return err
	}
	if m.roster.isRemoved(a.Peer) {
		return fmt.Errorf("announcement of %s: it %w", a.Peer, ErrRemoved)
	}
	if a.Peer == m.id.peer {
		return m.hearOneself(a)
	}
	news, err := m.directory.apply(a, gossiped, now)
	if news {
		m.applied(a)
	}
	return err
}

// applied acts on an announcement that is news.
func (m *Mesh) applied(a *announcement) {
	if a.Leadership != nil {
		m.shutOut(a.Leadership.Removed)
		m.protect(*a.Leadership)
		return
	}
	if p, err := a.Peer.decode(); err == nil {
		m.noteAddresses(p, a.Addresses)
	}
	m.wake()
}

// hearOneself: an announcement of this node's own comes back. If it is newer
// than what this node has sent since it started, its clock was set back; it
// goes on from there, or nobody would believe it.
func (m *Mesh) hearOneself(a *announcement) error {
	m.mu.Lock()
	ahead := a.Sequence > m.sequence
	if ahead {
		m.sequence = a.Sequence
	}
	m.mu.Unlock()
	if ahead {
		poke(m.news)
	}
	return fmt.Errorf("this node's own: %w", errStale)
}

// Publish sets what this node tells about itself. An empty name stays what it was.
func (m *Mesh) Publish(r NodeRecord) error {
	if r.Name == "" {
		r.Name = m.cfg.Name
	}
	if err := checkRecord(&r, nil); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	m.mu.Lock()
	m.record = r
	m.mu.Unlock()
	if m.up() {
		if err := m.announceRecord(); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		poke(m.news)
	}
	return nil
}

// Announce tells everyone that this node leads, now and again until Resign or
// until a newer leadership is known. Call it again when the voters change. It
// needs the mesh to run.
func (m *Mesh) Announce(l Leadership) error {
	if !m.up() {
		return errors.New("announce: the mesh does not run yet")
	}
	l = l.clone()
	if err := l.check(m.id.peer); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	m.mu.Lock()
	m.leading = &l
	m.mu.Unlock()
	if err := m.announceLeadership(); err != nil {
		if errors.Is(err, errStale) {
			m.Resign() // someone leads in a newer term
		}
		return fmt.Errorf("announce: %w", err)
	}
	poke(m.news)
	return nil
}

// Resign ends the announcements of this node's leadership. The others keep the
// last one until they hear of a newer leader.
func (m *Mesh) Resign() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leading = nil
}

func (m *Mesh) up() bool {
	select {
	case <-m.ready:
		return true
	default:
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.host != nil
	}
}

func (m *Mesh) nextSequence() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sequence = max(m.sequence+1, uint64(time.Now().UnixNano()))
	return m.sequence
}

// announceRecord makes a new announcement of this node's record.
func (m *Mesh) announceRecord() error {
	m.mu.Lock()
	r, h := m.record, m.host
	m.mu.Unlock()
	a := &announcement{Sequence: m.nextSequence(), Record: &r, Addresses: dialable(h.Addrs())}
	if err := m.id.seal(a); err != nil {
		return err
	}
	_, err := m.directory.apply(a, false, time.Now())
	return err
}

// announceLeadership makes a new announcement of this node's leadership, if it leads.
func (m *Mesh) announceLeadership() error {
	m.mu.Lock()
	l := m.leading
	m.mu.Unlock()
	if l == nil {
		return nil
	}
	a := &announcement{Sequence: m.nextSequence(), Leadership: l}
	if err := m.id.seal(a); err != nil {
		return err
	}
	news, err := m.directory.apply(a, false, time.Now())
	if news {
		m.applied(a)
	}
	return err
}

// announceForever is the goroutine that gossips what this node announces, at
// once when it changes and again from time to time.
func (m *Mesh) announceForever(ctx context.Context, g *gossip) error {
	lead, record := time.NewTicker(leadershipEvery), time.NewTimer(0)
	defer lead.Stop()
	defer record.Stop()
	var soon []time.Duration // waits until the record is announced again, before the usual one
	var sent [2]uint64       // sequences of the record and the leadership that were sent
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.news:
		case <-lead.C:
			if err := m.announceLeadership(); errors.Is(err, errStale) {
				m.Resign()
			} else if err != nil {
				m.log.Warn("leadership not announced", "err", err)
			}
		case <-record.C:
			if err := m.announceRecord(); err != nil {
				m.log.Warn("record not announced", "err", err)
			}
			every := m.directory.interval()
			if len(soon) > 0 {
				every, soon = soon[0], soon[1:]
			}
			record.Reset(every + rand.N(every/5))
		case <-m.again:
			// Nodes that are not connected with this one yet, such as those that joined
			// at the same moment, hear of it by gossip alone; what it sent before it
			// knew anyone, or before gossip reached them, was lost.
			soon = []time.Duration{time.Second, 3 * time.Second}
			record.Reset(200 * time.Millisecond)
		}
		for i, a := range m.directory.own() {
			if a == nil || a.Sequence == sent[i] {
				continue
			}
			sent[i] = a.Sequence
			if err := g.topic.Publish(ctx, a.raw); err != nil && ctx.Err() == nil {
				m.log.Warn("announcement not sent", "err", err)
			}
		}
	}
}

// interval is recordEvery for those who do not hold the lock.
func (d *Directory) interval() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.recordEvery()
}

// own are this node's latest announcements: its record and, if it leads, its leadership.
func (d *Directory) own() (own [2]*announcement) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.entries[d.self]; e != nil {
		own[0] = e.record
	}
	if d.leading != nil && d.leading.Peer == d.self {
		own[1] = d.leading
	}
	return own
}

// poke wakes a goroutine that waits on c, or will.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// memberHost is the host that gossipsub sees: its streams too begin with a
// check of the peer's certificate, on both sides.
type memberHost struct {
	host.Host
	mesh *Mesh
}

// NewStream is asked for each peer once; so it tries for as long as the peer is
// connected and does not refuse.
func (h memberHost) NewStream(ctx context.Context, p peer.ID, protos ...protocol.ID) (network.Stream, error) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		s, err := h.mesh.open(ctx, h.Host, p, protos[0])
		if err == nil {
			return s, nil
		}
		var no *RefusedError
		if errors.As(err, &no) || errors.Is(err, ErrNotMember) || errors.Is(err, ErrOtherCluster) ||
			h.Network().Connectedness(p) != network.Connected {
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// SetStreamHandler puts the check of the certificate before gossipsub's handler.
func (h memberHost) SetStreamHandler(p protocol.ID, f network.StreamHandler) {
	h.Host.SetStreamHandler(p, h.mesh.serve(func(_ context.Context, s Stream) { f(s.(stream).Stream) }))
}

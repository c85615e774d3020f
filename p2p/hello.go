package p2p

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// The hello is the one protocol whose ID is the same in all clusters: it tells
// them apart, in words that both sides can log.
const (
	helloProtocol = "/muster/hello/1"
	maxHello      = 16 << 10
)

// hello is each side's introduction. Three are exchanged: the dialler's, the
// answer with the verdict about the dialler, and the dialler's verdict.
type hello struct {
	Cluster       string   `json:"cluster,omitempty"`
	Certificate   []byte   `json:"certificate,omitempty"`
	CACertificate []byte   `json:"ca_certificate,omitempty"` // only for a joiner, who checks its digest
	Joining       bool     `json:"joining,omitempty"`        // the dialler has a token, not a certificate
	Refusal       *refusal `json:"refusal,omitempty"`        // why the receiver is turned away
}

// vouch says whether an incoming stream's peer is a member. Normally the peer
// has introduced itself on connecting; if not, it is asked now.
func (m *Mesh) vouch(ctx context.Context, p peer.ID) error {
	if m.roster.member(p, time.Now()) {
		return nil
	}
	return m.greet(ctx, p)
}

// meet makes sure that there is a connection on which both sides know each other.
func (m *Mesh) meet(ctx context.Context, p peer.ID) error {
	if m.roster.met(p, time.Now()) && m.host.Network().Connectedness(p) == network.Connected {
		return nil
	}
	if err := m.connect(ctx, p); err != nil {
		return err
	}
	return m.greet(ctx, p)
}

// greet exchanges certificates with a connected peer, once at a time however
// many ask. It goes on when its caller gives up, for the next one.
func (m *Mesh) greet(ctx context.Context, p peer.ID) error {
	now := time.Now()
	if m.roster.met(p, now) {
		return nil
	}
	if err := m.roster.refusedLately(p, now); err != nil {
		return err
	}
	g, mine := m.roster.begin(p)
	if mine && !m.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, greetTimeout)
		defer cancel()
		m.roster.end(p, g, m.introduce(ctx, p))
	}) {
		m.roster.end(p, g, ErrClosed)
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return fmt.Errorf("%w: greet %s: %w", ErrUnreachable, peerID(p).short(), context.Cause(ctx))
	}
}

func (r *roster) begin(p peer.ID) (g *greeting, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.greeting[p]; g != nil {
		return g, false
	}
	g = &greeting{done: make(chan struct{})}
	r.greeting[p] = g
	return g, true
}

func (r *roster) end(p peer.ID, g *greeting, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.greeting, p)
	g.err = err
	close(g.done)
}

// introduce is the dialler's half of a greeting.
func (m *Mesh) introduce(ctx context.Context, p peer.ID) error {
	ctx = network.WithNoDial(ctx, "greeting")
	s, err := m.host.NewStream(ctx, p, helloProtocol)
	if err != nil {
		return dialError(p, helloProtocol, err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	var theirs hello
	err = writeFrame(s, maxHello, hello{Cluster: m.id.cluster, Certificate: m.id.Certificate})
	if err == nil {
		err = readFrame(s, maxHello, &theirs)
	}
	if isUnsupported(err) {
		err = fmt.Errorf("%w: it does not speak muster", ErrNotMember)
		m.turnAway(p, err)
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: greet %s: %w", ErrUnreachable, peerID(p).short(), err)
	}
	c, verdict := m.judge(p, theirs)
	reply := hello{}
	if verdict != nil {
		reply.Refusal = refusalOf(verdict)
	} else {
		m.roster.admit(p, c)
	}
	err = writeFrame(s, maxHello, reply)
	switch {
	case verdict != nil:
		m.turnAway(p, verdict)
		return verdict
	case theirs.Refusal != nil:
		err = theirs.Refusal.err()
		m.refusedBy(p, err)
		return fmt.Errorf("peer %s: %w", peerID(p), err)
	case err != nil:
		return fmt.Errorf("%w: greet %s: %w", ErrUnreachable, peerID(p).short(), err)
	}
	if conn := s.Conn().ID(); m.roster.shake(p, conn) {
		m.welcomed(p, conn, true)
	}
	return nil
}

// answerHello is the other half.
func (m *Mesh) answerHello(s network.Stream) {
	defer s.Close()
	p := s.Conn().RemotePeer()
	if err := s.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		_ = s.Reset()
		return
	}
	var theirs, last hello
	if err := readFrame(s, maxHello, &theirs); err != nil {
		m.log.Debug("unreadable hello", "peer", peerID(p), "err", err)
		_ = s.Reset()
		return
	}
	mine := hello{Cluster: m.id.cluster, Certificate: m.id.Certificate}
	if theirs.Joining {
		mine.CACertificate = m.id.CACertificate
		if err := writeFrame(s, maxHello, mine); err != nil {
			m.log.Debug("hello of a joiner not answered", "peer", peerID(p), "err", err)
		}
		return
	}
	c, verdict := m.judge(p, theirs)
	if verdict != nil {
		mine.Refusal = refusalOf(verdict)
	} else {
		// Before the answer: the peer opens streams as soon as it has it.
		m.roster.admit(p, c)
	}
	err := writeFrame(s, maxHello, mine)
	if err == nil {
		err = readFrame(s, maxHello, &last)
	}
	switch {
	case verdict != nil:
		m.turnAway(p, verdict)
	case err != nil:
		m.log.Debug("greeting broken off", "peer", peerID(p), "err", err)
	case last.Refusal != nil:
		m.refusedBy(p, last.Refusal.err())
	default:
		m.supersede(s.Conn())
		if m.roster.shake(p, s.Conn().ID()) {
			m.welcomed(p, s.Conn().ID(), false)
		}
	}
}

// crossing is how far apart two nodes that dial each other at once may connect.
const crossing = time.Second

// supersede ends the connections that a peer had before the one on which it has
// just greeted. It greets again only if they are gone for it: its process was
// started anew. Over QUIC nothing else tells this side so before the idle timeout,
// and streams would be opened on a connection that nobody answers.
func (m *Mesh) supersede(fresh network.Conn) {
	p := fresh.RemotePeer()
	for _, c := range m.host.Network().ConnsToPeer(p) {
		if fresh.Stat().Opened.Sub(c.Stat().Opened) > crossing {
			m.roster.part(p, c.ID())
			m.log.Debug("connection superseded", "peer", peerID(p))
			m.spawn(func(context.Context) { _ = c.Close() })
		}
	}
}

// judge checks an introduction against the peer that the connection proved.
func (m *Mesh) judge(p peer.ID, h hello) (*Certificate, error) {
	id := peerID(p)
	if h.Cluster != m.id.cluster {
		return nil, fmt.Errorf("peer %s %w (its cluster: %.64q, ours: %q)", id, ErrOtherCluster, h.Cluster, m.id.cluster)
	}
	c, err := verifyCertificate(m.id.ca, m.id.cluster, h.Certificate)
	if err == nil {
		err = c.check(id, time.Now())
	}
	if err == nil && m.roster.isRemoved(id) {
		err = ErrRemoved
	}
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", id, err)
	}
	return c, nil
}

// turnAway notes a refused peer and logs it, once a minute each.
func (m *Mesh) turnAway(p peer.ID, err error) {
	now := time.Now()
	m.roster.refuse(p, err, now)
	if m.refusals.loud(peerID(p), now) {
		m.log.Warn("peer refused", "peer", peerID(p), "err", err)
	}
}

// refusedBy logs that a peer refused this node.
func (m *Mesh) refusedBy(p peer.ID, err error) {
	if m.refusals.loud(peerID(p), time.Now()) {
		m.log.Warn("refused by peer", "peer", peerID(p), "err", err)
	}
}

package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Stream is a connection to a member: a net.Conn whose other end is proven.
type Stream interface {
	net.Conn
	RemotePeer() PeerID
	CloseWrite() error // the other end reads EOF; reading goes on here
	Reset() error      // ends both directions at once; what is in flight is lost
}

// Addr is a stream's end as a net.Addr.
type Addr struct{ Peer PeerID }

// Network is "muster".
func (Addr) Network() string  { return "muster" }
func (a Addr) String() string { return string(a.Peer) }

type stream struct{ network.Stream }

func (s stream) LocalAddr() net.Addr  { return Addr{peerID(s.Conn().LocalPeer())} }
func (s stream) RemoteAddr() net.Addr { return Addr{peerID(s.Conn().RemotePeer())} }
func (s stream) RemotePeer() PeerID   { return peerID(s.Conn().RemotePeer()) }

// A member stream begins with one byte from the side that was dialled, once it
// has checked the dialler: accepted, or refused and then a frame with the
// reason. It costs a round trip and gives three things: a refusal is an error
// of Dial, a peer that is frozen is noticed by Dial, and a protocol that the
// peer lacks is an error of Dial although libp2p negotiates lazily.
const (
	accepted = 0
	refused  = 1

	maxRefusal = 2 << 10
)

// welcome checks the dialler of an incoming stream and answers it.
func (m *Mesh) welcome(ctx context.Context, s network.Stream) error {
	remote := s.Conn().RemotePeer()
	err := m.vouch(ctx, remote)
	if derr := s.SetWriteDeadline(time.Now().Add(m.cfg.NegotiationTimeout)); err == nil {
		err = derr
	}
	if err != nil {
		if _, werr := s.Write([]byte{refused}); werr == nil {
			_ = writeFrame(s, maxRefusal, refusalOf(err)) // best effort: the peer is refused either way
		}
		return err
	}
	if _, err := s.Write([]byte{accepted}); err != nil {
		return fmt.Errorf("welcome %s: %w", peerID(remote).short(), err)
	}
	return s.SetWriteDeadline(time.Time{})
}

// open dials a member stream: connects, greets, negotiates, and waits for the
// other side's welcome, all within ctx and the negotiation timeout.
func (m *Mesh) open(ctx context.Context, h hostLike, to peer.ID, proto protocol.ID) (network.Stream, error) {
	if err := m.meet(ctx, to); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.NegotiationTimeout)
	defer cancel()
	s, err := h.NewStream(network.WithNoDial(ctx, "met"), to, proto)
	if err != nil {
		return nil, dialError(to, proto, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	err = readWelcome(s)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		return s, nil
	}
	_ = s.Reset()
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer: %w", context.Cause(ctx))
	}
	return nil, dialError(to, proto, err)
}

func readWelcome(s network.Stream) error {
	var status [1]byte
	if _, err := io.ReadFull(s, status[:]); err != nil {
		return err
	}
	if status[0] == accepted {
		return nil
	}
	var r refusal
	if err := readFrame(s, maxRefusal, &r); err != nil {
		return err
	}
	return r.err()
}

// dialError names the sentinel of what went wrong: what is neither a refusal
// nor a protocol the peer lacks is a peer that cannot be reached.
func dialError(to peer.ID, proto protocol.ID, err error) error {
	var no *RefusedError
	switch {
	case errors.As(err, &no), errors.Is(err, ErrUnreachable):
	case isUnsupported(err):
		err = fmt.Errorf("%w: %w", ErrNoProtocol, err)
	default:
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("dial %s %s: %w", peerID(to).short(), proto, err)
}

// listener hands incoming streams of one protocol to Accept.
type listener struct {
	mesh   *Mesh
	name   string
	queue  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

const backlog = 64

// Listener gives the incoming streams of a protocol as a net.Listener, for Raft
// and HTTP servers. Streams beyond 64 that nobody has accepted yet are reset.
// It is closed with the mesh.
func (m *Mesh) Listener(protocol string) net.Listener {
	l := &listener{mesh: m, name: protocol, queue: make(chan net.Conn, backlog), closed: make(chan struct{})}
	m.Handle(protocol, l.enqueue)
	return l
}

func (l *listener) enqueue(_ context.Context, s Stream) {
	select {
	case <-l.closed:
	default:
		select {
		case l.queue <- s:
			return
		default:
			l.mesh.log.Warn("too many streams wait to be accepted", "protocol", l.name, "peer", s.RemotePeer())
		}
	}
	_ = s.Reset()
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-l.mesh.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.mesh.unhandle(l.name)
		for {
			select {
			case c := <-l.queue:
				_ = c.(Stream).Reset()
			default:
				return
			}
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return Addr{l.mesh.id.peer} }

// refusal is why a peer is turned away, on the wire.
type refusal struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

var refusals = []struct {
	code string
	err  error
}{
	{"not-member", ErrNotMember},
	{"other-cluster", ErrOtherCluster},
	{"removed", ErrRemoved},
	{"token", ErrTokenRefused},
	{"no-leader", ErrNoLeader},
}

func refusalOf(err error) *refusal {
	r := &refusal{Code: "failed", Text: err.Error()}
	for _, known := range refusals {
		if errors.Is(err, known.err) {
			r.Code = known.code
			break
		}
	}
	if len(r.Text) > 512 {
		r.Text = r.Text[:512]
	}
	return r
}

// RefusedError is what another node said when it turned this one away.
type RefusedError struct {
	Text string // in the other node's words
	is   error
}

func (e *RefusedError) Error() string { return fmt.Sprintf("refused: %q", e.Text) }

// Unwrap gives the sentinel that the refusal stands for, if it is a known one.
func (e *RefusedError) Unwrap() error { return e.is }

func (r *refusal) err() error {
	e := &RefusedError{Text: r.Text}
	if len(e.Text) > 512 {
		e.Text = e.Text[:512]
	}
	for _, known := range refusals {
		if r.Code == known.code {
			e.is = known.err
		}
	}
	return e
}

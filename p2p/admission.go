package p2p

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	manet "github.com/multiformats/go-multiaddr/net"
)

// AdmitRequest is what a joiner asks for. Peer and PublicKey are proven by the
// connection it came over, or vouched for by the member that relayed it.
type AdmitRequest struct {
	Peer      PeerID
	PublicKey []byte // Ed25519, 32 bytes
	Secret    []byte
	Name      string
	Addresses []string // multiaddrs it will listen on, if it knows them
}

// Admitter decides about joiners on the node that leads. Admit checks the
// secret, makes the member known to the registry and signs its certificate.
// Errors that wrap ErrTokenRefused are final for the joiner; others it tries again.
type Admitter interface {
	Admit(ctx context.Context, r AdmitRequest) (certificate []byte, err error)
}

// Authority is what the registry keeps for admitting members.
type Authority struct {
	CACertificate []byte
	CAKey         []byte
	SecretHash    []byte
	Validity      time.Duration // of certificates [DefaultValidity]
}

// Sign checks the request's secret and name and signs a certificate for the peer.
func (a Authority) Sign(r AdmitRequest) ([]byte, error) {
	if err := VerifySecret(a.SecretHash, r.Secret); err != nil {
		return nil, err
	}
	if err := checkName(r.Name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokenRefused, err)
	}
	return SignCertificate(a.CACertificate, a.CAKey, r.Peer, r.Name, a.Validity)
}

const (
	admitProtocol = "admit/1" // a joiner asks a member
	relayProtocol = "relay/1" // a member asks the leader
	maxAdmission  = 64 << 10
	admitTimeout  = 15 * time.Second // of one request, the leader's commit included
	leaderWait    = 5 * time.Second  // for a leader to be known
	maxGuesses    = 10               // wrong secrets from one address a minute
)

// admitRequest is an AdmitRequest on the wire. Peer is set by the relaying
// member alone: a joiner's own is the one that its connection proved.
type admitRequest struct {
	Peer      PeerID   `json:"peer,omitempty"`
	Secret    []byte   `json:"secret"`
	Name      string   `json:"name"`
	Addresses []string `json:"addresses,omitempty"`
}

type admitResponse struct {
	Certificate []byte              `json:"certificate,omitempty"`
	Peers       map[PeerID][]string `json:"peers,omitempty"` // members and their multiaddrs
	Refusal     *refusal            `json:"refusal,omitempty"`
}

// answerJoiner serves a stranger who holds a token, or says so. It is the only
// protocol of the cluster that a stranger reaches.
func (m *Mesh) answerJoiner(s network.Stream) {
	defer s.Close()
	p := s.Conn().RemotePeer()
	ctx, cancel := context.WithTimeout(m.ctx, admitTimeout)
	defer cancel()
	var r admitRequest
	err := s.SetDeadline(time.Now().Add(admitTimeout))
	if err == nil {
		err = readFrame(s, maxAdmission, &r)
	}
	if err != nil {
		m.log.Debug("unreadable request to join", "peer", peerID(p), "err", err)
		_ = s.Reset()
		return
	}
	r.Peer = peerID(p)
	from := remoteIP(s.Conn())
	response := admitResponse{}
	if m.guesses.tooMany(from, time.Now()) {
		err = fmt.Errorf("%w: too many refused attempts from %s, try again in a minute", ErrTokenRefused, from)
	} else {
		response.Certificate, err = m.admit(ctx, r)
	}
	if errors.Is(err, ErrTokenRefused) {
		m.guesses.note(from, time.Now())
	}
	if err != nil {
		response.Refusal = refusalOf(err)
		m.turnAway(p, fmt.Errorf("join of %q from %s: %w", r.Name, from, err))
	} else {
		response.Peers = m.neighbours()
		m.log.Debug("joiner answered", "peer", r.Peer, "name", r.Name)
	}
	if err := writeFrame(s, maxAdmission, response); err != nil {
		m.log.Debug("joiner not answered", "peer", r.Peer, "err", err)
	}
}

// answerRelay serves a member that passes a joiner's request on.
func (m *Mesh) answerRelay(ctx context.Context, s Stream) {
	defer s.Close()
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	var r admitRequest
	err := s.SetDeadline(time.Now().Add(admitTimeout))
	if err == nil {
		err = readFrame(s, maxAdmission, &r)
	}
	if err != nil {
		_ = s.Reset()
		return
	}
	response := admitResponse{}
	if response.Certificate, err = m.admitHere(ctx, r); err != nil {
		response.Refusal = refusalOf(err)
	}
	if err := writeFrame(s, maxAdmission, response); err != nil {
		m.log.Debug("relayed request not answered", "peer", s.RemotePeer(), "err", err)
	}
}

// admit finds who decides: this node if it leads, else the leader.
func (m *Mesh) admit(ctx context.Context, r admitRequest) ([]byte, error) {
	leader, err := m.awaitLeader(ctx)
	if err != nil {
		return nil, err
	}
	if leader == m.id.peer {
		return m.admitHere(ctx, r)
	}
	s, err := m.Dial(ctx, leader, relayProtocol)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	var response admitResponse
	if err = writeFrame(s, maxAdmission, r); err == nil {
		err = readFrame(s, maxAdmission, &response)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it did not answer: %w", ErrNoLeader, err)
	case response.Refusal != nil:
		return nil, response.Refusal.relayed()
	}
	return response.Certificate, nil
}

// admitHere asks this node's admitter. The certificate is checked before it
// leaves: an admitter that signs nonsense would strand the joiner.
func (m *Mesh) admitHere(ctx context.Context, r admitRequest) ([]byte, error) {
	m.mu.Lock()
	admitter := m.admitter
	m.mu.Unlock()
	if admitter == nil {
		return nil, fmt.Errorf("%w: this node does not lead", ErrNoLeader)
	}
	if err := checkName(r.Name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokenRefused, err)
	}
	key, err := r.Peer.publicKey()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokenRefused, err)
	}
	if m.roster.isRemoved(r.Peer) {
		return nil, fmt.Errorf("%w: the node %w; to join again it needs a new identity", ErrTokenRefused, ErrRemoved)
	}
	certificate, err := admitter.Admit(ctx, AdmitRequest{
		Peer: r.Peer, PublicKey: key, Secret: r.Secret, Name: r.Name,
		Addresses: r.Addresses[:min(len(r.Addresses), maxAddresses)],
	})
	if err != nil {
		return nil, err
	}
	if c, err := verifyCertificate(m.id.ca, m.id.cluster, certificate); err != nil || c.Peer != r.Peer {
		return nil, fmt.Errorf("the leader made an invalid certificate for %s: %w", r.Peer, errors.Join(err, ErrNotMember))
	}
	return certificate, nil
}

// awaitLeader is the leader, waiting a little if none is known.
func (m *Mesh) awaitLeader(ctx context.Context) (PeerID, error) {
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	for {
		changed := m.directory.Changed()
		if l, ok := m.directory.Leadership(); ok {
			if n, known := m.directory.Node(l.Leader); !known || n.Alive {
				return l.Leader, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", ErrNoLeader
		}
	}
}

// neighbours are members that a joiner can begin with.
func (m *Mesh) neighbours() map[PeerID][]string {
	peers := map[PeerID][]string{m.id.peer: m.Addresses()}
	for p, addrs := range m.directory.addresses() {
		if len(peers) == 32 {
			break
		}
		peers[p] = addrs
	}
	return peers
}

// relayed is a refusal that the leader made and a relaying member passes on in
// the leader's words.
func (r *refusal) relayed() error {
	e := r.err().(*RefusedError)
	if e.is == nil {
		return e
	}
	return &relayedError{e}
}

type relayedError struct{ *RefusedError }

func (e *relayedError) Error() string { return e.Text }
func (e *relayedError) Unwrap() error { return e.is }

// guesses counts refused tokens by address, so that secrets cannot be tried out
// at leisure, nor the leader be kept busy. Peer IDs cost nothing; addresses do.
type guesses struct {
	mu   sync.Mutex
	from map[string]*guess
}

type guess struct {
	count int
	since time.Time
}

func newGuesses() *guesses { return &guesses{from: map[string]*guess{}} }

func (g *guesses) tooMany(from string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.from[from]
	if c != nil && now.Sub(c.since) > time.Minute {
		delete(g.from, from)
		return false
	}
	return c != nil && c.count >= maxGuesses
}

func (g *guesses) note(from string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.from[from]
	if c == nil {
		if len(g.from) >= maxStrangers {
			for old := range g.from {
				delete(g.from, old)
				break
			}
		}
		c = &guess{since: now}
		g.from[from] = c
	}
	c.count++
}

func remoteIP(c network.Conn) string {
	ip, err := manet.ToIP(c.RemoteMultiaddr())
	if err != nil {
		return "an unknown address"
	}
	return ip.String()
}

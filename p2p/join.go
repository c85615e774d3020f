package p2p

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// JoinConfig says how to join.
type JoinConfig struct {
	Name    string        // this node's name [the host's name]
	NoMDNS  bool          // ask only at the token's addresses
	NoQUIC  bool          // TCP only
	NoTCP   bool          // QUIC only
	Timeout time.Duration // to go on trying [30s]
	Log     *slog.Logger  // [discard]
}

func (c JoinConfig) transports() transports { return transports{tcp: !c.NoTCP, quic: !c.NoQUIC} }

const joinTimeout = 30 * time.Second

// Join makes the node in dir a member of the token's cluster. It asks at the
// token's addresses and at those found by multicast DNS until one admits it; a
// refused token ends it at once. The token's secret is sent only to a node that
// has proven to be a member of the token's cluster. Nothing but the node's key
// is stored unless it is admitted.
func Join(ctx context.Context, dir, token string, cfg JoinConfig) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = joinTimeout
	}
	if hasMembership(dir) {
		return fmt.Errorf("join %s: %w", dir, ErrHasIdentity)
	}
	t, err := ParseToken(token)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	name, err := nodeName(cfg.Name)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	key, self, err := ensureKey(dir)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	h, err := newHost(hostConfig{key: key, transports: cfg.transports()})
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	j := &joiner{host: h, token: t, key: key, self: self, name: name, cfg: cfg, log: cfg.Log}
	m, peers, err := j.run(ctx)
	if cerr := h.Close(); cerr != nil {
		cfg.Log.Debug("joining host not closed well", "err", cerr)
	}
	if err != nil {
		return fmt.Errorf("join cluster %s: %w", t.Cluster(), err)
	}
	if err := rememberPeers(dir, peers); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	return Install(dir, m)
}

type joiner struct {
	host  host.Host
	token Token
	key   ed25519.PrivateKey
	self  PeerID
	name  string
	cfg   JoinConfig
	log   *slog.Logger
}

// run asks one candidate after the other, round and round, until it is admitted
// or refused for good.
func (j *joiner) run(ctx context.Context) (Membership, map[PeerID][]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.cfg.Timeout, fmt.Errorf("nobody admitted this node within %s", j.cfg.Timeout))
	defer cancel()
	near := make(chan peer.AddrInfo, 16)
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		j.look(ctx, near)
	}()
	defer func() { cancel(); <-looked }()
	var last error // of the last round that was not cut short
	for round, pause := 1, 200*time.Millisecond; ; round, pause = round+1, min(2*pause, 3*time.Second) {
		var errs []error
		for _, a := range j.token.Addresses {
			m, peers, err := j.askAt(ctx, a)
			if err == nil || final(err) {
				return m, peers, err
			}
			errs = append(errs, fmt.Errorf("%s: %w", a, err))
		}
		if ctx.Err() == nil || last == nil {
			last = errors.Join(errs...)
		}
		if round >= 3 && allOther(errs) {
			return Membership{}, nil, last
		}
		select {
		case info := <-near:
			m, peers, err := j.ask(ctx, info)
			if err == nil || final(err) {
				return m, peers, err
			}
			j.log.Debug("not admitted", "by", info, "err", err)
		case <-time.After(pause):
		case <-ctx.Done():
			return Membership{}, nil, errors.Join(context.Cause(ctx), last)
		}
	}
}

// allOther: whoever was asked is of another cluster, so waiting changes nothing.
func allOther(errs []error) bool {
	for _, err := range errs {
		if !errors.Is(err, ErrOtherCluster) {
			return false
		}
	}
	return len(errs) > 0
}

// final: no other member would answer differently.
func final(err error) bool { return errors.Is(err, ErrTokenRefused) }

func (j *joiner) look(ctx context.Context, near chan<- peer.AddrInfo) {
	if j.cfg.NoMDNS {
		return
	}
	err := lookAround(ctx, j.token.Cluster(), func(info peer.AddrInfo) {
		select {
		case near <- info:
		default: // the ones that wait come first; mDNS tells again
		}
	})
	if err != nil {
		j.log.Debug("no discovery by multicast DNS", "err", err)
	}
}

func (j *joiner) askAt(ctx context.Context, addr string) (Membership, map[PeerID][]string, error) {
	actx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	info, err := whoIsAt(actx, j.host, addr, j.cfg.transports())
	if err != nil {
		return Membership{}, nil, err
	}
	return j.ask(ctx, info)
}

// ask lets one node prove that it is a member, and then asks it to be admitted.
func (j *joiner) ask(ctx context.Context, info peer.AddrInfo) (Membership, map[PeerID][]string, error) {
	var none Membership
	ctx, cancel := context.WithTimeout(ctx, admitTimeout+dialTimeout)
	defer cancel()
	if info.ID == j.host.ID() {
		return none, nil, ErrSelf
	}
	if s, ok := j.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(info.ID)
	}
	if err := j.host.Connect(ctx, info); err != nil {
		return none, nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer j.host.Network().ClosePeer(info.ID) // whatever came of it, the joining host is done with it
	ca, err := j.prove(ctx, info.ID)
	if err != nil {
		return none, nil, err
	}
	proto := protocol.ID("/muster/" + j.token.Cluster() + "/" + admitProtocol)
	var response admitResponse
	request := admitRequest{Secret: j.token.Secret, Name: j.name}
	if err := j.call(ctx, info.ID, proto, maxAdmission, request, &response); err != nil {
		return none, nil, err
	}
	if response.Refusal != nil {
		return none, nil, fmt.Errorf("member %s: %w", peerID(info.ID), response.Refusal.err())
	}
	m := Membership{CACertificate: ca, Certificate: response.Certificate, Secret: j.token.Secret}
	if _, err := newIdentity(j.key, j.self, m); err != nil {
		return none, nil, fmt.Errorf("member %s sent a bad certificate: %w", peerID(info.ID), err)
	}
	if len(response.Peers) > maxRemembered {
		response.Peers = nil
	}
	if response.Peers == nil {
		response.Peers = map[PeerID][]string{}
	}
	if len(response.Peers[peerID(info.ID)]) == 0 {
		for _, a := range info.Addrs {
			response.Peers[peerID(info.ID)] = append(response.Peers[peerID(info.ID)], a.String())
		}
	}
	return m, response.Peers, nil
}

// prove checks that the node's authority is the token's, and that the authority
// signed a certificate for the very peer that the connection proved. Only then
// may it see the secret.
func (j *joiner) prove(ctx context.Context, p peer.ID) ([]byte, error) {
	var theirs hello
	if err := j.call(ctx, p, helloProtocol, maxHello, hello{Joining: true, Cluster: j.token.Cluster()}, &theirs); err != nil {
		return nil, err
	}
	if digest(theirs.CACertificate) != j.token.Digest {
		return nil, fmt.Errorf("peer %s %w than the token's (its cluster: %.64q)", peerID(p), ErrOtherCluster, theirs.Cluster)
	}
	ca, err := parseAuthority(theirs.CACertificate)
	if err != nil {
		return nil, err
	}
	c, err := verifyCertificate(ca, j.token.Cluster(), theirs.Certificate)
	if err == nil {
		err = c.check(peerID(p), time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", peerID(p), err)
	}
	return theirs.CACertificate, nil
}

// call sends one frame and reads one.
func (j *joiner) call(ctx context.Context, p peer.ID, proto protocol.ID, limit int, request, response any) error {
	s, err := j.host.NewStream(ctx, p, proto)
	if err != nil {
		return dialError(p, proto, err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	if err = writeFrame(s, limit, request); err == nil {
		err = readFrame(s, limit, response)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return dialError(p, proto, err)
	}
	return nil
}

// whoIsAt finds out which peer is at an address, so that tokens and people need
// not write peer IDs down: it dials a peer that cannot exist, and the handshake
// fails with the ID of the one that is there. What is there proves itself
// afterwards like anyone.
func whoIsAt(ctx context.Context, h host.Host, addr string, t transports) (peer.AddrInfo, error) {
	addrs, err := hostPort(addr, t)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	_, pub, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	nobody, err := peer.IDFromPublicKey(pub)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	h.Peerstore().AddAddrs(nobody, addrs, peerstore.TempAddrTTL)
	defer func() {
		h.Peerstore().ClearAddrs(nobody)
		h.Peerstore().RemovePeer(nobody)
	}()
	_, err = h.Network().DialPeer(ctx, nobody)
	var other sec.ErrPeerIDMismatch
	if !errors.As(err, &other) {
		return peer.AddrInfo{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return peer.AddrInfo{ID: other.Actual, Addrs: slices.Clone(addrs)}, nil
}

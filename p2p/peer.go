package p2p

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Conditions that callers act on.
var (
	ErrSelf         = errors.New("the peer is this node itself")
	ErrNotMember    = errors.New("no valid membership certificate")
	ErrOtherCluster = errors.New("belongs to another cluster")
	ErrRemoved      = errors.New("was removed from the cluster")
	ErrTokenRefused = errors.New("join token refused")
	ErrBadToken     = errors.New("not a muster join token")
	ErrNoIdentity   = errors.New("not a member of a cluster yet")
	ErrHasIdentity  = errors.New("already a member of a cluster")
	ErrUnreachable  = errors.New("peer unreachable")
	ErrNoProtocol   = errors.New("the peer does not speak this protocol")
	ErrClosed       = errors.New("mesh closed")
	ErrNoLeader     = errors.New("the cluster has no leader at the moment")
)

// PeerID names a node for all time: libp2p's text form of its public key.
type PeerID string

// decode gives libp2p's form. Only Ed25519 peers exist here: their ID holds the
// whole key, so that a signature can be checked with nothing but the ID.
func (p PeerID) decode() (peer.ID, error) {
	id, err := peer.Decode(string(p))
	if err != nil {
		return "", fmt.Errorf("peer ID %q: %w", string(p), err)
	}
	return id, nil
}

// publicKey extracts the Ed25519 key that the ID holds.
func (p PeerID) publicKey() (ed25519.PublicKey, error) {
	id, err := p.decode()
	if err != nil {
		return nil, err
	}
	key, err := id.ExtractPublicKey()
	if err != nil {
		return nil, fmt.Errorf("peer ID %s: %w", p, err)
	}
	if key.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("peer ID %s: key is %s, not Ed25519", p, key.Type())
	}
	raw, err := key.Raw()
	if err != nil {
		return nil, fmt.Errorf("peer ID %s: %w", p, err)
	}
	return ed25519.PublicKey(raw), nil
}

func peerID(id peer.ID) PeerID { return PeerID(id.String()) }

// short is the form for people: the tail of the ID, which differs between peers.
func (p PeerID) short() string {
	if len(p) <= 8 {
		return string(p)
	}
	return string(p[len(p)-8:])
}

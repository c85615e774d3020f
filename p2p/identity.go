package p2p

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Files in the identity directory, readable by their owner only.
const (
	keyFile        = "node.key"        // Ed25519 private key, 64 bytes
	membershipFile = "membership.json" // Membership
	peersFile      = "peers.json"      // addresses of members met before
)

// Membership is what makes a node a member: it is stored, whole or not at all,
// once the node is admitted.
type Membership struct {
	CACertificate []byte `json:"ca_certificate"`
	Certificate   []byte `json:"certificate"` // this node's own
	Secret        []byte `json:"secret"`      // the join secret, so that any member can print a token
}

// identity is a node's key and membership, read from disk and checked.
type identity struct {
	Membership
	key         ed25519.PrivateKey
	peer        PeerID
	cluster     string
	ca          *authority
	certificate *Certificate
}

func (id *identity) digest() [sha256.Size]byte { return digest(id.CACertificate) }

// Prepare makes sure that the directory holds a node key, and tells its peer ID.
func Prepare(dir string) (PeerID, error) {
	_, p, err := ensureKey(dir)
	return p, err
}

func ensureKey(dir string) (ed25519.PrivateKey, PeerID, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("identity directory: %w", err)
	}
	path := filepath.Join(dir, keyFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, "", fmt.Errorf("make node key: %w", err)
		}
		if err := writeFile(path, key); err != nil {
			return nil, "", fmt.Errorf("store node key: %w", err)
		}
		raw = key
	} else if err != nil {
		return nil, "", fmt.Errorf("read node key: %w", err)
	}
	p, err := keyPeer(raw)
	if err != nil {
		return nil, "", fmt.Errorf("node key %s: %w", path, err)
	}
	return raw, p, nil
}

func keyPeer(raw []byte) (PeerID, error) {
	if len(raw) != ed25519.PrivateKeySize {
		return "", fmt.Errorf("%d bytes, not %d", len(raw), ed25519.PrivateKeySize)
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(raw)
	if err != nil {
		return "", err
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return "", err
	}
	return peerID(id), nil
}

// Install stores a membership for the key in the directory, after checking it.
func Install(dir string, m Membership) error {
	key, p, err := ensureKey(dir)
	if err != nil {
		return err
	}
	id, err := newIdentity(key, p, m)
	if err != nil {
		return fmt.Errorf("install membership: %w", err)
	}
	if err := id.certificate.check(p, time.Now()); err != nil {
		return fmt.Errorf("install membership: %w", err)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("install membership: %w", err)
	}
	if err := writeFile(filepath.Join(dir, membershipFile), raw); err != nil {
		return fmt.Errorf("install membership: %w", err)
	}
	return nil
}

func newIdentity(key ed25519.PrivateKey, p PeerID, m Membership) (*identity, error) {
	ca, err := parseAuthority(m.CACertificate)
	if err != nil {
		return nil, err
	}
	id := &identity{Membership: m, key: key, peer: p, ca: ca}
	id.cluster = clusterID(id.digest())
	id.certificate, err = verifyCertificate(ca, id.cluster, m.Certificate)
	if err != nil {
		return nil, err
	}
	if id.certificate.Peer != p {
		return nil, fmt.Errorf("%w: it is for %s, this node is %s", ErrNotMember, id.certificate.Peer, p)
	}
	return id, nil
}

func loadIdentity(dir string) (*identity, error) {
	raw, err := os.ReadFile(filepath.Join(dir, membershipFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (%s)", ErrNoIdentity, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read membership: %w", err)
	}
	var m Membership
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read membership: %w", err)
	}
	key, p, err := ensureKey(dir)
	if err != nil {
		return nil, err
	}
	id, err := newIdentity(key, p, m)
	if err != nil {
		return nil, fmt.Errorf("membership in %s: %w", dir, err)
	}
	return id, nil
}

func hasMembership(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, membershipFile))
	return err == nil
}

// writeFile replaces a file in one step: after a crash it is the old or the new.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed, which is fine
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package p2p

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

const (
	maxCertificate = 4 << 10 // bytes of one encoded certificate
	maxName        = 253     // bytes of a node's or cluster's name
	skew           = 24 * time.Hour

	// DefaultValidity is how long a membership certificate lasts. Members are
	// shut out by removing them, not by waiting for this.
	DefaultValidity = 10 * 365 * 24 * time.Hour
)

// What a signature is for is part of what is signed, so that one kind of
// document can never be passed off as another.
const (
	authorityContext    = "muster authority 1\x00"
	membershipContext   = "muster membership 1\x00"
	announcementContext = "muster announcement 1\x00"
	secretContext       = "muster join secret 1\x00"
)

// signed is a document and its signature. The signature covers the very bytes
// of Body: nothing is encoded again to check it.
type signed struct {
	Body      []byte `json:"body"`
	Signature []byte `json:"signature"`
}

func sign(key ed25519.PrivateKey, context string, body any) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	sig := ed25519.Sign(key, append([]byte(context), raw...))
	return json.Marshal(signed{Body: raw, Signature: sig})
}

func (s signed) verify(key ed25519.PublicKey, context string) bool {
	return len(key) == ed25519.PublicKeySize &&
		ed25519.Verify(key, append([]byte(context), s.Body...), s.Signature)
}

// decodeSigned decodes a document into body without checking who signed it: the
// authority's own certificate carries the key that it is checked with.
func decodeSigned(raw []byte, limit int, body any) (signed, error) {
	var s signed
	if len(raw) > limit {
		return s, fmt.Errorf("%d bytes, more than %d", len(raw), limit)
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, err
	}
	return s, json.Unmarshal(s.Body, body)
}

// authority is the cluster's root of trust: a key that signed itself.
type authority struct {
	Name      string    `json:"name"` // of the cluster, for people
	PublicKey []byte    `json:"public_key"`
	Created   time.Time `json:"created"`
}

// newAuthority mints a cluster's CA.
func newAuthority(name string, now time.Time) (certificate []byte, key ed25519.PrivateKey, err error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("mint the authority: %w", err)
	}
	certificate, err = sign(key, authorityContext, authority{Name: name, PublicKey: pub, Created: now.UTC().Truncate(time.Second)})
	return certificate, key, err
}

func parseAuthority(raw []byte) (*authority, error) {
	a := new(authority)
	s, err := decodeSigned(raw, maxCertificate, a)
	if err != nil {
		return nil, fmt.Errorf("authority certificate: %w", err)
	}
	if !s.verify(a.PublicKey, authorityContext) {
		return nil, errors.New("authority certificate: bad signature")
	}
	return a, nil
}

// digest identifies an authority certificate; a join token carries it.
func digest(caCertificate []byte) [sha256.Size]byte { return sha256.Sum256(caCertificate) }

// clusterID derives the cluster's ID from its authority, so that whoever holds
// a token knows the ID before it has spoken to anyone, and no one can claim it.
func clusterID(d [sha256.Size]byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(d[:10]))
}

// Certificate says that a peer is a member of a cluster.
type Certificate struct {
	Cluster   string    `json:"cluster"`
	Peer      PeerID    `json:"peer"`
	Name      string    `json:"name"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// check says whether the certificate is for this peer and holds now.
func (c *Certificate) check(peer PeerID, now time.Time) error {
	switch {
	case c.Peer != peer:
		return fmt.Errorf("%w: it is for %s", ErrNotMember, c.Peer)
	case now.Before(c.NotBefore):
		return fmt.Errorf("%w: it begins %s", ErrNotMember, c.NotBefore.Format(time.RFC3339))
	case now.After(c.NotAfter):
		return fmt.Errorf("%w: it expired %s", ErrNotMember, c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// SignCertificate makes a membership certificate with the cluster's CA. It
// begins a day early, for clocks that are behind.
func SignCertificate(caCertificate, caKey []byte, peer PeerID, name string, validity time.Duration) ([]byte, error) {
	if _, err := peer.publicKey(); err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	ca, err := parseAuthority(caCertificate)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	if len(caKey) != ed25519.PrivateKeySize || !ed25519.PrivateKey(caKey).Public().(ed25519.PublicKey).Equal(ed25519.PublicKey(ca.PublicKey)) {
		return nil, errors.New("sign certificate: the key is not the authority's")
	}
	if validity == 0 {
		validity = DefaultValidity
	}
	now := time.Now().UTC().Truncate(time.Second)
	return sign(caKey, membershipContext, Certificate{
		Cluster: clusterID(digest(caCertificate)), Peer: peer, Name: name,
		NotBefore: now.Add(-skew), NotAfter: now.Add(validity),
	})
}

// verifyCertificate checks the signature; check says whether it holds now.
func verifyCertificate(ca *authority, cluster string, raw []byte) (*Certificate, error) {
	if len(raw) == 0 {
		return nil, ErrNotMember
	}
	c := new(Certificate)
	s, err := decodeSigned(raw, maxCertificate, c)
	if err != nil {
		return nil, fmt.Errorf("%w: malformed", ErrNotMember)
	}
	if !s.verify(ca.PublicKey, membershipContext) {
		return nil, fmt.Errorf("%w: not signed by this cluster", ErrNotMember)
	}
	if c.Cluster != cluster {
		return nil, fmt.Errorf("%w: it is for cluster %q", ErrNotMember, c.Cluster)
	}
	return c, nil
}

// HashSecret is what the registry keeps of a join secret. The secret is random
// and long: a plain hash of it cannot be searched.
func HashSecret(secret []byte) []byte {
	h := sha256.Sum256(append([]byte(secretContext), secret...))
	return h[:]
}

// VerifySecret says ErrTokenRefused if the secret is not the one that was hashed.
func VerifySecret(hash, secret []byte) error {
	if len(hash) == 0 || subtle.ConstantTimeCompare(hash, HashSecret(secret)) != 1 {
		return fmt.Errorf("%w: wrong secret", ErrTokenRefused)
	}
	return nil
}

func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("name of %d bytes: it must have 1 to %d", len(name), maxName)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return fmt.Errorf("name %q: not printable", name)
	}
	return nil
}

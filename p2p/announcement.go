package p2p

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

const (
	maxAnnouncement = 64 << 10 // bytes of one announcement, envelope and all
	maxAddresses    = 16       // of one node
	maxLabels       = 32       // of one node
	maxLabel        = 256      // bytes of a label's name or value, and of the other texts of a record
	maxVoters       = 15
	maxRemoved      = 512 // removed members that an announcement names
)

// Leadership is what the leader tells everyone.
type Leadership struct {
	Term    uint64   `json:"term"`
	Leader  PeerID   `json:"leader"`
	Voters  []PeerID `json:"voters"`            // the leader among them
	Removed []PeerID `json:"removed,omitempty"` // former members, whom nobody is to serve
}

// NodeRecord is what a node tells about itself.
type NodeRecord struct {
	Name     string            `json:"name"`
	API      string            `json:"api,omitempty"`       // ip:port of its master API
	AgentAPI string            `json:"agent_api,omitempty"` // ip:port of its agent API
	Version  string            `json:"version,omitempty"`
	Started  time.Time         `json:"started,omitzero"`
	Labels   map[string]string `json:"labels,omitempty"` // such as its failure domain
}

// announcement is one signed fact from one node: its record or its leadership.
// It carries the signer's certificate, so that anyone can check it who has
// never met the signer.
type announcement struct {
	Cluster    string      `json:"cluster"`
	Peer       PeerID      `json:"peer"`
	Sequence   uint64      `json:"sequence"` // grows with each announcement of the peer; its clock in nanoseconds
	Record     *NodeRecord `json:"record,omitempty"`
	Addresses  []string    `json:"addresses,omitempty"` // multiaddrs, with Record
	Leadership *Leadership `json:"leadership,omitempty"`

	raw []byte       // the envelope as it came
	by  *Certificate // of the signer
}

// issued is when the signer made it, by its own clock.
func (a *announcement) issued() time.Time { return time.Unix(0, int64(a.Sequence)) }

type envelope struct {
	Certificate []byte `json:"certificate"`
	Body        []byte `json:"body"`
	Signature   []byte `json:"signature"`
}

// seal signs an announcement of this node.
func (id *identity) seal(a *announcement) error {
	a.Cluster, a.Peer, a.by = id.cluster, id.peer, id.certificate
	if err := a.check(); err != nil {
		return err
	}
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	a.raw, err = json.Marshal(envelope{
		Certificate: id.Certificate, Body: body,
		Signature: ed25519.Sign(id.key, append([]byte(announcementContext), body...)),
	})
	if err == nil && len(a.raw) > maxAnnouncement {
		err = fmt.Errorf("announcement of %d bytes, more than %d", len(a.raw), maxAnnouncement)
	}
	return err
}

// unseal decodes an announcement and checks its signer's membership, its
// signature and its bounds.
func (id *identity) unseal(raw []byte, now time.Time) (*announcement, error) {
	if len(raw) > maxAnnouncement {
		return nil, fmt.Errorf("announcement of %d bytes, more than %d", len(raw), maxAnnouncement)
	}
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("malformed announcement: %w", err)
	}
	a := &announcement{raw: raw}
	if err := json.Unmarshal(e.Body, a); err != nil {
		return nil, fmt.Errorf("malformed announcement: %w", err)
	}
	if a.Cluster != id.cluster {
		return nil, fmt.Errorf("announcement: peer %.64q %w", a.Peer, ErrOtherCluster)
	}
	c, err := verifyCertificate(id.ca, id.cluster, e.Certificate)
	if err == nil {
		err = c.check(a.Peer, now)
	}
	if err != nil {
		return nil, fmt.Errorf("announcement: peer %.64q: %w", a.Peer, err)
	}
	key, err := a.Peer.publicKey()
	if err != nil {
		return nil, fmt.Errorf("announcement: %w", err)
	}
	if !ed25519.Verify(key, append([]byte(announcementContext), e.Body...), e.Signature) {
		return nil, fmt.Errorf("announcement of %s: bad signature", a.Peer)
	}
	a.by = c
	return a, a.check()
}

// check holds an announcement to its bounds, before it is sent and when it came.
func (a *announcement) check() error {
	switch {
	case (a.Record == nil) == (a.Leadership == nil):
		return errors.New("announcement: either a record or a leadership")
	case a.Record != nil:
		return checkRecord(a.Record, a.Addresses)
	default:
		return a.Leadership.check(a.Peer)
	}
}

func checkRecord(r *NodeRecord, addresses []string) error {
	if err := checkName(r.Name); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if max(len(r.API), len(r.AgentAPI), len(r.Version)) > maxLabel {
		return fmt.Errorf("record: a text of more than %d bytes", maxLabel)
	}
	if len(addresses) > maxAddresses || len(r.Labels) > maxLabels {
		return fmt.Errorf("record: more than %d addresses or %d labels", maxAddresses, maxLabels)
	}
	for k, v := range r.Labels {
		if len(k) > maxLabel || len(v) > maxLabel {
			return fmt.Errorf("record: a label of more than %d bytes", maxLabel)
		}
	}
	for _, a := range addresses {
		if len(a) > 2*maxName {
			return fmt.Errorf("record: an address of %d bytes", len(a))
		}
		if _, err := ma.NewMultiaddr(a); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	return nil
}

// check: only the leader speaks for a term, and it is one of its voters.
func (l *Leadership) check(signer PeerID) error {
	switch {
	case l.Leader != signer:
		return fmt.Errorf("leadership: signed by %s, not by its leader %.64q", signer, l.Leader)
	case !slices.Contains(l.Voters, l.Leader):
		return errors.New("leadership: the leader is none of the voters")
	case len(l.Voters) > maxVoters || len(l.Removed) > maxRemoved:
		return fmt.Errorf("leadership: more than %d voters or %d removed members", maxVoters, maxRemoved)
	}
	for _, p := range slices.Concat(l.Voters, l.Removed) {
		if len(p) > maxLabel {
			return fmt.Errorf("leadership: a peer ID of %d bytes", len(p))
		}
	}
	return nil
}

func (l Leadership) clone() Leadership {
	l.Voters, l.Removed = slices.Clone(l.Voters), slices.Clone(l.Removed)
	return l
}

func (l Leadership) equal(o Leadership) bool {
	return l.Term == o.Term && l.Leader == o.Leader && slices.Equal(l.Voters, o.Voters) && slices.Equal(l.Removed, o.Removed)
}

package consensus

import (
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// contacts is raft's transport, which notes on the way what each peer answers:
// when it was last heard, and how much of the log it holds. It replicates
// without pipelining, which the group commit makes needless, so that every
// answer passes through here.
type contacts struct {
	*raft.NetworkTransport
	mu    sync.Mutex
	since time.Time // peers are judged by what they did after
	peers map[raft.ServerID]contact
}

type contact struct {
	at    time.Time
	match uint64 // the peer's log equals the leader's up to here
}

func newContacts(t *raft.NetworkTransport) *contacts {
	return &contacts{NetworkTransport: t, since: time.Now(), peers: map[raft.ServerID]contact{}}
}

// reset forgets all: a new leader gives every member the full time to answer.
func (c *contacts) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
	clear(c.peers)
}

// of returns when the peer was last heard, at the earliest at the last reset.
func (c *contacts) of(id raft.ServerID) contact {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[id]
	if p.at.Before(c.since) {
		p.at = c.since
	}
	return p
}

func (c *contacts) heard(id raft.ServerID, match uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers[id] = contact{time.Now(), max(match, c.peers[id].match)}
}

// forget drops what is known of a peer that is no member any more.
func (c *contacts) forget(id raft.ServerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.peers, id)
}

// AppendEntries replicates entries, or is a heartbeat, which has no previous entry.
func (c *contacts) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := c.NetworkTransport.AppendEntries(id, to, req, resp); err != nil {
		return err
	}
	var match uint64
	if resp.Success {
		match = req.PrevLogEntry + uint64(len(req.Entries))
	}
	c.heard(id, match)
	return nil
}

func (c *contacts) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	err := c.NetworkTransport.InstallSnapshot(id, to, req, resp, data)
	if err == nil && resp.Success {
		c.heard(id, req.LastLogIndex)
	}
	return err
}

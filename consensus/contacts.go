package consensus

import (
	"errors"
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

// pooled is how many idle streams raft keeps per peer.
const pooled = 3

// again repeats an exchange over streams that turn out to be broken. When a peer
// has restarted, all that are kept to it are, and an election or a handover may
// not be lost to that. All of raft's exchanges can be repeated.
func again(exchange func() error) error {
	err := exchange()
	for i := 0; i < pooled && errors.Is(err, errBroken); i++ {
		err = exchange()
	}
	return err
}

func (c *contacts) RequestVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return again(func() error { return c.NetworkTransport.RequestVote(id, to, req, resp) })
}

func (c *contacts) RequestPreVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return again(func() error { return c.NetworkTransport.RequestPreVote(id, to, req, resp) })
}

func (c *contacts) TimeoutNow(id raft.ServerID, to raft.ServerAddress, req *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return again(func() error { return c.NetworkTransport.TimeoutNow(id, to, req, resp) })
}

// AppendEntries replicates entries, or is a heartbeat, which has no previous entry.
func (c *contacts) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	err := again(func() error { return c.NetworkTransport.AppendEntries(id, to, req, resp) })
	if err != nil {
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

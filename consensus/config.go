package consensus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"muster/consensus/elect"
	"muster/offers/registry"
)

var (
	// ErrNotLeader: the operation was not taken; another node leads, or none.
	ErrNotLeader = errors.New("not the leader")
	// ErrBusy: the operation was not taken; too many are pending.
	ErrBusy = errors.New("too many operations are pending")
	// ErrUncertain: leadership was lost while the operation was under way. It
	// may be committed, now or by the next leader.
	ErrUncertain = errors.New("leadership lost before the operation's fate was known")
	// ErrDeposed is the cause that ends OnLead's context when this node no longer leads.
	ErrDeposed = errors.New("no longer the leader")
	// ErrStopped is the cause that ends OnLead's context when Run ends.
	ErrStopped = errors.New("quorum stopped")
	// ErrBootstrapped: the folder already holds the log of a cluster.
	ErrBootstrapped = errors.New("already bootstrapped")
	// ErrInUse: another process works in the folder.
	ErrInUse = errors.New("in use by another process")
	// ErrDamaged: what the folder holds cannot be read.
	ErrDamaged = errors.New("stored log or snapshot is damaged")
)

// Config says where and how a Quorum runs.
type Config struct {
	Node      string        // this node's peer ID
	Dir       string        // holds the log and the snapshots; made if absent
	Heartbeat time.Duration // a leader that is silent for longer is replaced [500ms]
	DeadAfter time.Duration // a member that is silent for longer can be replaced [4 × Heartbeat]
	Voters    int           // how many nodes vote once there are enough; odd [3]
	Standbys  int           // how many more keep the log; below 0 none [2]
	Pending   int           // operations that may wait for their commit [8192]
	Log       *slog.Logger  // [discard]

	// Nodes is the live view of the directory. The leader asks a few times a
	// second; without it the quorum stays as it is.
	Nodes func() []elect.Node

	// OnLead runs in a goroutine of its own each time this node leads and has
	// applied everything committed before. state is its own copy. ctx ends, with
	// ErrDeposed or ErrStopped as its cause, when the node no longer leads; the
	// next OnLead waits until this one has returned. If it returns while the node
	// still leads, the node gives the leadership away, or, alone, runs it again.
	OnLead func(ctx context.Context, term uint64, state *registry.State)
}

// Transport carries raft's streams between members. Closing a stream must
// unblock both its ends. The Quorum closes Listener when Run ends.
type Transport struct {
	Dial     func(ctx context.Context, peer string) (net.Conn, error)
	Listener net.Listener
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Node == "":
		return c, errors.New("consensus: no node ID")
	case c.Dir == "":
		return c, errors.New("consensus: no folder")
	case c.Voters != 0 && (c.Voters < 0 || c.Voters%2 == 0):
		return c, fmt.Errorf("consensus: %d voters: want an odd number", c.Voters)
	case c.Heartbeat != 0 && c.Heartbeat < 20*time.Millisecond:
		return c, fmt.Errorf("consensus: heartbeat %s: want at least 20ms", c.Heartbeat)
	}
	c.Heartbeat = cmp.Or(c.Heartbeat, 500*time.Millisecond)
	c.DeadAfter = cmp.Or(c.DeadAfter, 4*c.Heartbeat)
	c.Voters = cmp.Or(c.Voters, 3)
	c.Standbys = max(0, cmp.Or(c.Standbys, 2))
	c.Pending = cmp.Or(c.Pending, 8192)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// lease is how long a leader goes on without hearing from a quorum.
func (c Config) lease() time.Duration { return c.Heartbeat * 3 / 5 }

// hurry is how soon a follower gives up a leader that is probably gone: later
// than the lease, so that a leader that is not gone has ended by then. Raft takes
// no shorter timeout than the lease, so neither can be set without the other.
func (c Config) hurry() time.Duration { return c.Heartbeat * 7 / 10 }

// rpcTimeout bounds one exchange with a peer.
func (c Config) rpcTimeout() time.Duration { return max(5*c.Heartbeat, time.Second) }

package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	"muster/offers/registry"
)

const (
	groupOps   = 1024    // operations in one log entry at most
	groupBytes = 1 << 20 // and their size, unless one alone is larger
)

type proposal struct {
	op   *registry.Op
	data []byte // the encoded op, once it is
	done func(error)
}

// proposals is the queue of one leadership. While one log entry is being
// committed the next operations gather, and go together in the next entry.
type proposals struct {
	limit int
	wake  chan struct{}

	mu     sync.Mutex
	queue  []proposal
	closed bool
}

func newProposals(limit int) *proposals {
	return &proposals{limit: limit, wake: make(chan struct{}, 1)}
}

func (p *proposals) add(op *registry.Op, done func(error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return ErrNotLeader
	case len(p.queue) >= p.limit:
		return ErrBusy
	}
	p.queue = append(p.queue, proposal{op: op, done: done})
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil
}

// take removes the operations of the next entry from the queue.
func (p *proposals) take(n int) []proposal {
	p.mu.Lock()
	defer p.mu.Unlock()
	n = min(n, len(p.queue))
	group := p.queue[:n:n]
	p.queue = p.queue[n:]
	return group
}

// untake puts back what did not fit into the entry.
func (p *proposals) untake(rest []proposal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(rest, p.queue...)
}

// close refuses what is queued and all that comes.
func (p *proposals) close() {
	p.mu.Lock()
	p.closed = true
	rest := p.queue
	p.queue = nil
	p.mu.Unlock()
	for _, r := range rest {
		r.done(ErrNotLeader)
	}
}

// commit is the goroutine that turns the queue into log entries, one at a time,
// until ctx ends.
func (p *proposals) commit(ctx context.Context, r *raft.Raft) {
	defer p.close()
	for ctx.Err() == nil {
		taken := p.take(groupOps)
		if len(taken) == 0 {
			select {
			case <-p.wake:
			case <-ctx.Done():
			}
			continue
		}
		if group, entry := p.encode(taken); len(group) > 0 {
			settle(group, r.Apply(seal(entry), 0))
		}
	}
}

// encode makes an entry of as many operations as fit; the others go back.
func (p *proposals) encode(taken []proposal) (group []proposal, entry []byte) {
	for i, t := range taken {
		if t.data == nil {
			var err error
			if t.data, err = registry.EncodeOp(t.op); err != nil {
				t.done(err)
				continue
			}
		}
		if len(group) > 0 && len(entry)+len(t.data) > groupBytes {
			p.untake(taken[i:])
			break
		}
		entry = appendOp(entry, t.data)
		group = append(group, t)
	}
	return group, entry
}

// settle waits for an entry and tells each operation's proposer.
func settle(group []proposal, f raft.ApplyFuture) {
	err := applyError(f.Error())
	var each []error
	if err == nil {
		switch resp := f.Response().(type) {
		case []error:
			each = resp
		case error:
			err = resp
		}
	}
	if err == nil && len(each) != len(group) {
		err = fmt.Errorf("%w: %d answers for %d operations", errMalformed, len(each), len(group))
	}
	for i, g := range group {
		if err != nil {
			g.done(err)
		} else {
			g.done(each[i])
		}
	}
}

// applyError tells what raft's error means to a proposer.
func applyError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown):
		return ErrUncertain
	default:
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	}
}

package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/protocol"
)

// ErrNoLeader: there is no link to a leader now.
var ErrNoLeader = errors.New("no leader")

// ErrRefused: the node that was asked does not take the link. The error that
// wraps it says why, in that node's words.
var ErrRefused = errors.New("refused")

// Leadership is who leads, as far as this node knows.
type Leadership struct {
	Peer string
	Term uint64
}

// Compass tells where the leader is. Changed returns a channel that is closed at
// the next change.
type Compass interface {
	Leader() (Leadership, bool)
	Changed() <-chan struct{}
}

// Dial opens a stream of a protocol to a peer.
type Dial func(ctx context.Context, peer, protocol string) (Stream, error)

// User is whom an uplink serves. Its methods are called by one goroutine at a
// time: Connected, then Receive for each message, then Disconnected. An error
// from Receive ends the link.
type User[In proto.Message] interface {
	Connected(term uint64)
	Receive(m In) error
	Disconnected()
}

// Uplink keeps one link to whoever leads: Out goes up, In comes down.
type Uplink[Out, In proto.Message] struct {
	self     string
	protocol string
	compass  Compass
	dial     Dial
	local    Port[Out, In]
	log      *slog.Logger

	mu  sync.Mutex
	cur *sender[Out]
}

// NewUplink returns an uplink of self over streams of protocol, or, when self is
// the leader, over its own port. A nil log is discarded.
func NewUplink[Out, In proto.Message](self, protocol string, compass Compass, dial Dial, local Port[Out, In], log *slog.Logger) *Uplink[Out, In] {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Uplink[Out, In]{self: self, protocol: protocol, compass: compass, dial: dial, local: local, log: log.With("link", protocol)}
}

// Send queues m for the leader. ErrNoLeader, ErrSlow and ErrClosed mean that it was not taken.
func (u *Uplink[Out, In]) Send(m Out) error {
	u.mu.Lock()
	s := u.cur
	u.mu.Unlock()
	if s == nil {
		return ErrNoLeader
	}
	return s.Send(m)
}

func (u *Uplink[Out, In]) set(s *sender[Out]) {
	u.mu.Lock()
	u.cur = s
	u.mu.Unlock()
}

// Between attempts to reach a leader.
const (
	backoffFirst = 20 * time.Millisecond
	backoffLast  = time.Second
)

// Run keeps the link up until ctx ends.
func (u *Uplink[Out, In]) Run(ctx context.Context, user User[In]) error {
	backoff := backoffFirst
	for ctx.Err() == nil {
		changed := u.compass.Changed()
		leader, ok := u.compass.Leader()
		if !ok {
			wait(ctx, changed, time.Second)
			continue
		}
		began := time.Now()
		err := u.connect(ctx, leader, user)
		if ctx.Err() != nil {
			break
		}
		u.log.Debug("link ended", "peer", leader.Peer, "term", leader.Term, "err", err)
		if time.Since(began) > backoffLast {
			backoff = backoffFirst
		}
		wait(ctx, changed, backoff+rand.N(backoff))
		backoff = min(2*backoff, backoffLast)
	}
	return nil
}

// wait returns after d, when changed is closed, or when ctx ends.
func wait(ctx context.Context, changed <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-t.C:
	}
}

// connect runs one link to leader until it ends or another node leads.
func (u *Uplink[Out, In]) connect(ctx context.Context, leader Leadership, user User[In]) error {
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	l := &attempt[Out, In]{Uplink: u, user: user, leader: leader, abort: abort}
	l.term.Store(leader.Term)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		l.watch(ctx)
	}()
	defer func() { abort(nil); <-watched }()
	if leader.Peer == u.self {
		return l.direct(ctx)
	}
	return l.remote(ctx)
}

// attempt is one link to one leader.
type attempt[Out, In proto.Message] struct {
	*Uplink[Out, In]
	user   User[In]
	leader Leadership
	term   atomic.Uint64 // in which the leader leads, as it said itself
	abort  context.CancelCauseFunc
}

// watch ends the link when another node, or the same one anew, leads.
func (l *attempt[Out, In]) watch(ctx context.Context) {
	for {
		changed := l.compass.Changed()
		now, ok := l.compass.Leader()
		if term := l.term.Load(); ok && now.Term >= term && now != (Leadership{l.leader.Peer, term}) {
			l.abort(fmt.Errorf("%s leads in term %d", now.Peer, now.Term))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (l *attempt[Out, In]) remote(ctx context.Context) error {
	dialing, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	s, err := l.dial(dialing, l.leader.Peer, l.protocol)
	if err != nil {
		return err
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { cut(s, context.Cause(ctx)) })
	defer stop()
	f := newFrames(s)
	if err := l.greet(f); err != nil {
		return err
	}
	up := &sender[Out]{q: newQueue[Out](queueSize), abort: l.abort}
	l.begin(up)
	err = duplex(ctx, f, *up, l.user.Receive)
	l.end(up)
	return err
}

// greet exchanges hellos. A node that leads in an older term than is known of has
// not heard of its successor, or of its own return, yet.
func (l *attempt[Out, In]) greet(f *frames) error {
	var hello protocol.Hello
	err := f.greeting(func() error {
		if err := f.write(&protocol.Hello{Term: &l.leader.Term}, true); err != nil {
			return err
		}
		_, err := f.read(&hello)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("hello: %w", err)
	case hello.Refused != nil:
		return fmt.Errorf("%w: %s", ErrRefused, hello.GetRefused())
	case hello.GetTerm() < l.leader.Term:
		return fmt.Errorf("%w: it leads in term %d, not in %d", ErrRefused, hello.GetTerm(), l.leader.Term)
	}
	l.term.Store(hello.GetTerm())
	return nil
}

// begin tells the user of the link before anything of it is received.
func (l *attempt[Out, In]) begin(up *sender[Out]) {
	l.set(up)
	l.user.Connected(l.term.Load())
}

// end tells the user that what it sent last may not have arrived.
func (l *attempt[Out, In]) end(up *sender[Out]) {
	l.set(nil)
	up.q.close()
	l.user.Disconnected()
}

// direct runs the link on the leader's own node: two queues, no stream.
func (l *attempt[Out, In]) direct(ctx context.Context) error {
	down := sender[In]{q: newQueue[In](queueSize), abort: l.abort}
	term, port, err := l.local.Open(l.self, down)
	if err != nil {
		return err
	}
	l.term.Store(max(term, l.leader.Term))
	up := &sender[Out]{q: newQueue[Out](queueSize), abort: l.abort}
	l.begin(up)
	carried := make(chan struct{})
	go func() {
		defer close(carried)
		l.abort(carry(ctx, up.q, port.Receive))
	}()
	l.abort(carry(ctx, down.q, l.user.Receive))
	up.q.close()
	<-carried
	down.q.close()
	port.Closed(context.Cause(ctx))
	l.end(up)
	return context.Cause(ctx)
}

// carry hands what q holds to receive until either fails or ctx ends.
func carry[M proto.Message](ctx context.Context, q *queue[M], receive func(M) error) error {
	for ctx.Err() == nil {
		m, err := q.pop(ctx)
		if err != nil {
			return err
		}
		if err := receive(m); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/protocol"
)

// ErrNoLeader: there is no link to a leader now.
var ErrNoLeader = errors.New("no leader")

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
// the leader, over its own port.
func NewUplink[Out, In proto.Message](self, protocol string, compass Compass, dial Dial, local Port[Out, In], log *slog.Logger) *Uplink[Out, In] {
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

// Run keeps the link up until ctx ends.
func (u *Uplink[Out, In]) Run(ctx context.Context, user User[In]) error {
	const first, last = 20 * time.Millisecond, time.Second
	backoff := first
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
		if time.Since(began) > last {
			backoff = first
		}
		wait(ctx, changed, backoff+rand.N(backoff))
		backoff = min(2*backoff, last)
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
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		u.watch(ctx, leader, abort)
	}()
	defer func() { abort(nil); <-watched }()
	if leader.Peer == u.self {
		return u.direct(ctx, abort, user)
	}
	return u.remote(ctx, abort, leader, user)
}

// watch ends the link when another node, or the same one anew, leads.
func (u *Uplink[Out, In]) watch(ctx context.Context, leader Leadership, abort context.CancelCauseFunc) {
	for {
		changed := u.compass.Changed()
		if now, ok := u.compass.Leader(); ok && now != leader && now.Term >= leader.Term {
			abort(fmt.Errorf("%s leads in term %d", now.Peer, now.Term))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (u *Uplink[Out, In]) remote(ctx context.Context, abort context.CancelCauseFunc, leader Leadership, user User[In]) error {
	dialing, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	s, err := u.dial(dialing, leader.Peer, u.protocol)
	if err != nil {
		return err
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	f := newFrames(s)
	term, err := greet(f, leader.Term)
	if err != nil {
		return err
	}
	up := &sender[Out]{q: newQueue[Out](queueSize), abort: abort}
	defer up.q.close()
	u.begin(up, term, user)
	defer u.end(user)
	return duplex(ctx, f, *up, user.Receive)
}

// greet exchanges hellos and returns the term in which the other side leads.
func greet(f *frames, term uint64) (uint64, error) {
	if err := f.s.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return 0, err
	}
	if err := f.write(&protocol.Hello{Term: &term}, true); err != nil {
		return 0, err
	}
	var hello protocol.Hello
	if err := f.read(&hello); err != nil {
		return 0, fmt.Errorf("hello: %w", err)
	}
	if hello.Refused != nil {
		return 0, fmt.Errorf("refused: %s", hello.GetRefused())
	}
	return hello.GetTerm(), f.s.SetDeadline(time.Time{})
}

// begin tells user of the link before anything of it is received.
func (u *Uplink[Out, In]) begin(up *sender[Out], term uint64, user User[In]) {
	u.set(up)
	user.Connected(term)
}

func (u *Uplink[Out, In]) end(user User[In]) {
	u.set(nil)
	user.Disconnected()
}

// direct runs the link on the leader's own node: two queues, no stream.
func (u *Uplink[Out, In]) direct(ctx context.Context, abort context.CancelCauseFunc, user User[In]) error {
	down := sender[In]{q: newQueue[In](queueSize), abort: abort}
	term, port, err := u.local.Open(u.self, down)
	if err != nil {
		return err
	}
	up := &sender[Out]{q: newQueue[Out](queueSize), abort: abort}
	u.begin(up, term, user)
	carried := make(chan struct{})
	go func() {
		defer close(carried)
		abort(carry(ctx, up.q, port.Receive))
	}()
	abort(carry(ctx, down.q, user.Receive))
	up.q.close()
	<-carried
	port.Closed(context.Cause(ctx))
	u.end(user)
	return context.Cause(ctx)
}

// carry hands what q holds to receive until either fails.
func carry[M proto.Message](ctx context.Context, q *queue[M], receive func(M) error) error {
	for {
		m, err := q.pop(ctx)
		if err != nil {
			return err
		}
		if err := receive(m); err != nil {
			return err
		}
	}
}

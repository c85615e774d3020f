package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"muster/offers/protocol"
	"muster/offers/view"
)

// Leading gives the leader's own replica while this node leads, else nil.
type Leading func() (*Replica, uint64)

// Views gives every node the leader's view: the leader's own, or a replica that
// is kept while it is being read.
type Views struct {
	leading Leading
	uplink  *Uplink[*protocol.Seek, *protocol.ViewEvent]

	mu      sync.Mutex
	remote  *Replica
	readers int
	idle    time.Time     // when the last reader left
	wanted  chan struct{} // signals Run that there is a reader
}

const (
	idleAfter = 30 * time.Second      // a replica is kept so long after its last reader
	retake    = 50 * time.Millisecond // how often a reader that waits looks whether this node leads now
)

// NewViews returns the views of node self. A nil log is discarded.
func NewViews(self string, compass Compass, dial Dial, leading Leading, log *slog.Logger) *Views {
	return &Views{
		leading: leading,
		uplink:  NewUplink[*protocol.Seek](self, ViewProtocol, compass, dial, Port[*protocol.Seek, *protocol.ViewEvent](noPort{}), log),
		remote:  NewReplica(),
		wanted:  make(chan struct{}, 1),
	}
}

// noPort refuses: the leader reads its own replica, not through a link.
type noPort struct{}

func (noPort) Open(string, Sender[*protocol.ViewEvent]) (uint64, Receiver[*protocol.Seek], error) {
	return 0, nil, errors.New("the leader reads its own view")
}

// Snapshot returns the view of whoever leads now, not to be modified. It waits
// for one until ctx ends.
func (v *Views) Snapshot(ctx context.Context) (*view.View, error) {
	s, done, err := whole(ctx, v, (*Replica).Snapshot)
	if err == nil {
		done()
	}
	return s, err
}

// Watch returns a snapshot and what follows it; done is called when the watcher
// leaves. It ends with ErrWatchEnded when the leader changes; its owner watches again.
func (v *Views) Watch(ctx context.Context) (w *Watch, done func(), err error) {
	w, left, err := whole(ctx, v, (*Replica).Watch)
	if err != nil {
		return nil, nil, err
	}
	return w, func() { w.Close(); left() }, nil
}

// whole reads the first replica that is whole, be it this node's own or the
// remote one: while the reader waits, this node may begin to lead or cease to.
func whole[T any](ctx context.Context, v *Views, read func(*Replica, context.Context) (T, error)) (out T, done func(), err error) {
	for {
		r, done := v.replica()
		turn, cancel := context.WithTimeoutCause(ctx, retake, errReplicaEnded)
		out, err := read(r, turn)
		cancel()
		if err == nil {
			return out, done, nil
		}
		done()
		if ctx.Err() != nil {
			return out, nil, fmt.Errorf("no view of the cluster: %w", context.Cause(ctx))
		}
	}
}

// replica returns what to read now; done is called when the reader leaves.
func (v *Views) replica() (*Replica, func()) {
	if r, _ := v.leading(); r != nil {
		return r, func() {}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.readers++
	select {
	case v.wanted <- struct{}{}:
	default:
	}
	return v.remote, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.readers--
		v.idle = time.Now()
	}
}

// Run keeps the replica while somebody reads it.
func (v *Views) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-v.wanted:
		}
		v.follow(ctx)
	}
}

// follow holds a link to the leader until nobody has read for idleAfter.
func (v *Views) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = v.uplink.Run(ctx, (*remoteUser)(v)) // ends only with ctx
	}()
	tick := time.NewTicker(idleAfter / 3)
	defer tick.Stop()
	for ctx.Err() == nil && !v.idleSince(time.Now().Add(-idleAfter)) {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	cancel()
	<-ended
}

func (v *Views) idleSince(t time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.readers == 0 && !v.idle.After(t)
}

// remoteUser feeds the replica from the link.
type remoteUser Views

func (u *remoteUser) Connected(uint64) {}

func (u *remoteUser) Receive(e *protocol.ViewEvent) error {
	u.remote.Apply(e)
	return nil
}

// Disconnected leaves the replica to no reader: it may be wrong from now on.
func (u *remoteUser) Disconnected() {
	u.remote.Apply(&protocol.ViewEvent{Event: &protocol.ViewEvent_Reset_{Reset_: &protocol.Reset{}}})
}

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

// ViewProtocol is the mesh protocol of view streams.
const ViewProtocol = "view/1"

// Leading gives the leader's own replica while this node leads, else nil.
type Leading func() (*Replica, uint64)

// ServeView writes the leader's view to s: everything, then changes as they come.
func ServeView(ctx context.Context, s Stream, leading Leading) error {
	defer s.Close()
	f := newFrames(s)
	if err := s.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	var hello protocol.Hello
	if err := f.read(&hello); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	r, term := leading()
	if r == nil {
		text := ErrNotLeading.Error()
		return errors.Join(ErrNotLeading, f.write(&protocol.Hello{Refused: &text}, true))
	}
	if err := f.write(&protocol.Hello{Term: &term}, true); err != nil {
		return err
	}
	if err := s.SetDeadline(time.Time{}); err != nil {
		return err
	}
	w, err := r.Watch(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	return tell(ctx, f, w)
}

// tell writes w's snapshot and events while it hears the other side's keepalives.
func tell(ctx context.Context, f *frames, w *Watch) error {
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	stop := context.AfterFunc(ctx, func() { f.s.Close() })
	defer stop()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		abort(drain(f, fresh[*protocol.Seek](), func(*protocol.Seek) error { return nil }))
	}()
	err := tellAll(ctx, f, w)
	abort(err)
	<-heard
	return context.Cause(ctx)
}

func tellAll(ctx context.Context, f *frames, w *Watch) error {
	for _, e := range w.Snapshot.Events() {
		if err := f.write(e, false); err != nil {
			return err
		}
	}
	if err := f.w.Flush(); err != nil {
		return err
	}
	return pump(ctx, f, w.q, &protocol.ViewEvent{})
}

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

// idleAfter is how long a replica is kept after its last reader.
const idleAfter = 30 * time.Second

// NewViews returns the views of node self.
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

// Snapshot returns the view of whoever leads now, not to be modified.
func (v *Views) Snapshot(ctx context.Context) (*view.View, error) {
	r, done := v.replica()
	defer done()
	s, err := r.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("no view of the cluster: %w", err)
	}
	return s, nil
}

// Watch returns a snapshot and what follows it. It ends with ErrWatchEnded when
// the leader changes; its owner watches again.
func (v *Views) Watch(ctx context.Context) (*Watch, func(), error) {
	r, done := v.replica()
	w, err := r.Watch(ctx)
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("no view of the cluster: %w", err)
	}
	return w, func() { w.Close(); done() }, nil
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
	return v.readers == 0 && v.idle.Before(t)
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

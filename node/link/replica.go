package link

import (
	"context"
	"errors"
	"sync"
	"time"

	"muster/offers/protocol"
	"muster/offers/view"
)

// ErrWatchEnded: the view is being built anew, as when the leader changed. Watch
// again to start from a snapshot. A watcher that fell behind gets ErrSlow instead.
var ErrWatchEnded = errors.New("watch ended")

// errReplicaEnded: the leadership whose view it was is over.
var errReplicaEnded = errors.New("this view is no longer kept")

// watchSize is how many events may wait for one watcher.
const watchSize = 65536

// Replica is a view and those who read it. Writers never wait for readers: a
// snapshot is copied once per change that somebody asks about, and a watcher that
// falls behind is dropped.
type Replica struct {
	mu       sync.Mutex
	v        *view.View
	snapshot *view.View    // of v, shared by readers; nil once v has changed
	synced   chan struct{} // closed while v is whole, and for good when the replica has ended
	isWhole  bool
	ended    bool
	watchers map[*Watch]struct{}
}

// NewReplica returns an empty view that is not whole yet.
func NewReplica() *Replica {
	return &Replica{v: view.New(), synced: make(chan struct{}), watchers: map[*Watch]struct{}{}}
}

// Watch is one watcher's queue of events since its snapshot.
type Watch struct {
	Snapshot *view.View // whole; not to be modified
	q        *queue[*protocol.ViewEvent]
	r        *Replica
}

// Next returns the next event; after ErrWatchEnded or ErrSlow there is none.
func (w *Watch) Next(ctx context.Context) (*protocol.ViewEvent, error) {
	return w.q.pop(ctx)
}

// NextOr is Next, but returns nil when beat fires first.
func (w *Watch) NextOr(ctx context.Context, beat <-chan time.Time) (*protocol.ViewEvent, error) {
	for {
		e, ok, _, err := w.q.take()
		if ok || err != nil {
			return e, err
		}
		select {
		case <-w.q.wake:
		case <-beat:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Close ends the watch.
func (w *Watch) Close() {
	w.r.mu.Lock()
	delete(w.r.watchers, w)
	w.r.mu.Unlock()
	w.q.close()
}

// Apply adds events, in order, and passes them to the watchers.
func (r *Replica) Apply(events ...*protocol.ViewEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.snapshot = nil
	for _, e := range events {
		r.apply(e)
	}
}

func (r *Replica) apply(e *protocol.ViewEvent) {
	r.v.Apply(e)
	switch e.GetEvent().(type) {
	case *protocol.ViewEvent_Reset_:
		if r.isWhole {
			r.isWhole, r.synced = false, make(chan struct{})
		}
		r.dropAll()
	case *protocol.ViewEvent_Synced:
		if !r.isWhole {
			r.isWhole = true
			close(r.synced)
		}
	}
	for w := range r.watchers {
		if w.q.push(e) != nil {
			delete(r.watchers, w)
		}
	}
}

func (r *Replica) dropAll() {
	for w := range r.watchers {
		delete(r.watchers, w)
		w.q.fail(ErrWatchEnded)
	}
}

// End leaves the replica to no reader: what it holds is nobody's view any more.
func (r *Replica) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended = true
	r.v, r.snapshot = view.New(), nil
	r.dropAll()
	if !r.isWhole {
		close(r.synced)
	}
}

// Snapshot returns the view as it is now, shared and not to be modified. It
// waits until the view is whole, or ctx ends.
func (r *Replica) Snapshot(ctx context.Context) (*view.View, error) {
	if err := r.lockWhole(ctx); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	return r.shared(), nil
}

// Watch returns a snapshot and all events that follow it.
func (r *Replica) Watch(ctx context.Context) (*Watch, error) {
	if err := r.lockWhole(ctx); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	w := &Watch{Snapshot: r.shared(), q: newQueue[*protocol.ViewEvent](watchSize), r: r}
	r.watchers[w] = struct{}{}
	return w, nil
}

// lockWhole returns with the lock held once the view is whole.
func (r *Replica) lockWhole(ctx context.Context) error {
	for {
		r.mu.Lock()
		switch {
		case r.ended:
			r.mu.Unlock()
			return errReplicaEnded
		case r.isWhole:
			return nil
		}
		synced := r.synced
		r.mu.Unlock()
		select {
		case <-synced:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *Replica) shared() *view.View {
	if r.snapshot == nil {
		r.snapshot = r.v.Clone()
	}
	return r.snapshot
}

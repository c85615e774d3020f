package link

import (
	"context"
	"errors"
	"sync"

	"muster/offers/protocol"
	"muster/offers/view"
)

// ErrWatchEnded: the watcher fell behind, or the view is being built anew, as
// when the leader changed. Watch again to start from a snapshot.
var ErrWatchEnded = errors.New("watch ended")

// watchSize is how many events may wait for one watcher.
const watchSize = 65536

// Replica is a view and those who read it. Writers never wait for readers: a
// snapshot is copied once per change that somebody asks about, and a watcher that
// falls behind is dropped.
type Replica struct {
	mu       sync.Mutex
	v        *view.View
	snapshot *view.View    // of v, shared by readers; nil once v has changed
	synced   chan struct{} // closed while v is whole
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

// Next returns the next event; after ErrWatchEnded there is none.
func (w *Watch) Next(ctx context.Context) (*protocol.ViewEvent, error) {
	e, err := w.q.pop(ctx)
	if errors.Is(err, ErrClosed) {
		err = ErrWatchEnded
	}
	return e, err
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
	for _, e := range events {
		r.apply(e)
	}
	r.snapshot = nil
}

func (r *Replica) apply(e *protocol.ViewEvent) {
	r.v.Apply(e)
	switch e.GetEvent().(type) {
	case *protocol.ViewEvent_Reset_:
		r.unsync()
		r.dropAll()
	case *protocol.ViewEvent_Synced:
		if !r.whole() {
			close(r.synced)
		}
	}
	for w := range r.watchers {
		if w.q.push(e) != nil {
			delete(r.watchers, w)
			w.q.close()
		}
	}
}

func (r *Replica) dropAll() {
	for w := range r.watchers {
		delete(r.watchers, w)
		w.q.close()
	}
}

func (r *Replica) whole() bool {
	select {
	case <-r.synced:
		return true
	default:
		return false
	}
}

func (r *Replica) unsync() {
	if r.whole() {
		r.synced = make(chan struct{})
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
		if r.whole() {
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

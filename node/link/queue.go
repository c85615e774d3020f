package link

import (
	"context"
	"errors"
	"sync"
)

// ErrSlow: the other side does not keep up; its link is closed.
var ErrSlow = errors.New("peer is too slow for its queue")

// ErrClosed: the link has ended.
var ErrClosed = errors.New("link is closed")

// queue is a bounded FIFO with one taker. Push never waits; pop does. It takes
// memory for what it holds, not for its bound: a leader has one for each agent.
type queue[T any] struct {
	bound int
	wake  chan struct{} // holds a token while the taker may find something new

	mu    sync.Mutex
	items []T
	head  int   // of items, those before it are taken
	ended error // why no more is pushed
}

func newQueue[T any](bound int) *queue[T] {
	return &queue[T]{bound: bound, wake: make(chan struct{}, 1)}
}

// push appends v. The push that finds the queue full fails with ErrSlow and
// closes it, later ones fail with ErrClosed.
func (q *queue[T]) push(v T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended != nil {
		return ErrClosed
	}
	if len(q.items)-q.head >= q.bound {
		q.end(ErrSlow)
		return ErrSlow
	}
	q.items = append(q.items, v)
	q.signal()
	return nil
}

// close lets the taker have what was pushed before, and then ErrClosed.
func (q *queue[T]) close() { q.fail(ErrClosed) }

// fail is close with another error for the taker.
func (q *queue[T]) fail(why error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.end(why)
}

func (q *queue[T]) end(why error) {
	if q.ended == nil {
		q.ended = why
		q.signal()
	}
}

func (q *queue[T]) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns the next item if there is one; more says that another waits. After
// the last one it returns why the queue was closed.
func (q *queue[T]) take() (v T, ok, more bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return v, false, false, q.ended
	}
	var zero T
	v, q.items[q.head] = q.items[q.head], zero
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = nil, 0
	case q.head >= 1024 && q.head >= len(q.items)/2:
		q.items, q.head = append([]T(nil), q.items[q.head:]...), 0
	}
	return v, true, q.head < len(q.items), nil
}

// pop waits for the next item. It fails with the cause of ctx's end, or, after the
// last item, with why the queue was closed.
func (q *queue[T]) pop(ctx context.Context) (T, error) {
	for {
		v, ok, _, err := q.take()
		if ok || err != nil {
			return v, err
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return v, context.Cause(ctx)
		}
	}
}

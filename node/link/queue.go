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

// queue is a bounded FIFO. Push never waits; Pop does.
type queue[T any] struct {
	items chan T
	done  chan struct{}
	once  sync.Once
}

func newQueue[T any](size int) *queue[T] {
	return &queue[T]{items: make(chan T, size), done: make(chan struct{})}
}

func (q *queue[T]) push(v T) error {
	select {
	case <-q.done:
		return ErrClosed
	default:
	}
	select {
	case q.items <- v:
		return nil
	default:
		return ErrSlow
	}
}

// pop returns the next item; after close, what was pushed before it, then ErrClosed.
func (q *queue[T]) pop(ctx context.Context) (T, error) {
	var zero T
	select {
	case v := <-q.items:
		return v, nil
	default:
	}
	select {
	case v := <-q.items:
		return v, nil
	case <-q.done:
		select {
		case v := <-q.items:
			return v, nil
		default:
			return zero, ErrClosed
		}
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

func (q *queue[T]) close() { q.once.Do(func() { close(q.done) }) }

package master

import "sync"

// mailbox hands items from any goroutine to one taker, without bound and without
// waiting: for what is bounded elsewhere, or taken faster than it is put.
type mailbox[T any] struct {
	mu    sync.Mutex
	items []T
	wake  chan struct{} // holds a token while items may wait
}

func newMailbox[T any]() *mailbox[T] {
	return &mailbox[T]{wake: make(chan struct{}, 1)}
}

func (b *mailbox[T]) put(v T) {
	b.mu.Lock()
	b.items = append(b.items, v)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *mailbox[T]) take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items = nil
	return items
}

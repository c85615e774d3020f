package link

import (
	"context"
	"errors"
	"testing"
)

func TestQueueHoldsItsBoundAndNoMore(t *testing.T) {
	q := newQueue[int](3)
	for i := range 3 {
		if err := q.push(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.push(3); !errors.Is(err, ErrSlow) {
		t.Fatalf("push to a full queue: %v", err)
	}
	if err := q.push(4); !errors.Is(err, ErrClosed) {
		t.Fatalf("push after the queue was full: %v", err)
	}
	for i := range 3 {
		if v, err := q.pop(t.Context()); v != i || err != nil {
			t.Fatalf("pop %d: %d, %v", i, v, err)
		}
	}
	if _, err := q.pop(t.Context()); !errors.Is(err, ErrSlow) {
		t.Fatalf("pop after the last: %v", err)
	}
}

func TestQueueKeepsOrderOverManyItems(t *testing.T) {
	q := newQueue[int](10_000)
	next := 0
	for i := range 20_000 {
		if err := q.push(i); err != nil {
			t.Fatal(err)
		}
		if i%3 == 2 { // two of three are taken as they come
			for range 2 {
				if v, err := q.pop(t.Context()); v != next || err != nil {
					t.Fatalf("pop: %d, %v, want %d", v, err, next)
				}
				next++
			}
		}
	}
	q.close()
	for {
		v, err := q.pop(t.Context())
		if errors.Is(err, ErrClosed) {
			break
		}
		if v != next {
			t.Fatalf("pop: %d, want %d", v, next)
		}
		next++
	}
	if next != 20_000 {
		t.Fatalf("%d items came out", next)
	}
	if q.items != nil {
		t.Fatal("an empty queue holds memory")
	}
}

func TestPopEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := newQueue[int](1).pop(ctx); !errors.Is(err, why) {
		t.Fatalf("pop: %v", err)
	}
}

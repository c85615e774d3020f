package api

import (
	"bytes"
	"context"
	"maps"
	"runtime"
	"sync/atomic"
	"time"

	"muster/offers/view"
)

// keepParts is how long the parts of an answer are kept for the next of its kind.
const keepParts = 30 * time.Second

// After an answer nothing is made for so many times as long as it took, and at most for
// so long: a reader in a loop would else keep a core and the garbage collector busy, and
// whoever decides would wait for both.
const (
	restTimes = 9
	restMost  = 500 * time.Millisecond
)

// answers makes the answers that tell of the whole cluster, one at a time and for a
// tenth of the time, so that many readers slow the goroutine that decides no more than one does.
// Whoever asked before an answer of his kind was begun gets that one. What the parts of
// an answer were encoded to is kept for the next of the same kind, of which most parts
// are the same.
type answers struct {
	asked atomic.Uint64 // how many have asked

	turn  chan struct{} // holds a token while an answer is made; guards what follows
	rest  time.Time     // until when none is begun
	kinds map[string]*encoding
}

func newAnswers() *answers {
	return &answers{turn: make(chan struct{}, 1), kinds: map[string]*encoding{}}
}

// make returns what fill does, called when it is its turn, or for another who waited for
// the same kind. Kinds are few; those of kind "" keep and share nothing.
func (a *answers) make(ctx context.Context, kind string, fill func(*encoding) ([][]byte, error)) ([][]byte, error) {
	number := a.asked.Add(1)
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-a.turn }()
	if e := a.kinds[kind]; e != nil && e.asked >= number {
		return e.body, nil
	}
	select {
	case <-time.After(time.Until(a.rest)):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	began := time.Now()
	defer func() { a.rest = time.Now().Add(min(restTimes*time.Since(began), restMost)) }()
	if kind == "" {
		return fill(nil)
	}
	e := a.kinds[kind]
	if e == nil {
		e = &encoding{parts: map[any]*part{}}
		a.kinds[kind] = e
		e.expiry = time.AfterFunc(keepParts, func() { a.forget(kind, e) })
	}
	e.answer, e.used = e.answer+1, 0
	asked := a.asked.Load()
	body, err := fill(e)
	if err != nil {
		return nil, err
	}
	e.body, e.asked = body, asked
	if e.used < len(e.parts) {
		maps.DeleteFunc(e.parts, func(_ any, p *part) bool { return p.answer != e.answer })
	}
	e.expiry.Reset(keepParts)
	return body, nil
}

// ofView returns what write does of the cluster as it is when its turn comes. Whoever
// waits for a leader does so before he has the turn.
func (a *answers) ofView(ctx context.Context, from Views, kind string, write func(*encoding, *view.View) ([][]byte, error)) ([][]byte, error) {
	if _, err := snapshot(ctx, from); err != nil {
		return nil, err
	}
	return a.make(ctx, kind, func(e *encoding) ([][]byte, error) {
		v, err := snapshot(ctx, from)
		if err != nil {
			return nil, err
		}
		return write(e, v)
	})
}

func (a *answers) forget(kind string, e *encoding) {
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	if a.kinds[kind] == e {
		delete(a.kinds, kind)
	}
}

// encoding is the last answer of a kind, or one under way. A nil one keeps nothing.
type encoding struct {
	parts  map[any]*part
	answer uint64 // its number
	used   int    // parts of it
	body   [][]byte
	asked  uint64 // how many had asked when body was begun
	buf    []byte
	expiry *time.Timer
}

type part struct {
	b      []byte
	answer uint64 // the last that it was a part of
}

// part returns what encode appends, or has appended when the last answer was made. It is
// known by the address of what it is encoded from, which is never modified: a message, or
// a run of the view's.
func (e *encoding) part(of any, encode func(dst []byte) []byte) []byte {
	if e == nil {
		return encode(nil)
	}
	p := e.parts[of]
	if p == nil {
		e.buf = encode(e.buf[:0])
		p = &part{b: bytes.Clone(e.buf)}
		e.parts[of] = p
		runtime.Gosched() // whoever decides goes first
	}
	if p.answer != e.answer {
		p.answer = e.answer
		e.used++
	}
	return p.b
}

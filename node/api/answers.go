package api

import (
	"bytes"
	"context"
	"maps"
	"runtime"
	"time"
)

// keepParts is how long the parts of an answer are kept for the next of its kind.
const keepParts = 30 * time.Second

// answers makes the answers that tell of the whole cluster, one at a time, so that no
// number of readers takes every core from the goroutine that decides. What the parts of
// an answer were encoded to is kept for the next of the same kind, of which most
// parts are the same.
type answers struct {
	turn  chan struct{} // holds a token while an answer is made; guards kinds
	kinds map[string]*encoding
}

func newAnswers() *answers {
	return &answers{turn: make(chan struct{}, 1), kinds: map[string]*encoding{}}
}

// make calls fill when it is its turn. Kinds are few; those of kind "" keep nothing.
func (a *answers) make(ctx context.Context, kind string, fill func(*encoding) error) error {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-a.turn }()
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
	err := fill(e)
	if e.used < len(e.parts) {
		maps.DeleteFunc(e.parts, func(_ any, p *part) bool { return p.answer != e.answer })
	}
	e.expiry.Reset(keepParts)
	return err
}

func (a *answers) forget(kind string, e *encoding) {
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	if a.kinds[kind] == e {
		delete(a.kinds, kind)
	}
}

// encoding is one answer under way. A nil one keeps nothing.
type encoding struct {
	parts  map[any]*part
	answer uint64 // its number
	used   int    // parts of it
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

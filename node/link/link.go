package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/protocol"
)

// Stream is one connection between two nodes, authenticated by the mesh. One
// that has a Reset() error as well is ended by it when the link is given up.
type Stream interface {
	io.ReadWriteCloser
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// Sender sends messages of type M to the other side, in order. Send never waits:
// ErrSlow or ErrClosed says that the message was not taken and the link is over.
type Sender[M proto.Message] interface {
	Send(m M) error
	// Close ends the link after what was sent before.
	Close(cause error)
}

// Receiver is given what one link carries, by one goroutine. An error from
// Receive ends the link. Closed is called once, last.
type Receiver[M proto.Message] interface {
	Receive(m M) error
	Closed(cause error)
}

// Port is where links arrive at the node that leads. Open refuses with
// ErrNotLeading elsewhere.
type Port[In, Out proto.Message] interface {
	// Open admits a link from peer and says in which term this node leads.
	Open(peer string, down Sender[Out]) (term uint64, up Receiver[In], err error)
}

// ErrNotLeading: the node that was asked does not lead, or not yet.
var ErrNotLeading = errors.New("this node does not lead")

// sender is the sending side of a link: a queue that one goroutine empties.
type sender[M proto.Message] struct {
	q     *queue[M]
	abort context.CancelCauseFunc
}

func (s sender[M]) Send(m M) error {
	err := s.q.push(m)
	if errors.Is(err, ErrSlow) {
		s.abort(err)
	}
	return err
}

func (s sender[M]) Close(error) { s.q.close() }

// Serve runs the leader's side of one link over s until it ends.
func Serve[In, Out proto.Message](ctx context.Context, s Stream, peer string, port Port[In, Out]) error {
	defer s.Close()
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	stop := context.AfterFunc(ctx, func() { cut(s, context.Cause(ctx)) })
	defer stop()
	f := newFrames(s)
	down := sender[Out]{q: newQueue[Out](queueSize), abort: abort}
	var up Receiver[In]
	err := f.greeting(func() (err error) {
		var term uint64
		if err := f.hear(); err != nil {
			return fmt.Errorf("hello of %s: %w", peer, err)
		}
		if term, up, err = port.Open(peer, down); err != nil {
			return errors.Join(err, f.refuse(err))
		}
		return f.write(&protocol.Hello{Term: &term}, true)
	})
	switch {
	case err == nil:
		err = duplex(ctx, f, down, up.Receive)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	down.q.close()
	if up != nil {
		up.Closed(err)
	}
	return err
}

// hear reads the caller's hello.
func (f *frames) hear() error {
	_, err := f.read(&protocol.Hello{})
	return err
}

// refuse tells the caller why it is not served.
func (f *frames) refuse(why error) error {
	return f.write(&protocol.Hello{Refused: proto.String(why.Error())}, true)
}

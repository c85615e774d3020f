package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"muster/offers/protocol"
)

// Stream is one connection between two nodes, authenticated by the mesh.
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

const (
	keepalive    = time.Second      // an idle side writes an empty frame this often
	silence      = 8 * time.Second  // a side that hears nothing for so long gives up
	helloTimeout = 3 * time.Second  // for dialing and for the first exchange
	writeTimeout = 10 * time.Second // for one frame
	queueSize    = 16384            // messages waiting for one link
	maxFrame     = 64 << 20         // bytes
)

// frames reads and writes length-prefixed messages. An empty message is a
// keepalive and reaches nobody.
type frames struct {
	s Stream
	r *bufio.Reader
	w *bufio.Writer
}

func newFrames(s Stream) *frames {
	return &frames{s: s, r: bufio.NewReaderSize(s, 32<<10), w: bufio.NewWriterSize(s, 32<<10)}
}

func (f *frames) read(m proto.Message) error {
	return protodelim.UnmarshalOptions{MaxSize: maxFrame}.UnmarshalFrom(f.r, m)
}

func (f *frames) write(m proto.Message, flush bool) error {
	if err := f.s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := protodelim.MarshalTo(f.w, m); err != nil {
		return err
	}
	if !flush {
		return nil
	}
	return f.w.Flush()
}

// pump writes what q holds until it is closed and empty, with keepalives between.
func pump[M proto.Message](ctx context.Context, f *frames, q *queue[M], empty M) error {
	for {
		wait, cancel := context.WithTimeout(ctx, keepalive)
		m, err := q.pop(wait)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			m = empty
		case err != nil:
			return err
		}
		if err := f.write(m, len(q.items) == 0); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
}

// drain reads messages into r until the stream ends or is silent for too long.
func drain[M proto.Message](f *frames, fresh func() M, r func(M) error) error {
	for {
		if err := f.s.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		m := fresh()
		if err := f.read(m); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if proto.Size(m) == 0 {
			continue
		}
		if err := r(m); err != nil {
			return err
		}
	}
}

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

// fresh returns a constructor of empty messages of M's type.
func fresh[M proto.Message]() func() M {
	var zero M
	t := zero.ProtoReflect().Type()
	return func() M { return t.New().Interface().(M) }
}

// Serve runs the leader's side of one link over s until it ends.
func Serve[In, Out proto.Message](ctx context.Context, s Stream, peer string, port Port[In, Out]) error {
	defer s.Close()
	f := newFrames(s)
	if err := s.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	var hello protocol.Hello
	if err := f.read(&hello); err != nil {
		return fmt.Errorf("hello of %s: %w", peer, err)
	}
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	down := sender[Out]{q: newQueue[Out](queueSize), abort: abort}
	term, up, err := port.Open(peer, down)
	if err != nil {
		refusal := &protocol.Hello{Refused: proto.String(err.Error())}
		return errors.Join(err, f.write(refusal, true))
	}
	err = serve(ctx, f, down, up, term)
	up.Closed(err)
	return err
}

func serve[In, Out proto.Message](ctx context.Context, f *frames, down sender[Out], up Receiver[In], term uint64) error {
	if err := f.write(&protocol.Hello{Term: &term}, true); err != nil {
		return err
	}
	if err := f.s.SetDeadline(time.Time{}); err != nil {
		return err
	}
	return duplex(ctx, f, down, up.Receive)
}

// duplex pumps out and drains in until either ends, waits for both, and returns
// why the first one ended.
func duplex[In, Out proto.Message](ctx context.Context, f *frames, out sender[Out], receive func(In) error) error {
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		out.abort(pump(ctx, f, out.q, fresh[Out]()()))
		f.s.Close()
	}()
	stop := context.AfterFunc(ctx, func() { f.s.Close() })
	defer stop()
	out.abort(drain(f, fresh[In](), receive))
	<-pumped
	return context.Cause(ctx)
}

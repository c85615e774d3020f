package link

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
)

const (
	keepalive    = 2500 * time.Millisecond // an idle side writes an empty frame this often
	silence      = 8 * time.Second         // a side that hears nothing for so long gives up
	helloTimeout = 3 * time.Second         // for dialing and for the first exchange
	writeTimeout = 10 * time.Second        // for one frame
	queueSize    = 16384                   // messages waiting for one link
	maxFrame     = 64 << 20                // bytes
)

// errLarge: a frame is larger than any that this version writes.
var errLarge = errors.New("frame is too large")

// frames reads and writes length-prefixed messages. An empty one is a keepalive
// and reaches nobody.
type frames struct {
	s   Stream
	r   *bufio.Reader
	w   *bufio.Writer
	buf []byte // what the frame read last was decoded from
}

func newFrames(s Stream) *frames {
	return &frames{s: s, r: bufio.NewReaderSize(s, 4<<10), w: bufio.NewWriterSize(s, 4<<10)}
}

// read decodes the next frame into m and says whether it was more than a keepalive.
func (f *frames) read(m proto.Message) (bool, error) {
	size, err := binary.ReadUvarint(f.r)
	if err != nil {
		return false, err
	}
	if size > maxFrame {
		return false, fmt.Errorf("%w: %d bytes", errLarge, size)
	}
	if size == 0 {
		return false, nil
	}
	if err := f.fill(int(size)); err != nil {
		return false, err
	}
	return true, proto.Unmarshal(f.buf, m)
}

// fill reads n bytes into buf, which grows no faster than they come: the length
// is the peer's word.
func (f *frames) fill(n int) error {
	const step = 64 << 10
	if cap(f.buf) > 64<<10 {
		f.buf = nil // of a large frame
	}
	f.buf = f.buf[:0]
	for len(f.buf) < n {
		have := len(f.buf)
		more := min(n-have, max(step, have))
		f.buf = append(f.buf, make([]byte, more)...)
		if _, err := io.ReadFull(f.r, f.buf[have:]); err != nil {
			return err
		}
	}
	return nil
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

// greeting runs the first exchange within its time.
func (f *frames) greeting(exchange func() error) error {
	if err := f.s.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	if err := exchange(); err != nil {
		return err
	}
	return f.s.SetDeadline(time.Time{})
}

// pump writes what q holds until it is closed and empty, with keepalives between.
func pump[M proto.Message](ctx context.Context, f *frames, q *queue[M], empty M) error {
	idle := time.NewTimer(keepalive)
	defer idle.Stop()
	for {
		m, ok, more, err := q.take()
		if err != nil {
			return err
		}
		if !ok {
			idle.Reset(keepalive)
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-q.wake:
				continue
			case <-idle.C:
				m, more = empty, false
			}
		}
		if err := f.write(m, !more); err != nil {
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
		some, err := f.read(m)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if !some {
			continue
		}
		if err := r(m); err != nil {
			return err
		}
	}
}

// duplex pumps out and drains in until either ends, waits for both, and returns
// why the first one ended.
func duplex[In, Out proto.Message](ctx context.Context, f *frames, out sender[Out], receive func(In) error) error {
	stop := context.AfterFunc(ctx, func() { cut(f.s, context.Cause(ctx)) })
	defer stop()
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		out.abort(pump(ctx, f, out.q, fresh[Out]()()))
	}()
	out.abort(drain(f, fresh[In](), receive))
	<-pumped
	out.q.close()
	return context.Cause(ctx)
}

// cut ends both directions of s at once, even if the peer reads nothing. After a
// link that was closed in good order, what was written before still arrives.
func cut(s Stream, cause error) {
	if r, ok := s.(interface{ Reset() error }); ok && !errors.Is(cause, ErrClosed) {
		_ = r.Reset() // the stream is given up, whatever is left of it
	}
	_ = s.Close()
	_ = s.SetDeadline(time.Unix(1, 0)) // wakes a write that Close does not
}

// fresh returns a constructor of empty messages of M's type.
func fresh[M proto.Message]() func() M {
	var zero M
	t := zero.ProtoReflect().Type()
	return func() M { return t.New().Interface().(M) }
}

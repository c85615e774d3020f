package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/recordio"
)

// ErrSilent ends a stream whose node has sent nothing, not even a heartbeat, for
// Config.Silence.
var ErrSilent = errors.New("stream is silent")

// ErrClosed ends a stream that was closed on this side.
var ErrClosed = errors.New("stream is closed")

// message is a pointer to a generated message type E.
type message[E any] interface {
	*E
	proto.Message
}

// Stream is a sequence of events. One goroutine calls Next; Close may be called
// from any.
type Stream[E any, P message[E]] struct {
	ended   func() error // why this side has ended it, by Close, silence or its context; else nil
	cancel  context.CancelCauseFunc
	header  http.Header
	body    io.ReadCloser
	records *recordio.Reader
	silence *time.Timer
	limit   time.Duration
}

// open posts a call that is answered by a stream, which ends with ctx.
func open[E any, P message[E]](ctx context.Context, c *Client, path string, call proto.Message) (*Stream[E, P], error) {
	inner, cancel := context.WithCancelCause(ctx)
	// The timer covers the answer's header too.
	silence := time.AfterFunc(c.cfg.Silence, func() { cancel(fmt.Errorf("%w for %s", ErrSilent, c.cfg.Silence)) })
	resp, err := c.post(inner, path, call, c.callHeader())
	if err != nil {
		silence.Stop()
		cancel(nil)
		return nil, err
	}
	return &Stream[E, P]{
		ended: func() error { return context.Cause(inner) }, cancel: cancel, header: resp.Header, body: resp.Body,
		records: c.newReader(resp.Body), silence: silence, limit: c.cfg.Silence,
	}, nil
}

// Next waits for the next event, heartbeats among them. When the stream has
// ended it returns why: the cause of the context's end, ErrClosed, ErrSilent, or
// an error that wraps ErrDisconnected.
func (s *Stream[E, P]) Next() (P, error) {
	s.silence.Reset(s.limit)
	record, err := s.records.Next()
	switch {
	case err != nil && s.ended() != nil:
		return nil, s.ended()
	case err == io.EOF:
		return nil, fmt.Errorf("%w: the node ended the stream", ErrDisconnected)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	e := P(new(E))
	if err := decode(s.header, record, e); err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	return e, nil
}

// Close ends the stream. A framework's stream that is closed is a framework
// that has disconnected.
func (s *Stream[E, P]) Close() error {
	s.silence.Stop()
	s.cancel(ErrClosed)
	return s.body.Close()
}

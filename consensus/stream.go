package consensus

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// streams is raft's StreamLayer over a Transport: addresses are peer IDs. It
// knows every open stream, so that close leaves no reader behind.
type streams struct {
	self string
	tr   Transport
	ctx  context.Context // ends dials
	stop context.CancelFunc
	in   chan accepted
	pump chan struct{} // closed when the accepting goroutine is gone
	cut  func()        // a stream that a peer had opened broke

	mu   sync.Mutex
	open map[*stream]struct{}
}

type accepted struct {
	conn net.Conn
	err  error
}

func newStreams(self string, tr Transport, cut func()) *streams {
	ctx, stop := context.WithCancel(context.Background())
	s := &streams{
		self: self, tr: tr, ctx: ctx, stop: stop, cut: cut,
		in: make(chan accepted), pump: make(chan struct{}), open: map[*stream]struct{}{},
	}
	go s.accept()
	return s
}

// accept passes on what the listener accepts, until close.
func (s *streams) accept() {
	defer close(s.pump)
	for {
		conn, err := s.tr.Listener.Accept()
		select {
		case s.in <- accepted{conn, err}:
		case <-s.ctx.Done():
			if conn != nil {
				reset(conn)
			}
			return
		}
	}
}

// Accept returns the next stream a peer, or this node itself, opened.
func (s *streams) Accept() (net.Conn, error) {
	select {
	case a := <-s.in:
		if a.err != nil {
			return nil, a.err
		}
		return s.track(a.conn, s.cut)
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Dial opens a stream to a peer. One to this node itself is a pipe: that is how
// it tells its own raft to hold an election.
func (s *streams) Dial(peer raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	if string(peer) == s.self {
		near, far := net.Pipe()
		select {
		case s.in <- accepted{conn: far}:
			return s.track(near, nil)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	conn, err := s.tr.Dial(ctx, string(peer))
	if err != nil {
		return nil, err
	}
	return s.track(conn, nil)
}

func (s *streams) Addr() net.Addr { return peerAddr(s.self) }

// Close ends all dials, streams and the listener, and waits for the acceptor.
func (s *streams) Close() error {
	s.stop()
	err := s.tr.Listener.Close()
	s.mu.Lock()
	open := s.open
	s.open = map[*stream]struct{}{}
	s.mu.Unlock()
	for c := range open {
		c.Close()
	}
	<-s.pump
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

func (s *streams) track(conn net.Conn, cut func()) (net.Conn, error) {
	c := &stream{Conn: conn, owner: s, cut: cut}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		reset(conn)
		return nil, net.ErrClosed
	}
	s.open[c] = struct{}{}
	return c, nil
}

type stream struct {
	net.Conn
	owner *streams
	cut   func()
	once  sync.Once
}

func (c *stream) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil || isTimeout(err) {
		return n, err
	}
	if c.cut != nil && c.owner.ctx.Err() == nil {
		c.cut()
	}
	return n, errBroken
}

func (c *stream) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && !isTimeout(err) {
		err = errBroken
	}
	return n, err
}

// errBroken says that the peer, or its daemon, ended the stream. To raft that is
// the same as its orderly end.
var errBroken = io.EOF

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// Close resets the stream: a polite close would wait for a peer that is gone.
func (c *stream) Close() error {
	c.once.Do(func() {
		c.owner.mu.Lock()
		delete(c.owner.open, c)
		c.owner.mu.Unlock()
		reset(c.Conn)
	})
	return nil
}

// reset ends a stream at once. What a dead stream answers is of no use.
func reset(c net.Conn) {
	if r, ok := c.(interface{ Reset() error }); ok {
		_ = r.Reset()
		return
	}
	_ = c.Close()
}

type peerAddr string

func (peerAddr) Network() string  { return "muster" }
func (a peerAddr) String() string { return string(a) }

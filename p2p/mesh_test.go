package p2p_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"muster/p2p"
	"muster/p2p/p2ptest"
)

func loud(c *p2p.Config) {
	if os.Getenv("P2P_LOG") != "" {
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", c.Dir[len(c.Dir)-1:])
	}
}

func TestStreamsReachMembers(t *testing.T) {
	for name, edit := range map[string]func(*p2p.Config){
		"TCP":  loud,
		"QUIC": func(c *p2p.Config) { loud(c); c.NoQUIC, c.NoTCP = false, true },
	} {
		t.Run(name, func(t *testing.T) {
			c := p2ptest.New(t, 2, edit)
			c.Mesh(1).Handle("echo", func(_ context.Context, s p2p.Stream) {
				defer s.Close()
				_, _ = io.Copy(s, s)
			})
			s := dial(t, c.Mesh(0), c.Mesh(1).ID(), "echo")
			if s.RemotePeer() != c.Mesh(1).ID() {
				t.Errorf("remote peer %s", s.RemotePeer())
			}
			_, _ = s.Write([]byte("hello"))
			_ = s.CloseWrite()
			got, err := io.ReadAll(s)
			if string(got) != "hello" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func dial(t *testing.T, m *p2p.Mesh, to p2p.PeerID, protocol string) p2p.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), p2ptest.Patience)
	defer cancel()
	s, err := m.Dial(ctx, to, protocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestDialSaysWhatIsWrong(t *testing.T) {
	c := p2ptest.New(t, 2, loud)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := c.Mesh(0).Dial(ctx, c.Mesh(0).ID(), "echo"); !errors.Is(err, p2p.ErrSelf) {
		t.Errorf("to itself: %v", err)
	}
	if _, err := c.Mesh(0).Dial(ctx, c.Mesh(1).ID(), "echo"); !errors.Is(err, p2p.ErrNoProtocol) {
		t.Errorf("unknown protocol: %v", err)
	}
	gone := c.Mesh(1).ID()
	c.Stop(1)
	if _, err := c.Mesh(0).Dial(ctx, gone, "echo"); !errors.Is(err, p2p.ErrUnreachable) {
		t.Errorf("to a stopped node: %v", err)
	}
}

func TestListenerAccepts(t *testing.T) {
	c := p2ptest.New(t, 2, loud)
	l := c.Mesh(1).Listener("raft")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "from "+conn.RemoteAddr().String())
			_ = conn.Close()
		}
	}()
	s := dial(t, c.Mesh(0), c.Mesh(1).ID(), "raft")
	got, _ := io.ReadAll(s)
	if want := "from " + string(c.Mesh(0).ID()); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
}

func TestLeadershipReachesEveryone(t *testing.T) {
	c := p2ptest.New(t, 4, loud)
	c.Lead(1, 7, 0, 1, 2)
	for i := range c.Len() {
		p2ptest.Eventually(t, c.Mesh(i), func() bool {
			l, ok := c.Mesh(i).Directory().Leadership()
			return ok && l.Term == 7 && l.Leader == c.Mesh(1).ID() && len(l.Voters) == 3
		})
	}
	late := c.Add()
	p2ptest.Eventually(t, late, func() bool {
		l, ok := late.Directory().Leadership()
		return ok && l.Term == 7
	})
}

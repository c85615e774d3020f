package p2p_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/p2p"
	"muster/p2p/p2ptest"
)

// journal is a log that a test can read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.b.String(), text)
}

func (j *journal) log() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func (j *journal) eventually(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(p2ptest.Patience); j.count(text) == 0; {
		if time.Now().After(deadline) {
			j.mu.Lock()
			defer j.mu.Unlock()
			t.Fatalf("%q is not in the log:\n%s", text, j.b.String())
		}
		time.Sleep(time.Millisecond) // polls a buffer
	}
}

func tokenFor(c *p2ptest.Cluster, at ...int) p2p.Token {
	var addrs []string
	for _, i := range at {
		addrs = append(addrs, c.Mesh(i).Token().Addresses[0])
	}
	return p2p.NewToken(c.Founding.CACertificate, c.Founding.Secret, addrs)
}

func quietly() p2p.JoinConfig {
	return p2p.JoinConfig{Name: "newcomer", NoMDNS: true, NoQUIC: true, Timeout: 10 * time.Second}
}

func run(t *testing.T, cfg p2p.Config) *p2p.Mesh {
	t.Helper()
	if len(cfg.Listen) == 0 {
		cfg.Listen = []string{"127.0.0.1:0"}
	}
	cfg.NoMDNS = true
	m, err := p2p.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-m.Ready()
	return m
}

func TestJoinThroughAMemberThatDoesNotLead(t *testing.T) {
	c := p2ptest.New(t, 2, loud)
	c.Lead(0, 1)
	p2ptest.Eventually(t, c.Mesh(1), func() bool { _, ok := c.Mesh(1).Directory().Leadership(); return ok })
	dir := t.TempDir()
	if err := p2p.Join(t.Context(), dir, tokenFor(c, 1).String(), quietly()); err != nil {
		t.Fatal(err)
	}
	if err := p2p.Join(t.Context(), dir, tokenFor(c, 1).String(), quietly()); !errors.Is(err, p2p.ErrHasIdentity) {
		t.Errorf("joined twice: %v", err)
	}
	// With nothing but what joining left on disk it finds the others and the leader.
	m := run(t, p2p.Config{Dir: dir})
	p2ptest.Eventually(t, m, func() bool {
		l, ok := m.Directory().Leadership()
		return ok && l.Leader == c.Mesh(0).ID() && len(m.Directory().Nodes()) == 3
	})
	for i := range 2 {
		p2ptest.Eventually(t, c.Mesh(i), func() bool {
			n, ok := c.Mesh(i).Directory().Node(m.ID())
			return ok && n.Alive && n.Name == "newcomer"
		})
	}
	if got := m.Token(); got.Digest != c.Mesh(0).Token().Digest || !bytes.Equal(got.Secret, c.Founding.Secret) {
		t.Error("the new member cannot print the cluster's token")
	}
}

func TestJoinWaitsForALeader(t *testing.T) {
	c := p2ptest.New(t, 1, loud)
	joined := make(chan error, 1)
	go func() {
		joined <- p2p.Join(context.Background(), filepath.Join(t.TempDir(), "n"), tokenFor(c, 0).String(), quietly())
	}()
	c.Lead(0, 1)
	if err := <-joined; err != nil {
		t.Error(err)
	}
}

func TestWrongTokenIsRefusedOnBothSides(t *testing.T) {
	var j journal
	c := p2ptest.New(t, 2, func(cfg *p2p.Config) { cfg.Log = j.log() })
	c.Lead(0, 1)
	token := tokenFor(c, 1)
	token.Secret = bytes.Repeat([]byte{7}, len(token.Secret))
	dir := t.TempDir()
	err := p2p.Join(t.Context(), dir, token.String(), quietly())
	if !errors.Is(err, p2p.ErrTokenRefused) || !strings.Contains(err.Error(), "join token refused: wrong secret") {
		t.Errorf("the joiner hears: %v", err)
	}
	j.eventually(t, "join token refused: wrong secret")
	if _, err := os.Stat(filepath.Join(dir, "membership.json")); err == nil {
		t.Error("a refused node stored a membership")
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	c := p2ptest.New(t, 1, loud)
	c.Lead(0, 1)
	token := tokenFor(c, 0)
	token.Secret = make([]byte, len(token.Secret))
	for i := range 12 {
		err := p2p.Join(t.Context(), filepath.Join(t.TempDir(), "n"), token.String(), quietly())
		if tooMany := strings.Contains(err.Error(), "too many"); tooMany != (i >= 10) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	// Neither does the right one get in meanwhile.
	err := p2p.Join(t.Context(), filepath.Join(t.TempDir(), "n"), tokenFor(c, 0).String(), quietly())
	if err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("the right token: %v", err)
	}
}

type spy struct{ asked chan p2p.AdmitRequest }

func (s spy) Admit(_ context.Context, r p2p.AdmitRequest) ([]byte, error) {
	s.asked <- r
	return nil, errors.New("no")
}

func TestSecretIsNotShownToAnotherCluster(t *testing.T) {
	ours, theirs := p2ptest.New(t, 1, loud), p2ptest.New(t, 1, loud)
	theirs.Lead(0, 1)
	s := spy{make(chan p2p.AdmitRequest, 16)}
	theirs.Mesh(0).SetAdmitter(s)
	cfg := quietly()
	token := p2p.NewToken(ours.Founding.CACertificate, ours.Founding.Secret, theirs.Mesh(0).Token().Addresses)
	err := p2p.Join(t.Context(), t.TempDir(), token.String(), cfg)
	if !errors.Is(err, p2p.ErrOtherCluster) {
		t.Errorf("joining: %v", err)
	}
	if len(s.asked) > 0 {
		t.Errorf("the other cluster was asked: %+v", <-s.asked)
	}
}

func TestClustersDoNotMix(t *testing.T) {
	var a, b journal
	ours := p2ptest.New(t, 1, func(cfg *p2p.Config) { cfg.Log = a.log() })
	theirs := p2ptest.New(t, 1, func(cfg *p2p.Config) {
		cfg.Log = b.log()
		cfg.Bootstrap = ours.Mesh(0).Token().Addresses
	})
	a.eventually(t, "belongs to another cluster")
	b.eventually(t, "belongs to another cluster")
	_, err := theirs.Mesh(0).Dial(t.Context(), ours.Mesh(0).ID(), "echo")
	if !errors.Is(err, p2p.ErrOtherCluster) && !errors.Is(err, p2p.ErrUnreachable) {
		t.Errorf("dial: %v", err)
	}
	for _, c := range []*p2ptest.Cluster{ours, theirs} {
		if n := len(c.Mesh(0).Directory().Nodes()); n != 1 {
			t.Errorf("%d nodes known", n)
		}
	}
	if n := a.count("belongs to another cluster"); n > 2 {
		t.Errorf("logged %d times", n)
	}
}

func TestRestartKeepsIdentity(t *testing.T) {
	c := p2ptest.New(t, 2, loud)
	before := c.Mesh(1).ID()
	c.Stop(1)
	p2ptest.Eventually(t, c.Mesh(0), func() bool {
		n, ok := c.Mesh(0).Directory().Node(before)
		return ok && !n.Alive
	})
	m := c.Start(1)
	if m.ID() != before {
		t.Errorf("ID %s, was %s", m.ID(), before)
	}
	c.Connected()
}

func TestRemovedMemberIsRefused(t *testing.T) {
	var j journal
	c := p2ptest.New(t, 3, func(cfg *p2p.Config) { cfg.Log = j.log() })
	gone := c.Mesh(2).ID()
	l := p2p.Leadership{Term: 1, Leader: c.Mesh(0).ID(), Voters: []p2p.PeerID{c.Mesh(0).ID()}, Removed: []p2p.PeerID{gone}}
	if err := c.Mesh(0).Announce(l); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		p2ptest.Eventually(t, c.Mesh(i), func() bool { _, known := c.Mesh(i).Directory().Node(gone); return !known })
		if _, err := c.Mesh(i).Dial(t.Context(), gone, "echo"); err == nil {
			t.Error("a removed member can be dialled")
		}
	}
	c.Stop(2)
	c.Start(2)
	j.eventually(t, "was removed from the cluster")
	if _, err := c.Mesh(2).Dial(t.Context(), c.Mesh(0).ID(), "echo"); !errors.Is(err, p2p.ErrRemoved) {
		t.Errorf("the removed member hears: %v", err)
	}
}

func TestIdentityIsMintedOnce(t *testing.T) {
	dir := t.TempDir()
	if _, err := p2p.New(p2p.Config{Dir: dir}); !errors.Is(err, p2p.ErrNoIdentity) {
		t.Errorf("mesh without identity: %v", err)
	}
	f, err := p2p.Init(dir, p2p.InitConfig{Cluster: "prod", Name: "one"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p2p.Init(dir, p2p.InitConfig{Name: "one"}); !errors.Is(err, p2p.ErrHasIdentity) {
		t.Errorf("second init: %v", err)
	}
	c, err := p2p.Load(dir)
	if err != nil || c.Name != "one" || c.Cluster != f.ClusterID || c.Peer != f.Peer {
		t.Errorf("loaded %+v, %v", c, err)
	}
	m, err := p2p.Stored(dir)
	token := p2p.NewToken(m.CACertificate, m.Secret, []string{"10.0.0.1:5055"})
	if err != nil || token.Cluster() != f.ClusterID || !bytes.Equal(token.Secret, f.Secret) {
		t.Errorf("token %+v, %v", token, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

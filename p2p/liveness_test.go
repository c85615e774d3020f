package p2p_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"muster/p2p"
	"muster/p2p/p2ptest"
)

// outside joins a process of its own to the cluster.
func outside(t *testing.T, c *p2ptest.Cluster, env ...string) (*exec.Cmd, p2p.PeerID) {
	t.Helper()
	dir := t.TempDir()
	cfg := quietly()
	for _, e := range env {
		if e == "P2P_TEST_QUIC=1" {
			cfg.NoQUIC, cfg.NoTCP = false, true
		}
	}
	if err := p2p.Join(t.Context(), dir, tokenFor(c, 0).String(), cfg); err != nil {
		t.Fatal(err)
	}
	cmd := process(t, dir, env...)
	self, err := p2p.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	awaitAlive(t, c.Mesh(0), self.Peer, true)
	return cmd, self.Peer
}

// process runs the member of a directory as a process.
func process(t *testing.T, dir string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	return cmd
}

// freeze stops a process and waits until all of it has.
func freeze(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("not stopped: %v, %v", status, err)
	}
}

func awaitAlive(t *testing.T, m *p2p.Mesh, p p2p.PeerID, alive bool) time.Duration {
	t.Helper()
	began := time.Now()
	p2ptest.Eventually(t, m, func() bool {
		n, ok := m.Directory().Node(p)
		return ok && n.Alive == alive
	})
	return time.Since(began)
}

func TestFrozenAndKilledPeersAreNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, tc := range []struct {
		name string
		edit func(*p2p.Config)
		env  []string
	}{
		{name: "TCP", edit: func(c *p2p.Config) { loud(c); c.AliveTimeout, c.NegotiationTimeout = 2*time.Second, 2*time.Second }},
		{name: "QUIC", edit: func(c *p2p.Config) {
			loud(c)
			c.NoQUIC, c.NoTCP, c.AliveTimeout, c.NegotiationTimeout = false, true, 2*time.Second, 2*time.Second
		}, env: []string{"P2P_TEST_QUIC=1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := p2ptest.New(t, 1, tc.edit)
			c.Lead(0, 1)
			cmd, p := outside(t, c, tc.env...)
			m := c.Mesh(0)
			_ = dial(t, m, p, "echo").Close()

			freeze(t, cmd)
			began := time.Now()
			if _, err := m.Dial(context.Background(), p, "echo"); !errors.Is(err, p2p.ErrUnreachable) {
				t.Errorf("dial of a frozen peer: %v", err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("the dial hung for %s", took)
			}
			awaitAlive(t, m, p, false)
			t.Logf("frozen: noticed after %s", time.Since(began))

			_ = cmd.Process.Signal(syscall.SIGCONT)
			t.Logf("thawed: noticed after %s", awaitAlive(t, m, p, true))

			_ = cmd.Process.Kill()
			t.Logf("killed: noticed after %s", awaitAlive(t, m, p, false))
		})
	}
}

// Over QUIC nothing tells that the process at the other end is another one, but
// that it greets again.
func TestRestartedPeerIsReachedAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	c := p2ptest.New(t, 1, func(c *p2p.Config) {
		loud(c)
		c.NoQUIC, c.NoTCP, c.AliveTimeout = false, true, time.Minute
	})
	c.Lead(0, 1)
	cmd, p := outside(t, c, "P2P_TEST_QUIC=1")
	m := c.Mesh(0)
	for range 8 { // libp2p prefers the connection that has the most
		dial(t, m, p, "echo")
	}
	<-time.After(1200 * time.Millisecond) // no two nodes that dial each other at once
	_ = cmd.Process.Kill()
	dir := strings.TrimPrefix(cmd.Env[len(cmd.Env)-2], childDir+"=")
	process(t, dir, "P2P_TEST_QUIC=1")
	began := time.Now()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		s, err := m.Dial(ctx, p, "echo")
		cancel()
		if err == nil {
			_ = s.Close()
			t.Logf("reached after %s", time.Since(began))
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("a peer that was started again is not reached: %v", err)
		}
	}
}

func TestPartitionIsNoticedAndHeals(t *testing.T) {
	c := p2ptest.New(t, 4, loud)
	c.Lead(0, 1, 0, 1, 2)
	for i := range 4 {
		p2ptest.Eventually(t, c.Mesh(i), func() bool { _, ok := c.Mesh(i).Directory().Leadership(); return ok })
	}
	c.Partition([]int{0}, []int{1, 2, 3})
	awaitAlive(t, c.Mesh(1), c.Mesh(0).ID(), false)
	awaitAlive(t, c.Mesh(0), c.Mesh(3).ID(), false)
	c.Lead(1, 2, 0, 1, 2)
	for _, i := range []int{2, 3} {
		p2ptest.Eventually(t, c.Mesh(i), func() bool {
			l, _ := c.Mesh(i).Directory().Leadership()
			return l.Term == 2
		})
	}
	if l, _ := c.Mesh(0).Directory().Leadership(); l.Term != 1 {
		t.Errorf("the cut-off leader knows term %d", l.Term)
	}
	c.Heal()
	c.Connected()
	p2ptest.Eventually(t, c.Mesh(0), func() bool {
		l, _ := c.Mesh(0).Directory().Leadership()
		return l.Term == 2 && l.Leader == c.Mesh(1).ID()
	})
	if err := c.Mesh(0).Announce(p2p.Leadership{Term: 1, Leader: c.Mesh(0).ID(), Voters: []p2p.PeerID{c.Mesh(0).ID()}}); err == nil {
		t.Error("a deposed leader may announce its old term")
	}
}

func TestManyStreamsToOnePeer(t *testing.T) {
	c := p2ptest.New(t, 2, loud)
	hold := make(chan struct{})
	c.Mesh(1).Handle("hold", func(ctx context.Context, s p2p.Stream) {
		defer s.Close()
		select {
		case <-hold:
		case <-ctx.Done():
		}
	})
	defer close(hold)
	for range 600 { // libp2p's own limits refuse the 151st
		dial(t, c.Mesh(0), c.Mesh(1).ID(), "hold")
	}
}

func TestRecordsReachEveryone(t *testing.T) {
	c := p2ptest.New(t, 3, loud)
	r := p2p.NodeRecord{Name: "renamed", API: "127.0.0.1:5050", AgentAPI: "127.0.0.1:5051", Version: "1", Labels: map[string]string{"zone": "a"}}
	if err := c.Mesh(2).Publish(r); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		p2ptest.Eventually(t, c.Mesh(i), func() bool {
			n, ok := c.Mesh(i).Directory().Node(c.Mesh(2).ID())
			return ok && n.Name == "renamed" && n.API == r.API && n.AgentAPI == r.AgentAPI && n.Labels["zone"] == "a" && len(n.Addresses) > 0
		})
	}
}

// With more nodes than each connects to, gossip carries the rest.
func TestOverlayKnowsEveryone(t *testing.T) {
	if testing.Short() {
		t.Skip("many nodes")
	}
	c := p2ptest.New(t, 9, func(cfg *p2p.Config) { cfg.MaxPeers = 3 })
	c.Lead(3, 1, 3, 4, 5)
	for i := range c.Len() {
		p2ptest.Eventually(t, c.Mesh(i), func() bool {
			l, ok := c.Mesh(i).Directory().Leadership()
			return ok && l.Leader == c.Mesh(3).ID()
		})
	}
	c.Mesh(0).Handle("echo", func(_ context.Context, s p2p.Stream) { _ = s.Close() })
	for i := 1; i < c.Len(); i++ {
		_ = dial(t, c.Mesh(i), c.Mesh(0).ID(), "echo").Close()
	}
}

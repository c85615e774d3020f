package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"muster/consensus/elect"
	"muster/offers/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network connects nodes by pipes. A node that is cut off is out of reach for
// the others: its streams hang, or break, and none can be opened.
type network struct {
	mu        sync.Mutex
	listeners map[string]*listener
	off       map[string]bool
	pipes     map[*pipe]struct{}
}

type pipe struct {
	net.Conn
	net      *network
	from, to string
}

// Write loses what crosses a cut.
func (p *pipe) Write(b []byte) (int, error) {
	p.net.mu.Lock()
	lost := p.net.off[p.from] || p.net.off[p.to]
	p.net.mu.Unlock()
	if lost {
		return len(b), nil
	}
	return p.Conn.Write(b)
}

type listener struct {
	net  *network
	node string
	in   chan net.Conn
	done chan struct{}
	once sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.in:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		if l.net.listeners[l.node] == l {
			delete(l.net.listeners, l.node)
		}
		close(l.done)
	})
	return nil
}

func (l *listener) Addr() net.Addr { return peerAddr(l.node) }

func newNetwork() *network {
	return &network{listeners: map[string]*listener{}, off: map[string]bool{}, pipes: map[*pipe]struct{}{}}
}

func (n *network) transport(node string) Transport {
	l := &listener{net: n, node: node, in: make(chan net.Conn), done: make(chan struct{})}
	n.mu.Lock()
	n.listeners[node] = l
	n.mu.Unlock()
	return Transport{Listener: l, Dial: func(ctx context.Context, peer string) (net.Conn, error) {
		n.mu.Lock()
		to, cut := n.listeners[peer], n.off[node] || n.off[peer]
		n.mu.Unlock()
		if cut {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		if to == nil {
			return nil, errors.New("connection refused")
		}
		near, far := net.Pipe()
		a, b := &pipe{near, n, node, peer}, &pipe{far, n, peer, node}
		select {
		case to.in <- b:
			n.mu.Lock()
			n.pipes[a], n.pipes[b] = struct{}{}, struct{}{}
			n.mu.Unlock()
			return a, nil
		case <-to.done:
			return nil, errors.New("connection refused")
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}}
}

// isolate cuts a node off: nothing gets through, and nobody is told.
func (n *network) isolate(node string, off bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.off[node] = off
}

// kill cuts a node off and breaks its streams, as the end of its process does.
func (n *network) kill(node string) {
	n.isolate(node, true)
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.pipes {
		if p.from == node || p.to == node {
			p.Conn.Close()
			delete(n.pipes, p)
		}
	}
}

// cluster is some nodes of one network, each with its folder.
type cluster struct {
	t     *testing.T
	net   *network
	root  string
	start time.Time
	set   func(*Config)

	mu    sync.Mutex
	nodes map[string]*node
}

// node is one run of a daemon's quorum.
type node struct {
	*Quorum
	since time.Time
	stop  context.CancelFunc
	end   chan error
	leads chan leads // OnLead was called
	fall  chan error // its context ended
}

type leads struct {
	ctx   context.Context
	term  uint64
	state *registry.State
}

func newCluster(t *testing.T, set func(*Config)) *cluster {
	root := os.Getenv("CONSENSUS_TEST_DIR")
	if root == "" {
		root = t.TempDir()
	}
	c := &cluster{t: t, net: newNetwork(), root: root, start: time.Now(), set: set, nodes: map[string]*node{}}
	t.Cleanup(func() {
		for id := range c.nodes {
			c.stop(id)
		}
	})
	return c
}

func (c *cluster) dir(id string) string { return filepath.Join(c.root, id) }

func (c *cluster) config(id string) Config {
	cfg := Config{Node: id, Dir: c.dir(id), Nodes: c.directory}
	if os.Getenv("CONSENSUS_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", id)
	}
	if c.set != nil {
		c.set(&cfg)
	}
	return cfg
}

// directory lists the nodes that run and can be reached.
func (c *cluster) directory() []elect.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []elect.Node
	for id, n := range c.nodes {
		c.net.mu.Lock()
		off := c.net.off[id]
		c.net.mu.Unlock()
		out = append(out, elect.Node{ID: id, Alive: !off, Eligible: true, Since: n.since})
	}
	return out
}

// run starts a node, founding the cluster with ops if there are any.
func (c *cluster) run(id string, first ...*registry.Op) *node {
	c.t.Helper()
	n := &node{since: time.Now(), end: make(chan error, 1), leads: make(chan leads, 16), fall: make(chan error, 16)}
	cfg := c.config(id)
	cfg.OnLead = func(ctx context.Context, term uint64, state *registry.State) {
		n.leads <- leads{ctx, term, state}
		<-ctx.Done()
		n.fall <- context.Cause(ctx)
	}
	c.net.isolate(id, false)
	q, err := New(cfg, c.net.transport(id))
	if err != nil {
		c.t.Fatal(err)
	}
	if len(first) > 0 {
		if err := q.Bootstrap(first...); err != nil {
			c.t.Fatal(err)
		}
	}
	n.Quorum = q
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	go func() { n.end <- q.Run(ctx) }()
	c.mu.Lock()
	c.nodes[id] = n
	c.mu.Unlock()
	return n
}

// stop ends a node in order.
func (c *cluster) stop(id string) {
	c.t.Helper()
	c.mu.Lock()
	n := c.nodes[id]
	delete(c.nodes, id)
	c.mu.Unlock()
	if n == nil {
		return
	}
	n.stop()
	if err := <-n.end; err != nil {
		c.t.Errorf("%s: %v", id, err)
	}
}

// kill ends a node's part without a word.
func (c *cluster) kill(id string) {
	c.t.Helper()
	c.net.kill(id)
	c.stop(id)
}

func (c *cluster) all() []*node {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*node
	for _, n := range c.nodes {
		out = append(out, n)
	}
	return out
}

// until waits until ok, in steps of virtual time.
func (c *cluster) until(limit time.Duration, what string, ok func() bool) time.Duration {
	c.t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > limit {
			for _, n := range c.all() {
				c.t.Logf("%+v", n.Status())
			}
			c.t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

// leader waits for a leader other than those named.
func (c *cluster) leader(limit time.Duration, but ...string) *node {
	c.t.Helper()
	var found *node
	c.until(limit, "a leader", func() bool {
		for _, n := range c.all() {
			st := n.Status()
			if st.Role == Leader && (len(but) == 0 || st.Node != but[0]) {
				n.mu.Lock()
				open := n.open != nil
				n.mu.Unlock()
				if open {
					found = n
					return true
				}
			}
		}
		return false
	})
	return found
}

// grow starts a cluster of n nodes and waits until it has the wanted members.
func (c *cluster) grow(n, voters, standbys int) {
	c.t.Helper()
	c.run("n1", initOp())
	for i := 2; i <= n; i++ {
		c.run(fmt.Sprintf("n%d", i))
	}
	c.settled(20*time.Second, voters, standbys)
}

// settled waits until every member of the leader's knows the same, and stays so.
func (c *cluster) settled(limit time.Duration, voters, standbys int) time.Duration {
	c.t.Helper()
	return c.until(limit, fmt.Sprintf("%d voters and %d standbys", voters, standbys), func() bool {
		for _, n := range c.all() {
			if st := n.Status(); st.Role == Leader {
				return len(st.Voters) == voters && len(st.Standbys) == standbys && c.lag(st) == 0
			}
		}
		return false
	})
}

func (c *cluster) lag(st Status) (lag uint64) {
	for _, m := range append(st.Voters, st.Standbys...) {
		c.mu.Lock()
		runs := c.nodes[m.ID] != nil
		c.mu.Unlock()
		if m.ID != st.Node && runs {
			lag += m.Lag
		}
	}
	return lag
}

// propose waits for an operation's end.
func propose(n *node, op *registry.Op) error {
	done := make(chan error, 1)
	n.Propose(op, func(err error) { done <- err })
	return <-done
}

func initOp() *registry.Op {
	return &registry.Op{Op: &registry.Op_InitCluster{InitCluster: &registry.InitCluster{ClusterId: proto.String("test")}}}
}

func memberOp(id string) *registry.Op {
	return &registry.Op{Op: &registry.Op_AdmitMember{AdmitMember: &registry.AdmitMember{PeerId: proto.String(id)}}}
}

func removeOp(id string) *registry.Op {
	return &registry.Op{Op: &registry.Op_RemoveMember{RemoveMember: &registry.RemoveMember{PeerId: proto.String(id)}}}
}

// virtual runs a test in virtual time.
func virtual(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

package p2ptest

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"muster/p2p"
)

// Patience is how long a condition may take on a loaded machine.
const Patience = 30 * time.Second

// Cluster is n nodes of one cluster. Its methods are for the test's goroutine.
type Cluster struct {
	Founding *p2p.Founding
	t        testing.TB
	dir      string
	edit     func(*p2p.Config)
	nodes    []*node
	mu       sync.Mutex
	group    map[p2p.PeerID]int // nodes of different groups cannot connect
}

type node struct {
	dir    string
	mesh   *p2p.Mesh
	cancel context.CancelFunc
	ended  chan error
}

// New starts n nodes, connected with each other; edit, if not nil, changes each
// one's configuration first. The test's end stops them.
func New(t testing.TB, n int, edit func(*p2p.Config)) *Cluster {
	t.Helper()
	c := &Cluster{t: t, dir: t.TempDir(), edit: edit, group: map[p2p.PeerID]int{}}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.Stop(i)
		}
	})
	for range n {
		c.Add()
	}
	c.Connected()
	return c
}

// Len is how many nodes were added.
func (c *Cluster) Len() int { return len(c.nodes) }

// Mesh is the i-th node.
func (c *Cluster) Mesh(i int) *p2p.Mesh { return c.nodes[i].mesh }

// Admitter admits whoever has the cluster's secret.
func (c *Cluster) Admitter() p2p.Admitter {
	f := c.Founding
	return admitter{p2p.Authority{CACertificate: f.CACertificate, CAKey: f.CAKey, SecretHash: f.SecretHash}}
}

type admitter struct{ p2p.Authority }

func (a admitter) Admit(_ context.Context, r p2p.AdmitRequest) ([]byte, error) { return a.Sign(r) }

// Add makes one more node, certified without asking anyone, and starts it. Its
// name is node-<i>.
func (c *Cluster) Add() *p2p.Mesh {
	c.t.Helper()
	i := len(c.nodes)
	n := &node{dir: filepath.Join(c.dir, fmt.Sprint(i))}
	name := fmt.Sprintf("node-%d", i)
	if i == 0 {
		f, err := p2p.Init(n.dir, p2p.InitConfig{Cluster: "test", Name: name})
		c.check(err)
		c.Founding = f
	} else {
		f := c.Founding
		peer, err := p2p.Prepare(n.dir)
		c.check(err)
		certificate, err := p2p.SignCertificate(f.CACertificate, f.CAKey, peer, name, 0)
		c.check(err)
		c.check(p2p.Install(n.dir, p2p.Membership{CACertificate: f.CACertificate, Certificate: certificate, Secret: f.Secret}))
	}
	c.nodes = append(c.nodes, n)
	c.Start(i)
	return n.mesh
}

// Start runs the i-th node's mesh, anew after Stop: with the same identity and
// what it remembers, but on another port.
func (c *Cluster) Start(i int) *p2p.Mesh {
	c.t.Helper()
	n := c.nodes[i]
	cfg := p2p.Config{Dir: n.dir, Listen: []string{"127.0.0.1:0"}, NoMDNS: true, NoQUIC: true,
		AliveTimeout: 5 * time.Second, NegotiationTimeout: 5 * time.Second, // a loaded machine is not a dead one
		Log: slog.New(slog.DiscardHandler)}
	for j, other := range c.nodes {
		if j != i && other.mesh != nil {
			cfg.Bootstrap = append(cfg.Bootstrap, other.mesh.Token().Addresses...)
		}
	}
	if c.edit != nil {
		c.edit(&cfg)
	}
	allow := cfg.Allow
	self, err := p2p.Prepare(n.dir)
	c.check(err)
	cfg.Allow = func(p p2p.PeerID) bool { return c.together(self, p) && (allow == nil || allow(p)) }
	mesh, err := p2p.New(cfg)
	c.check(err)
	ctx, cancel := context.WithCancel(context.Background())
	n.mesh, n.cancel, n.ended = mesh, cancel, make(chan error, 1)
	go func() { n.ended <- mesh.Run(ctx) }()
	select {
	case <-mesh.Ready():
	case err := <-n.ended:
		n.ended <- err
		c.t.Fatalf("node %d ended: %v", i, err)
	}
	return mesh
}

// Stop ends the i-th node's mesh and waits for it.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	n := c.nodes[i]
	if n.cancel == nil {
		return
	}
	n.cancel()
	n.cancel = nil
	n.mesh = nil
	select {
	case err := <-n.ended:
		if err != nil {
			c.t.Errorf("node %d: %v", i, err)
		}
	case <-time.After(Patience):
		c.t.Errorf("node %d does not end", i)
	}
}

// Connected waits until every running node sees every other one alive.
func (c *Cluster) Connected() {
	c.t.Helper()
	var all []*p2p.Mesh
	for _, n := range c.nodes {
		if n.mesh != nil {
			all = append(all, n.mesh)
		}
	}
	for _, m := range all {
		Eventually(c.t, m, func() bool {
			alive := 0
			for _, n := range m.Directory().Nodes() {
				if n.Alive {
					alive++
				}
			}
			return alive >= len(all)
		})
	}
}

// Partition lets only nodes of one group reach each other, and cuts the
// connections between groups. Nodes that are in no group are in the first.
func (c *Cluster) Partition(groups ...[]int) {
	c.mu.Lock()
	clear(c.group)
	for g, members := range groups {
		for _, i := range members {
			if m := c.nodes[i].mesh; m != nil {
				c.group[m.ID()] = g
			}
		}
	}
	c.mu.Unlock()
	for _, n := range c.nodes {
		if n.mesh == nil {
			continue
		}
		for _, other := range c.nodes {
			if other.mesh != nil && !c.together(n.mesh.ID(), other.mesh.ID()) {
				n.mesh.Disconnect(other.mesh.ID())
			}
		}
	}
}

// Heal ends a partition.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.group)
}

func (c *Cluster) together(a, b p2p.PeerID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.group[a] == c.group[b]
}

func (c *Cluster) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// Lead lets the i-th node announce that it leads in a term, with these voters.
func (c *Cluster) Lead(i int, term uint64, voters ...int) {
	c.t.Helper()
	l := p2p.Leadership{Term: term, Leader: c.Mesh(i).ID()}
	for _, v := range voters {
		l.Voters = append(l.Voters, c.Mesh(v).ID())
	}
	if !slices.Contains(voters, i) {
		l.Voters = append(l.Voters, l.Leader)
	}
	c.Mesh(i).SetAdmitter(c.Admitter())
	c.check(c.Mesh(i).Announce(l))
}

// Eventually waits until the condition holds, looking again at each change of
// the mesh's directory.
func Eventually(t testing.TB, m *p2p.Mesh, condition func() bool) {
	t.Helper()
	deadline := time.After(Patience)
	for {
		changed := m.Directory().Changed()
		if condition() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("condition not met: %s", describe(m))
		}
	}
}

func describe(m *p2p.Mesh) string {
	l, ok := m.Directory().Leadership()
	text := fmt.Sprintf("%s knows leadership %v %+v, nodes", m.ID(), ok, l)
	for _, n := range m.Directory().Nodes() {
		text += fmt.Sprintf(" %s(alive=%v)", n.Name, n.Alive)
	}
	return text
}

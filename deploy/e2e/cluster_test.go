package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"testing"

	"muster/deploy/e2e/cluster"
	"muster/isolate/isolatetest"
	"muster/node/client"
)

const (
	binary   = "../../bin/muster"
	clients  = "../../bin/clients"
	patience = cluster.Patience
)

// testCluster is a cluster whose failures are a test's.
type testCluster struct {
	*cluster.Cluster
	t     *testing.T
	nodes []*daemon
}

// daemon is one node of it.
type daemon struct {
	*cluster.Daemon
	t *testing.T
}

// newCluster starts n nodes that have settled; they end with the test.
func newCluster(t *testing.T, n int) *testCluster {
	t.Helper()
	return clusterOf(t, cluster.Config{Nodes: n})
}

// clusterOf is newCluster with nodes that are not the usual ones.
func clusterOf(t *testing.T, cfg cluster.Config) *testCluster {
	t.Helper()
	isolatetest.NeedRoot(t)
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("the program is not built: run make build (%v)", err)
	}
	cfg.Muster, cfg.Dir = cmp.Or(cfg.Muster, binary), t.TempDir()
	started, err := cluster.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &testCluster{Cluster: started, t: t}
	for _, d := range c.Daemons {
		c.nodes = append(c.nodes, &daemon{Daemon: d, t: t})
	}
	t.Cleanup(c.stop)
	return c
}

func (c *testCluster) stop() {
	if err := c.Stop(); err != nil {
		c.t.Error(err)
	}
	if !c.t.Failed() {
		return
	}
	for _, d := range c.nodes {
		c.t.Logf("log of %s:\n%s", d.Name, d.Tail(6000))
	}
}

// settled waits until all running daemons and their agents follow one leader.
func (c *testCluster) settled() *daemon {
	c.t.Helper()
	return c.node(c.Settled(c.t.Context()))
}

// other returns a running daemon that is not d.
func (c *testCluster) other(d *daemon) *daemon {
	c.t.Helper()
	return c.node(c.Other(d.Daemon))
}

func (c *testCluster) node(found *cluster.Daemon, err error) *daemon {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, d := range c.nodes {
		if d.Daemon == found {
			return d
		}
	}
	c.t.Fatalf("%s is none of the test's", found.Name)
	return nil
}

// start runs the daemon again.
func (d *daemon) start() {
	d.t.Helper()
	if err := d.Start(); err != nil {
		d.t.Fatal(err)
	}
}

// muster runs the command line and returns what it printed; it must succeed.
func (d *daemon) muster(args ...string) []byte {
	d.t.Helper()
	return output(d.t, args...)
}

// command runs the command line; the error holds what it wrote to standard error.
func command(args ...string) ([]byte, error) {
	return cluster.Run(context.Background(), binary, args...)
}

func parse(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// await calls ok until it is true.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if err := cluster.Await(t.Context(), what, ok); err != nil {
		t.Fatal(err)
	}
}

func (d *daemon) at(address string, format client.Format) *client.Client {
	d.t.Helper()
	c, err := client.New(client.Config{Address: address, Format: format})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(c.Close)
	return c
}

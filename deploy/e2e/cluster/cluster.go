package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Config of a Cluster. Muster and Dir are required.
type Config struct {
	Muster    string   // the program
	Dir       string   // where the nodes' directories and logs go; the caller's to remove
	Nodes     int      // [1]
	Resources string   // that each node offers [cpus:8;mem:4096;disk:4096]
	Args      []string // of each daemon, besides those that all have
}

// Cluster is a set of daemons on loopback addresses of their own.
type Cluster struct {
	Daemons []*Daemon
	Token   string // with which nodes join
	cfg     Config
}

// Patience bounds every wait for something that must happen. It is long because
// the machine may be busy: what is slow is shown by benchmarks.
const Patience = 60 * time.Second

const glance = 5 * time.Millisecond

// Start founds a cluster by the command line and joins all nodes to it. It
// returns when all know the leader, all agents are registered, and as many nodes
// vote as should. What a failed Start has begun, it ends.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Nodes == 0 {
		cfg.Nodes = 1
	}
	if cfg.Resources == "" {
		cfg.Resources = "cpus:8;mem:4096;disk:4096"
	}
	c := &Cluster{cfg: cfg}
	subnet := fmt.Sprintf("127.%d.%d", 16+rand.N(200), rand.N(250))
	for i := range cfg.Nodes {
		name := fmt.Sprintf("node%d", i+1)
		c.Daemons = append(c.Daemons, &Daemon{
			Name: name, IP: fmt.Sprintf("%s.%d", subnet, i+1), Dir: filepath.Join(cfg.Dir, name),
			Log: filepath.Join(cfg.Dir, name+".log"), Args: cfg.Args, muster: cfg.Muster, resources: cfg.Resources,
		})
	}
	if err := c.found(ctx); err != nil {
		return nil, errors.Join(err, c.Logs(), c.Stop())
	}
	return c, nil
}

func (c *Cluster) found(ctx context.Context) error {
	first := c.Daemons[0]
	out, err := first.run(ctx, "init", "--dir", first.Dir, "--name", first.Name, "--listen", first.IP, "-o", "json")
	if err != nil {
		return err
	}
	var founded struct{ Token string }
	if err := json.Unmarshal(out, &founded); err != nil {
		return fmt.Errorf("muster init: %w in %s", err, out)
	}
	c.Token = founded.Token
	if err := first.Start(); err != nil {
		return err
	}
	for _, d := range c.Daemons[1:] {
		if _, err := d.run(ctx, "join", c.Token, "--dir", d.Dir, "--name", d.Name, "--no-mdns"); err != nil {
			return err
		}
		if err := d.Start(); err != nil {
			return err
		}
	}
	_, err = c.Settled(ctx)
	return err
}

// Settled waits until all running daemons name the same running leader, their
// agents are registered with it, and, if none is missing, the quorum is whole. It
// returns the leader.
func (c *Cluster) Settled(ctx context.Context) (*Daemon, error) {
	var leader *Daemon
	err := Await(ctx, "a leader that all know", func() bool {
		leader = c.agreed(ctx)
		return leader != nil
	})
	if err != nil {
		return nil, err
	}
	running := len(c.Running())
	if err := Await(ctx, "all agents", func() bool {
		n, err := leader.Metric(ctx, "master/slaves_active")
		return err == nil && n == float64(running)
	}); err != nil {
		return nil, err
	}
	if running < len(c.Daemons) {
		return leader, nil // a dead voter without a replacement remains one
	}
	voters := 1
	if running >= 3 {
		voters = 3
	}
	return leader, Await(ctx, fmt.Sprintf("%d voters", voters), func() bool {
		m, err := leader.Members(ctx)
		return err == nil && len(m.Voters()) == voters
	})
}

// agreed returns the leader that all running daemons name; nil if there is none.
func (c *Cluster) agreed(ctx context.Context) *Daemon {
	name := ""
	for i, d := range c.Running() {
		m, err := d.Members(ctx)
		if err != nil || i > 0 && m.LeaderName() != name {
			return nil
		}
		name = m.LeaderName()
	}
	for _, d := range c.Running() {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// Running returns the daemons whose processes have not ended.
func (c *Cluster) Running() []*Daemon {
	var out []*Daemon
	for _, d := range c.Daemons {
		if d.Running() {
			out = append(out, d)
		}
	}
	return out
}

// Other returns a running daemon that is not d.
func (c *Cluster) Other(d *Daemon) (*Daemon, error) {
	for _, o := range c.Running() {
		if o != d {
			return o, nil
		}
	}
	return nil, fmt.Errorf("no daemon runs but %s", d.Name)
}

// Stop ends the daemons, and then what they ran: a daemon leaves its tasks.
func (c *Cluster) Stop() error {
	var errs []error
	for _, d := range c.Daemons {
		d.terminate()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
	defer cancel()
	for _, d := range c.Daemons {
		if d.cmd == nil {
			continue
		}
		select {
		case <-d.done:
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("%s does not stop", d.Name))
			d.Kill()
		}
		_, err := d.run(context.Background(), "purge", "--dir", d.Dir) // also if some did not stop in time
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Logs returns the ends of the daemons' logs as an error, to be joined to another.
func (c *Cluster) Logs() error {
	var errs []error
	for _, d := range c.Daemons {
		errs = append(errs, fmt.Errorf("log of %s: %s", d.Name, d.Tail(2000)))
	}
	return errors.Join(errs...)
}

// Await asks ok until it says yes; another process's progress can only be looked at.
func Await(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, fmt.Errorf("waited %v in vain for %s", Patience, what))
	defer cancel()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// Run runs the command line to its end; the error holds what it wrote to standard error.
func Run(ctx context.Context, muster string, args ...string) ([]byte, error) {
	var out, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(ctx, 2*Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, muster, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("muster %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return out.Bytes(), nil
}

// run is Run for this node.
func (d *Daemon) run(ctx context.Context, args ...string) ([]byte, error) {
	out, err := Run(ctx, d.muster, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Name, err)
	}
	return out, nil
}

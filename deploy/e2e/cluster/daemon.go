package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"muster/node/client"
)

// Daemon is one node, as a process. It may be killed and started again.
type Daemon struct {
	Name, IP, Dir     string
	Log               string   // a file: what all its processes wrote
	Args              []string // for the next Start, besides those that all have
	muster, resources string
	cmd               *exec.Cmd     // nil until it is started
	done              chan struct{} // closed when the process has ended
}

// Members is who is in the cluster, as one node knows it.
type Members struct {
	Leader string `json:"leader"` // its peer ID
	Term   uint64 `json:"term"`
	Nodes  []struct {
		Peer  string `json:"peer"`
		Name  string `json:"name"`
		Role  string `json:"role"`
		Alive bool   `json:"alive"`
	} `json:"nodes"`
}

// LeaderName is "" if no leader is known.
func (m Members) LeaderName() string {
	for _, n := range m.Nodes {
		if n.Peer == m.Leader {
			return n.Name
		}
	}
	return ""
}

// Voters returns the names of those who vote, the leader among them.
func (m Members) Voters() []string {
	var out []string
	for _, n := range m.Nodes {
		if n.Role == "voter" || n.Role == "leader" {
			out = append(out, n.Name)
		}
	}
	return out
}

// API is the address of the cluster's API at this node.
func (d *Daemon) API() string { return d.IP + ":5050" }

// AgentAPI is the address of this node's agent API.
func (d *Daemon) AgentAPI() string { return d.IP + ":5051" }

// PID is the process's, also after it has ended.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Start runs the daemon; it returns at once.
func (d *Daemon) Start() error {
	log, err := os.OpenFile(d.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.muster, append([]string{"daemon", "--dir", d.Dir, "--name", d.Name, "--hostname", d.IP, "--listen", d.IP,
		"--api", d.API(), "--agent-api", d.AgentAPI(), "--no-mdns", "--resources", d.resources}, d.Args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for whoever started it
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", d.Name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is seen by what it did
		close(done)
	}()
	d.cmd, d.done = cmd, done
	return nil
}

// Kill ends the daemon at once, as a crash does.
func (d *Daemon) Kill() {
	_ = d.cmd.Process.Kill() // it may have ended
	<-d.done
}

// Signal sends the daemon a signal.
func (d *Daemon) Signal(s os.Signal) error { return d.cmd.Process.Signal(s) }

func (d *Daemon) terminate() {
	if d.Running() {
		_ = d.Signal(syscall.SIGTERM) // it may have ended
	}
}

// Running tells whether the process has not ended.
func (d *Daemon) Running() bool {
	if d.cmd == nil {
		return false
	}
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// Members asks the daemon who is in the cluster.
func (d *Daemon) Members(ctx context.Context) (m Members, err error) {
	err = d.JSON(ctx, "/muster/v1/nodes", &m)
	return m, err
}

// Metric reads one value of the daemon's metrics.
func (d *Daemon) Metric(ctx context.Context, name string) (float64, error) {
	values := map[string]float64{}
	if err := d.JSON(ctx, "/metrics/snapshot", &values); err != nil {
		return 0, err
	}
	v, ok := values[name]
	if !ok {
		return 0, fmt.Errorf("%s has no metric %s", d.Name, name)
	}
	return v, nil
}

// JSON reads what the daemon's API has at path.
func (d *Daemon) JSON(ctx context.Context, path string, into any) error {
	c, err := client.New(client.Config{Address: d.API()})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return c.GetJSON(ctx, path, into)
}

// Tail returns the end of the daemon's log.
func (d *Daemon) Tail(size int) string {
	text, err := os.ReadFile(d.Log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-size):])
}

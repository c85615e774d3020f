package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"muster/isolate/isolatetest"
	"muster/node/client"
)

const (
	binary  = "../../bin/muster"
	clients = "../../bin/clients"

	// patience bounds every wait for something that must happen. It is long because
	// the machine may be busy: what is slow is shown by benchmarks, not here.
	patience = 60 * time.Second
	glance   = 20 * time.Millisecond
)

// cluster is a set of daemons on loopback addresses of their own.
type cluster struct {
	t     *testing.T
	dir   string
	nodes []*daemon
	token string // with which nodes join
}

// daemon is one node, as a process of this test.
type daemon struct {
	t    *testing.T
	name string
	ip   string
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	log  string
	args []string // of the daemon, besides those that all have
}

// members is /muster/v1/nodes.
type members struct {
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
	Nodes  []struct {
		Peer, Name, Role string
		Alive            bool
	} `json:"nodes"`
}

// newCluster founds a cluster and joins n-1 nodes to it, all by the command
// line, and waits until it has a leader that all know and as many agents.
func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	isolatetest.NeedRoot(t)
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("the program is not built: run make build (%v)", err)
	}
	c := &cluster{t: t, dir: t.TempDir()}
	subnet := fmt.Sprintf("127.%d.%d", 16+rand.N(200), rand.N(250))
	for i := range n {
		name := fmt.Sprintf("node%d", i+1)
		d := &daemon{t: t, name: name, ip: fmt.Sprintf("%s.%d", subnet, i+1), dir: filepath.Join(c.dir, name)}
		d.log = filepath.Join(c.dir, name+".log")
		c.nodes = append(c.nodes, d)
	}
	t.Cleanup(c.stop)
	first := c.nodes[0]
	var founded struct{ Token string }
	parse(t, first.muster("init", "--dir", first.dir, "--name", first.name, "--listen", first.ip, "-o", "json"), &founded)
	c.token = founded.Token
	first.start()
	for _, d := range c.nodes[1:] {
		d.join(founded.Token)
		d.start()
	}
	leader := c.settled()
	if n >= 3 { // until then the loss of one may be the loss of all
		await(t, "three voters", func() bool { return leader.voters() == 3 })
	}
	return c
}

// voters is how many vote, the leader among them, as d knows.
func (d *daemon) voters() int {
	m, err := d.members()
	if err != nil {
		return 0
	}
	n := 0
	for _, node := range m.Nodes {
		if node.Role == "voter" || node.Role == "leader" {
			n++
		}
	}
	return n
}

func (d *daemon) join(token string) {
	d.t.Helper()
	d.muster("join", token, "--dir", d.dir, "--name", d.name, "--no-mdns")
}

// muster runs the command line and returns what it printed; it must succeed.
func (d *daemon) muster(args ...string) []byte {
	d.t.Helper()
	out, err := command(args...)
	if err != nil {
		d.t.Fatalf("muster %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// command runs the command line; the error holds what it wrote to standard error.
func command(args ...string) ([]byte, error) {
	var out, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return out.Bytes(), nil
}

func parse(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// start runs the daemon; it may have run before.
func (d *daemon) start() {
	d.t.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(binary, append([]string{"daemon", "--dir", d.dir, "--name", d.name, "--hostname", d.ip, "--listen", d.ip,
		"--api", d.api(), "--agent-api", d.agentAPI(), "--no-mdns", "--resources", "cpus:8;mem:4096;disk:4096"}, d.args...)...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // how it ended is seen by what it did
		close(done)
	}(d.cmd, d.done)
}

func (d *daemon) api() string      { return d.ip + ":5050" }
func (d *daemon) agentAPI() string { return d.ip + ":5051" }

// kill ends the daemon at once, as a crash does.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // it may have ended
	<-d.done
}

func (d *daemon) running() bool {
	select {
	case <-d.done:
		return false
	default:
		return true
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

// stop ends the daemons, and then what they ran: a daemon leaves its tasks.
func (c *cluster) stop() {
	for _, d := range c.nodes {
		if d.cmd != nil && d.running() {
			_ = d.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	for _, d := range c.nodes {
		if d.cmd == nil {
			continue
		}
		select {
		case <-d.done:
		case <-time.After(patience):
			c.t.Errorf("%s does not stop", d.name)
			d.kill()
		}
		if out, err := command("purge", "--dir", d.dir); err != nil {
			c.t.Errorf("purge %s: %v %s", d.name, err, out)
		}
		if c.t.Failed() {
			c.showLog(d)
		}
	}
}

func (c *cluster) showLog(d *daemon) {
	text, err := os.ReadFile(d.log)
	if err != nil {
		c.t.Log(err)
		return
	}
	if len(text) > 6000 {
		text = text[len(text)-6000:]
	}
	c.t.Logf("log of %s:\n%s", d.name, text)
}

// await calls ok until it is true.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
		time.Sleep(glance) // another process's progress can only be looked at
	}
}

func (d *daemon) members() (m members, err error) {
	c, err := client.New(client.Config{Address: d.api()})
	if err != nil {
		return m, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return m, c.GetJSON(ctx, "/muster/v1/nodes", &m)
}

// settled waits until all running daemons name the same running leader, and
// their agents are registered with it.
func (c *cluster) settled() *daemon {
	c.t.Helper()
	var leader *daemon
	await(c.t, "a leader that all know", func() bool {
		names := map[string]bool{}
		for _, d := range c.nodes {
			if !d.running() {
				continue
			}
			m, err := d.members()
			if err != nil {
				return false
			}
			names[m.leader()] = true
		}
		leader = nil
		for _, d := range c.nodes {
			if len(names) == 1 && names[d.name] && d.running() {
				leader = d
			}
		}
		return leader != nil
	})
	await(c.t, "all agents", func() bool {
		n := 0
		for _, d := range c.nodes {
			if d.running() {
				n++
			}
		}
		return leader.metric("master/slaves_active") == float64(n)
	})
	return leader
}

func (m members) leader() string {
	for _, n := range m.Nodes {
		if n.Peer == m.Leader {
			return n.Name
		}
	}
	return ""
}

// other returns a running daemon that is not d.
func (c *cluster) other(d *daemon) *daemon {
	for _, o := range c.nodes {
		if o != d && o.running() {
			return o
		}
	}
	c.t.Fatalf("no daemon runs but %s", d.name)
	return nil
}

// metric reads one value of /metrics/snapshot; NaN where there is none.
func (d *daemon) metric(name string) float64 {
	values := map[string]float64{}
	if err := getJSON("http://"+d.api()+"/metrics/snapshot", &values); err != nil {
		return -1
	}
	v, ok := values[name]
	if !ok {
		return -1
	}
	return v
}

func getJSON(url string, into any) error {
	h := http.Client{Timeout: 5 * time.Second}
	r, err := h.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return errors.New(r.Status)
	}
	return json.NewDecoder(r.Body).Decode(into)
}

// rss is the daemon's resident memory in bytes.
func (d *daemon) rss() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", d.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		d.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// touch makes a file in the sandbox of a task.
func touch(t *testing.T, d *daemon, framework, task, name string) {
	t.Helper()
	sandboxes, err := filepath.Glob(filepath.Join(d.dir, "agent", "slaves", "*", "frameworks", framework, "executors", task, "runs", "latest"))
	if err != nil || len(sandboxes) != 1 {
		t.Fatalf("sandboxes of %s: %v %v", task, sandboxes, err)
	}
	if err := os.WriteFile(filepath.Join(sandboxes[0], name), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

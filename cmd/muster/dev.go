package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"gopkg.in/yaml.v3"

	"muster/node"
	"muster/p2p"
)

const (
	devMax     = 64               // nodes of a development cluster
	devStart   = 30 * time.Second // for a development cluster to elect a leader
	devStop    = 10 * time.Second // for a daemon to stop before it is killed
	devPoll    = 20 * time.Millisecond
	logTail    = 2048 // bytes of a daemon's log shown when it fails
	devCluster = "dev"
)

func devCommand() *cobra.Command {
	var nodes int
	var dir string
	c := &cobra.Command{
		Use: "dev", Short: "Run a whole cluster on this machine, until Ctrl-C", GroupID: "node", Args: cobra.NoArgs,
		Long: `Starts daemons as processes on 127.0.0.1, 127.0.0.2, … with the standard ports
and keeps them until Ctrl-C, which ends them and their tasks. With --dir the
cluster is kept in that directory and goes on there the next time; without, it
lives in a temporary one. The daemons get no MUSTER_… variables: to try a setting,
end one and start it again with its muster.yaml and a flag, as is printed at the start.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if nodes < 1 || nodes > devMax {
				return fmt.Errorf("nodes: %d is not between 1 and %d", nodes, devMax)
			}
			return runDev(c.Context(), c.OutOrStdout(), dir, nodes)
		},
	}
	c.Flags().IntVar(&nodes, "nodes", 3, "how many nodes")
	c.Flags().StringVar(&dir, "dir", "", "directory to keep the cluster in (default: a temporary one)")
	return c
}

// devNode is one daemon of a development cluster.
type devNode struct {
	cfg    node.Config
	file   string // its configuration
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	err    error         // how, once exited is closed
}

func runDev(ctx context.Context, out io.Writer, dir string, count int) (err error) {
	// Children are to die with this process, which the kernel ties to a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if dir == "" {
		if dir, err = os.MkdirTemp("", "muster-dev-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	cluster := make([]*devNode, count)
	for i := range cluster {
		if cluster[i], err = newDevNode(dir, i+1); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, stopDev(out, cluster)) }()
	fmt.Fprintf(out, "starting a cluster of %d in %s …\n", count, dir)
	if err := startDev(ctx, cluster); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, devStart)
	defer cancel()
	leader, err := awaitLeader(waiting, cluster)
	if err != nil {
		return err
	}
	printDev(out, cluster, leader)
	return watchDev(ctx, out, cluster)
}

func newDevNode(dir string, i int) (*devNode, error) {
	ip := fmt.Sprintf("127.0.0.%d", i)
	settings := map[string]string{
		"dir": filepath.Join(dir, fmt.Sprintf("node%d", i)), "name": fmt.Sprintf("node%d", i), "hostname": ip,
		"listen": ip, "api": ip + ":5050", "agent_api": ip + ":5051", "no_mdns": "true",
	}
	settings["log_file"] = filepath.Join(settings["dir"], "muster.log")
	cfg, err := node.Config{
		Dir: settings["dir"], Name: settings["name"], Hostname: ip, Listen: ip, API: settings["api"],
		AgentAPI: settings["agent_api"], NoMDNS: true, LogFile: settings["log_file"], Version: version,
	}.Defaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(settings)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(cfg.Dir, "muster.yaml")
	return &devNode{cfg: cfg, file: file}, os.WriteFile(file, text, 0o644)
}

// startDev founds the cluster with its first node, and joins the others to it.
func startDev(ctx context.Context, cluster []*devNode) error {
	first := cluster[0]
	_, err := node.Init(first.cfg, devCluster)
	if err != nil && !errors.Is(err, p2p.ErrHasIdentity) {
		return err
	}
	if err := first.start(); err != nil {
		return err
	}
	token, err := node.StoredToken(first.cfg)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range cluster[1:] {
		g.Go(func() error {
			err := node.Join(ctx, n.cfg, token.String())
			if err != nil && !errors.Is(err, p2p.ErrHasIdentity) {
				return errors.Join(fmt.Errorf("%s: %w", n.cfg.Name, err), first.failure())
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, n := range cluster[1:] {
		if err := n.start(); err != nil {
			return err
		}
	}
	return nil
}

// start runs the daemon; it must be called by the thread that runDev holds.
func (n *devNode) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(n.cfg.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	n.cmd = exec.Command(self, "daemon", "--config", n.file)
	n.cmd.Stderr = log
	// MUSTER_… would win over the file: MUSTER_API is also what `muster nodes` asks.
	n.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MUSTER_") })
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := n.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.cfg.Name, err)
	}
	n.exited = make(chan struct{})
	go func() {
		n.err = n.cmd.Wait()
		close(n.exited)
	}()
	return nil
}

// failure tells why the daemon ended; nil while it runs.
func (n *devNode) failure() error {
	select {
	case <-n.exited:
		return fmt.Errorf("%s ended (%w); the end of its log:\n%s", n.cfg.Name, exitOf(n.err), tail(n.cfg.LogFile, logTail))
	default:
		return nil
	}
}

func exitOf(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// tail returns the last bytes of a file, from the beginning of a line.
func tail(file string, size int64) string {
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	data := make([]byte, min(size, info.Size()))
	n, err := f.ReadAt(data, info.Size()-int64(len(data)))
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	text := string(data[:n])
	if _, rest, found := strings.Cut(text, "\n"); found && info.Size() > size {
		text = rest
	}
	return strings.TrimRight(text, "\n")
}

// awaitLeader returns the leader's name once every node answers and knows it.
func awaitLeader(ctx context.Context, cluster []*devNode) (string, error) {
	var leader string
	for _, n := range cluster {
		for {
			if err := n.failure(); err != nil {
				return "", err
			}
			nodes, err := fetchNodes(ctx, n.cfg.API)
			if err == nil && leaderName(nodes) != "" && len(nodes.Nodes) == len(cluster) {
				leader = leaderName(nodes)
				break
			}
			select {
			case <-ctx.Done():
				return "", fmt.Errorf("%s found no leader within %v: see %s", n.cfg.Name, devStart, n.cfg.LogFile)
			case <-time.After(devPoll):
			}
		}
	}
	return leader, nil
}

func printDev(out io.Writer, cluster []*devNode, leader string) {
	p := &printer{w: out}
	var rows [][]string
	for _, n := range cluster {
		role := ""
		if n.cfg.Name == leader {
			role = "leader"
		}
		rows = append(rows, []string{n.cfg.Name, "http://" + n.cfg.API, "http://" + n.cfg.AgentAPI, fmt.Sprint(n.cmd.Process.Pid), role})
	}
	p.line("")
	p.table([]string{"NODE", "API", "AGENT", "PID", ""}, rows)
	p.line("")
	p.line("Frameworks may connect to any of the APIs. In another terminal:")
	p.line("  muster run -- echo hello        muster nodes        muster tasks        muster usage")
	p.line("A daemon that was killed is started again with: muster daemon --config %s", cluster[0].file)
	p.line("Ctrl-C ends the cluster and its tasks.")
}

// watchDev waits for Ctrl-C and tells of daemons that end before it.
func watchDev(ctx context.Context, out io.Writer, cluster []*devNode) error {
	ended := make(chan *devNode, len(cluster))
	for _, n := range cluster {
		go func() {
			<-n.exited
			ended <- n
		}()
	}
	for running := len(cluster); running > 0; running-- {
		select {
		case <-ctx.Done():
			return nil
		case n := <-ended:
			if ctx.Err() == nil {
				fmt.Fprintf(out, "%s ended (%v); start it again with: muster daemon --config %s\n", n.cfg.Name, exitOf(n.err), n.file)
			}
		}
	}
	<-ctx.Done() // daemons may have been started again by hand
	return nil
}

// stopDev ends the daemons and then what they ran.
func stopDev(out io.Writer, cluster []*devNode) error {
	fmt.Fprintln(out, "stopping …")
	for _, n := range cluster {
		n.stop()
	}
	var errs []error
	for _, n := range cluster {
		errs = append(errs, n.clear())
	}
	return errors.Join(errs...)
}

// clear ends what n ran, and before it a daemon that was started again by hand.
func (n *devNode) clear() error {
	unlock, err := lockDir(n.cfg.Dir)
	var busy busyError
	if errors.As(err, &busy) && busy.pid > 0 {
		_ = syscall.Kill(busy.pid, syscall.SIGTERM) // it may have ended
		for end := time.Now().Add(devStop); errors.As(err, &busy) && time.Now().Before(end); {
			time.Sleep(devPoll)
			unlock, err = lockDir(n.cfg.Dir)
		}
	}
	if err != nil {
		return err
	}
	defer unlock()
	_, err = endTasks(context.Background(), n.cfg)
	return err
}

// stop ends the daemon; one that does not listen is killed.
func (n *devNode) stop() {
	if n.cmd == nil || n.exited == nil {
		return
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-n.exited:
	case <-time.After(devStop):
		_ = n.cmd.Process.Kill()
		<-n.exited
	}
}

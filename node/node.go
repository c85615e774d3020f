package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"muster/consensus"
	"muster/node/agent"
	"muster/node/api"
	"muster/node/auth"
	"muster/node/link"
	"muster/node/master"
	"muster/node/recording"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/p2p"
	"muster/telemetry"
	"muster/telemetry/metrics"
)

// Node is one member of a cluster.
type Node struct {
	cfg     Config
	log     *slog.Logger
	started time.Time
	metrics *metrics.Set

	mesh     *p2p.Mesh
	quorum   *consensus.Quorum
	master   *master.Master
	monitor  *telemetry.Monitor
	agent    *agent.Agent
	lender   *agent.Lender
	agents   *link.Uplink[*protocol.AgentToMaster, *protocol.MasterToAgent]
	gateway  *api.Gateway
	gateways *link.Uplink[*protocol.GatewayToMaster, *protocol.MasterToGateway]
	views    *link.Views
}

// The mesh's protocols, besides link.ViewProtocol.
const (
	raftProtocol    = "raft/1"
	agentProtocol   = "agent/1"
	gatewayProtocol = "gateway/1"
)

// New assembles the node that cfg.Dir is a member's directory of. cfg has been
// through Defaults. Nothing runs before Run.
func New(cfg Config, m Machine, log *slog.Logger) (*Node, error) {
	n := &Node{cfg: cfg, log: log, started: time.Now(), metrics: metrics.New()}
	var err error
	// The mesh first: all else speaks through it.
	if n.mesh, err = p2p.New(n.meshConfig()); err != nil {
		return nil, err
	}
	// The quorum replicates over the mesh; its leader runs the master.
	if n.quorum, err = n.newQuorum(); err != nil {
		return nil, err
	}
	policy, err := cfg.policy()
	if err != nil {
		return nil, err
	}
	policy.Cluster = n.mesh.ClusterName()
	n.master = master.New(master.Config{Core: policy, Info: n.masterInfo, Record: recording.Config{
		Dir: cfg.Record, Effects: cfg.RecordEffects, Limit: int64(cfg.RecordLimit) << 20, Version: cfg.Version,
	}}, n.quorum, log)
	// The agent and the gateway reach whoever leads through a link each.
	self := string(n.mesh.ID())
	compass := compass{n.mesh.Directory()}
	n.agents = link.NewUplink(self, agentProtocol, compass, n.dialLink, n.master.Agents(), log)
	n.gateways = link.NewUplink(self, gatewayProtocol, compass, n.dialLink, n.master.Gateways(), log)
	n.views = link.NewViews(self, compass, n.dialLink, n.master.Leading, log)
	n.gateway = api.NewGateway(n.gateways, log)
	n.monitor = telemetry.NewMonitor(telemetry.Config{}, m.Source, log)
	if n.agent, err = agent.New(n.agentConfig(), m.Driver, n.monitor, n.agents, log); err != nil {
		return nil, err
	}
	// What the agent's tasks do not use is lent.
	if n.lender, err = n.newLender(m); err != nil {
		return nil, err
	}
	n.measure()
	return n, nil
}

func (n *Node) newQuorum() (*consensus.Quorum, error) {
	return consensus.New(consensus.Config{
		Node: string(n.mesh.ID()), Dir: n.cfg.quorumDir(),
		Heartbeat: n.cfg.Heartbeat, Voters: n.cfg.Voters, Log: n.log,
		Nodes: n.electable, OnLead: n.lead,
	}, consensus.Transport{
		Dial: func(ctx context.Context, peer string) (net.Conn, error) {
			return n.mesh.Dial(ctx, p2p.PeerID(peer), raftProtocol)
		},
		Listener: n.mesh.Listener(raftProtocol),
	})
}

func (n *Node) agentConfig() agent.Config {
	ip, port := hostPort(told(n.cfg.AgentAPI))
	c := agent.Config{
		Dir: n.cfg.agentDir(), Hostname: n.cfg.Hostname, IP: ip, Port: port,
		Resources: n.cfg.Resources, Attributes: n.cfg.Attributes, Version: n.cfg.Version,
		Domain: n.domain(),
	}
	return c
}

// domain tells where this node is, nil when nobody said. Both names are required.
func (n *Node) domain() *mesos.DomainInfo {
	if n.cfg.Region == "" && n.cfg.Zone == "" {
		return nil
	}
	return &mesos.DomainInfo{FaultDomain: &mesos.DomainInfo_FaultDomain{
		Region: &mesos.DomainInfo_FaultDomain_RegionInfo{Name: proto.String(n.cfg.Region)},
		Zone:   &mesos.DomainInfo_FaultDomain_ZoneInfo{Name: proto.String(n.cfg.Zone)},
	}}
}

// masterInfo describes this node as the leading master.
func (n *Node) masterInfo(id string) *mesos.MasterInfo {
	address := told(n.cfg.API)
	ip, port := hostPort(address)
	return &mesos.MasterInfo{
		Id: &id, Ip: proto.Uint32(networkOrder(ip)), Port: proto.Uint32(uint32(port)),
		Pid: proto.String("master@" + address), Hostname: proto.String(n.cfg.Hostname), Version: proto.String(n.cfg.Version),
		Address: &mesos.Address{Hostname: proto.String(n.cfg.Hostname), Ip: proto.String(ip), Port: proto.Int32(int32(port))},
		Domain:  n.domain(),
		Capabilities: []*mesos.MasterInfo_Capability{
			{Type: mesos.MasterInfo_Capability_AGENT_UPDATE.Enum()},
			{Type: mesos.MasterInfo_Capability_AGENT_DRAINING.Enum()},
		},
	}
}

// networkOrder is an IPv4 address as MasterInfo holds it: its bytes as they lie
// in memory on the wire, read as a little-endian number. 0 for any other.
func networkOrder(ip string) uint32 {
	a, err := netip.ParseAddr(ip)
	if err != nil || !a.Unmap().Is4() {
		return 0
	}
	b := a.Unmap().As4()
	return binary.LittleEndian.Uint32(b[:])
}

// Run is the node's life. It ends when ctx does, or when a part of it fails.
func (n *Node) Run(ctx context.Context) error {
	apiListener, err := net.Listen("tcp", n.cfg.API)
	if err != nil {
		return fmt.Errorf("the cluster's API: %w", err)
	}
	agentListener, err := net.Listen("tcp", n.cfg.AgentAPI)
	if err != nil {
		return errors.Join(fmt.Errorf("the agent's API: %w", err), apiListener.Close())
	}
	masterHandler, agentHandler, err := n.handlers()
	if err != nil {
		return errors.Join(err, apiListener.Close(), agentListener.Close())
	}
	if err := n.accept(); err != nil {
		return errors.Join(err, apiListener.Close(), agentListener.Close())
	}
	files, err := openFiles()
	if err != nil {
		return errors.Join(err, apiListener.Close(), agentListener.Close())
	}
	// The mesh outlives the rest: what ends says so through it.
	meshCtx, stopMesh := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMesh()
	meshEnded := make(chan error, 1)
	g, ctx := errgroup.WithContext(ctx)
	go func() { meshEnded <- n.mesh.Run(meshCtx) }()
	g.Go(func() error { return n.watchMesh(ctx, meshEnded) })
	g.Go(func() error { return n.runQuorum(ctx) })
	g.Go(func() error { return n.herald(ctx) })
	g.Go(func() error { return n.monitor.Run(ctx) })
	g.Go(func() error { return n.agent.Run(ctx) })
	g.Go(func() error { return n.lender.Run(ctx) })
	g.Go(func() error { return n.agents.Run(ctx, n.agent) })
	g.Go(func() error { return n.gateways.Run(ctx, n.gateway) })
	g.Go(func() error { return n.views.Run(ctx) })
	g.Go(func() error { return n.serveMembers(ctx) })
	g.Go(func() error { return api.Serve(ctx, apiListener, masterHandler, files*5/8, n.log) })
	g.Go(func() error { return api.Serve(ctx, agentListener, agentHandler, files/8, n.log) })
	err = g.Wait()
	stopMesh()
	return errors.Join(err, <-meshEnded)
}

// runQuorum waits for the mesh: who leads must be able to say so.
func (n *Node) runQuorum(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.mesh.Ready():
	}
	n.log.Info("node runs", "peer", n.mesh.ID(), "name", n.cfg.Name, "api", n.cfg.API, "agent_api", n.cfg.AgentAPI)
	return n.quorum.Run(ctx)
}

// openFiles is how many files the daemon may have open. HTTP clients get three
// quarters of them; checkpoints, the quorum's log, the mesh and the starting of
// tasks need the rest.
func openFiles() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	return int(min(limit.Cur, 1<<20)), nil
}

// watchMesh ends the node if the mesh ends before it.
func (n *Node) watchMesh(ctx context.Context, ended chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		ended <- nil
		return errors.Join(errors.New("the mesh ended"), err)
	}
}

// handlers builds both HTTP APIs.
func (n *Node) handlers() (masterAPI, agentAPI http.Handler, err error) {
	cfg := api.Config{
		Version: &mesos.VersionInfo{Version: proto.String(n.cfg.Version)},
		Started: float64(n.started.UnixNano()) / 1e9,
		Flags:   n.flags(),
	}
	if n.cfg.Secrets != "" {
		if cfg.Auth, err = auth.FromFile(n.cfg.Secrets); err != nil {
			return nil, nil, fmt.Errorf("%w: secrets: %w", ErrConfig, err)
		}
	}
	files := api.NewFiles(n.agent, n.cfg.LogFile)
	own := n.own()
	masterAPI = api.Master(cfg, n.gateway, n.views, files, n.metrics, own)
	agentAPI = api.Agent(cfg, n.agent, n.monitor, files, n.metrics, own)
	return masterAPI, agentAPI, nil
}

// flags are the settings that /flags and /state show.
func (n *Node) flags() map[string]string {
	return map[string]string{
		"work_dir": n.cfg.agentDir(), "hostname": n.cfg.Hostname, "cluster": n.mesh.ClusterName(),
		"api": n.cfg.API, "agent_api": n.cfg.AgentAPI, "attributes": n.cfg.Attributes, "resources": n.cfg.Resources,
		"quorum": fmt.Sprint(n.cfg.Voters/2 + 1), "authenticate_http": fmt.Sprint(n.cfg.Secrets != ""), "log_file": n.cfg.LogFile,
		"weights":                                n.cfg.Weights,
		"min_allocatable_resources":              cmp.Or(n.cfg.MinAllocatable, "cpus:0.01|mem:32"),
		"split_offers":                           n.cfg.SplitOffers,
		"offer_constraints_re2_max_mem":          fmt.Sprint(cmp.Or(n.cfg.ConstraintMemory, 4096)),
		"offer_constraints_re2_max_program_size": fmt.Sprint(cmp.Or(n.cfg.ConstraintSize, 100)),
		"pid":                                    fmt.Sprint(os.Getpid()),
	}
}

// Token is how others may join now, with this node's addresses.
func (n *Node) Token() p2p.Token { return n.mesh.Token() }

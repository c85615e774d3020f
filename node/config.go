package node

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"muster/isolate"
	"muster/telemetry"
)

// Config of a node, as the configuration file, the environment and flags give it.
type Config struct {
	Dir      string `mapstructure:"dir"`      // all that the node keeps [/var/lib/muster]
	Name     string `mapstructure:"name"`     // this node's name [the host's name]
	Hostname string `mapstructure:"hostname"` // as offers tell it [the host's name]

	Listen   string `mapstructure:"listen"`    // IP of the mesh [0.0.0.0]
	MeshPort int    `mapstructure:"mesh_port"` // TCP and QUIC [5055]
	NoMDNS   bool   `mapstructure:"no_mdns"`   // do not look for members on the local network

	API      string `mapstructure:"api"`       // ip:port of the cluster's API [127.0.0.1:5050]
	AgentAPI string `mapstructure:"agent_api"` // ip:port of this node's agent API [127.0.0.1:5051]
	Secrets  string `mapstructure:"secrets"`   // file of principals and their secrets, a pair a line; "" lets everybody call

	Resources  string `mapstructure:"resources"`  // as "cpus:4;mem:8192"; what it does not name is detected
	Attributes string `mapstructure:"attributes"` // as "rack:a;zone:west"
	Region     string `mapstructure:"region"`
	Zone       string `mapstructure:"zone"`

	Voters       int           `mapstructure:"voters"`        // of the quorum, once there are nodes enough; odd [3]
	Heartbeat    time.Duration `mapstructure:"heartbeat"`     // of the quorum [500ms]
	OfferTimeout time.Duration `mapstructure:"offer_timeout"` // how long an offer may be held [5m]

	PingTimeout       time.Duration `mapstructure:"agent_ping_timeout"`       // how often an agent is to be heard of [15s]
	PingTimeouts      int           `mapstructure:"max_agent_ping_timeouts"`  // so many of them missed, and it is unreachable [5]
	ReregisterTimeout time.Duration `mapstructure:"agent_reregister_timeout"` // how long it may be away when its link broke or the leader changed [10m]
	RemovalRateLimit  string        `mapstructure:"agent_removal_rate_limit"` // of agents given up, as "1/10m" [no limit]
	RegistryGC        time.Duration `mapstructure:"registry_gc_interval"`     // how often agents that are unreachable or gone are forgotten [15m]
	RegistryAge       time.Duration `mapstructure:"registry_max_agent_age"`   // after so long [2 weeks]
	RegistryCount     int           `mapstructure:"registry_max_agent_count"` // or beyond so many of them [102400]

	MaxCompletedFrameworks int `mapstructure:"max_completed_frameworks"`            // how many are remembered; negative: none [50]
	MaxCompletedTasks      int `mapstructure:"max_completed_tasks_per_framework"`   // the same of its tasks that have ended [1000]
	MaxUnreachableTasks    int `mapstructure:"max_unreachable_tasks_per_framework"` // the same of those whose agents are unreachable [1000]

	Roles             string `mapstructure:"roles"`               // to which frameworks may subscribe, as "web,db", besides "*" [any]
	NoRootSubmissions bool   `mapstructure:"no_root_submissions"` // refuse frameworks whose user is root
	HomeRegion        string `mapstructure:"home_region"`         // agents of other regions are for region-aware frameworks [that of the node which founded the cluster, or else of the leader]

	FrameworkQPS      int    `mapstructure:"framework_qps"`      // calls a second of each framework; negative: any number [5000]
	FrameworkCapacity int    `mapstructure:"framework_capacity"` // of them at once, after a pause [four seconds' worth]
	RateLimits        string `mapstructure:"rate_limits"`        // of principals, as Mesos's JSON [none]

	Weights        string `mapstructure:"weights"`                   // of roles in a cluster that was given none, as "web=2,db=0.5"
	MinAllocatable string `mapstructure:"min_allocatable_resources"` // the least that is offered, alternatives between "|" ["cpus:0.01|mem:32"]

	AllocationInterval time.Duration `mapstructure:"allocation_interval"`                  // how often all agents are offered, besides the events that cause an offer [1s]
	UnfairNames        string        `mapstructure:"fair_sharing_excluded_resource_names"` // scalars that no share counts, as "gpus,licenses" [none]
	GPUsForAll         bool          `mapstructure:"offer_gpus_to_all"`                    // agents with GPUs are offered to frameworks without GPU_RESOURCES too
	RecoveryTimeout    time.Duration `mapstructure:"allocator_recovery_timeout"`           // after a leader change with quotas: how long offers wait for agents to be back [10m]
	RecoveryFactor     float64       `mapstructure:"allocator_agent_recovery_factor"`      // for which part of them [0.8]

	SplitOffers      string `mapstructure:"split_offers"`                           // the least part of an agent that is split among frameworks without anything, as "cpus:1;mem:1024" [none is split]
	ConstraintMemory int    `mapstructure:"offer_constraints_re2_max_mem"`          // bytes that a regular expression in offer constraints may take [4096]
	ConstraintSize   int    `mapstructure:"offer_constraints_re2_max_program_size"` // instructions that it may have [100]

	// Record is the directory in which every decision that this node makes while it
	// leads is kept for `muster replay` [not at all].
	Record        string `mapstructure:"record"`
	RecordEffects bool   `mapstructure:"record_effects"` // keep what was decided too, not only its hash
	RecordLimit   int    `mapstructure:"record_limit"`   // MB of all recordings there together [1024]

	// Oversubscription: what tasks were allocated and are predicted not to use is lent.
	Oversubscription   string        `mapstructure:"oversubscription"`                  // on or off [off]
	Estimator          string        `mapstructure:"oversubscription_estimator"`        // of what tasks will use at most [learned]
	EstimateTarget     float64       `mapstructure:"oversubscription_target"`           // share of its predictions that may be exceeded [.01]
	EstimateHorizon    time.Duration `mapstructure:"oversubscription_horizon"`          // how far it looks ahead [1h]
	EstimateStep       time.Duration `mapstructure:"oversubscription_step"`             // it reckons in means of this long [5m]
	EstimateWarm       time.Duration `mapstructure:"oversubscription_warm"`             // a task known for less counts with all it was allocated [1h]
	LendMargin         float64       `mapstructure:"oversubscription_margin"`           // share of the node that is never lent [.05]
	LendMem            float64       `mapstructure:"oversubscription_mem_share"`        // of memory that stays free, so much is lent [.5]
	LendInterval       time.Duration `mapstructure:"oversubscribed_resources_interval"` // what is lent grows at most so often; it shrinks at once [15s]
	SystemCPUs         string        `mapstructure:"oversubscription_system_cpus"`      // that what is no task keeps busy and tasks cannot have [as measured]
	QoS                string        `mapstructure:"qos"`                               // hold revocable tasks back where others suffer: on or off [on]
	CorrectionInterval time.Duration `mapstructure:"qos_correction_interval_min"`       // between evictions [20s]
	MemoryHigh         float64       `mapstructure:"qos_memory_high"`                   // share of the machine's memory in use above which they are evicted [.7]

	LogFile string `mapstructure:"log_file"` // readable as /master/log [standard error]
	Version string `mapstructure:"-"`
}

// Machine is what a node runs tasks and measures them with.
type Machine struct {
	Driver isolate.Driver
	Source telemetry.Source
}

// ErrConfig is wrapped by errors about a setting; their text names it.
var ErrConfig = errors.New("configuration")

// Defaults returns c with every unset setting at its default, or says which one is wrong.
func (c Config) Defaults() (Config, error) {
	host, err := os.Hostname()
	if err != nil {
		return c, fmt.Errorf("%w: the host's name: %w", ErrConfig, err)
	}
	c.Dir = cmp.Or(c.Dir, "/var/lib/muster")
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return c, fmt.Errorf("%w: dir: %w", ErrConfig, err)
	}
	c.Name = cmp.Or(c.Name, host)
	c.Hostname = cmp.Or(c.Hostname, host)
	c.Listen = cmp.Or(c.Listen, "0.0.0.0")
	if _, err := netip.ParseAddr(c.Listen); err != nil {
		return c, fmt.Errorf("%w: listen: %q is not an IP address", ErrConfig, c.Listen)
	}
	c.MeshPort = cmp.Or(c.MeshPort, 5055)
	if c.MeshPort < 1 || c.MeshPort > 65535 {
		return c, fmt.Errorf("%w: mesh_port: %d is not a port", ErrConfig, c.MeshPort)
	}
	c.API = cmp.Or(c.API, "127.0.0.1:5050")
	c.AgentAPI = cmp.Or(c.AgentAPI, "127.0.0.1:5051")
	for name, addr := range map[string]string{"api": c.API, "agent_api": c.AgentAPI} {
		ap, err := netip.ParseAddrPort(addr)
		if err != nil {
			return c, fmt.Errorf("%w: %s: %q is not ip:port", ErrConfig, name, addr)
		}
		if !ap.Addr().IsLoopback() && c.Secrets == "" {
			return c, fmt.Errorf("%w: %s: %s can be reached from other hosts: give credentials (secrets), or listen on 127.0.0.1", ErrConfig, name, addr)
		}
	}
	for name, d := range map[string]time.Duration{
		"heartbeat": c.Heartbeat, "offer_timeout": c.OfferTimeout,
		"allocation_interval": c.AllocationInterval, "allocator_recovery_timeout": c.RecoveryTimeout,
		"agent_ping_timeout":       c.PingTimeout,
		"agent_reregister_timeout": c.ReregisterTimeout, "registry_gc_interval": c.RegistryGC,
		"registry_max_agent_age": c.RegistryAge,
	} {
		if d < 0 {
			return c, fmt.Errorf("%w: %s: %v is negative", ErrConfig, name, d)
		}
	}
	if c.Record != "" {
		if c.Record, err = filepath.Abs(c.Record); err != nil {
			return c, fmt.Errorf("%w: record: %w", ErrConfig, err)
		}
	}
	if c.RecordLimit < 0 {
		return c, fmt.Errorf("%w: record_limit: %d is negative", ErrConfig, c.RecordLimit)
	}
	c.RecordLimit = cmp.Or(c.RecordLimit, 1024)
	if _, err := c.lending(); err != nil {
		return c, err
	}
	c.Voters = cmp.Or(c.Voters, 3)
	if c.Voters < 1 || c.Voters%2 == 0 {
		return c, fmt.Errorf("%w: voters: %d is not an odd number", ErrConfig, c.Voters)
	}
	_, err = c.policy()
	return c, err
}

// The folders of a node's directory.
func (c Config) identityDir() string { return filepath.Join(c.Dir, "identity") }
func (c Config) quorumDir() string   { return filepath.Join(c.Dir, "quorum") }
func (c Config) agentDir() string    { return filepath.Join(c.Dir, "agent") }

func (c Config) meshAddress() string { return net.JoinHostPort(c.Listen, strconv.Itoa(c.MeshPort)) }

// ContainerDir is where the driver keeps its containers.
func (c Config) ContainerDir() string { return filepath.Join(c.Dir, "containers") }

// told is the address at which others are told to find a listener: that of an
// interface for one which listens on all.
func told(listen string) string {
	ap, err := netip.ParseAddrPort(listen)
	if err != nil || !ap.Addr().IsUnspecified() {
		return listen
	}
	for _, a := range interfaceAddresses() {
		if a.Is4() || ap.Addr().Is6() {
			return netip.AddrPortFrom(a, ap.Port()).String()
		}
	}
	return listen
}

// hostPort splits an address that Defaults has checked.
func hostPort(addr string) (host string, port int) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, 0
	}
	port, err = strconv.Atoi(text)
	if err != nil {
		return host, 0
	}
	return host, port
}

package offers

import (
	"time"

	"muster/offers/allocator"
	"muster/offers/mesos"
	"muster/offers/registry"
	"muster/offers/resource"
)

// Rate is how many calls are served.
type Rate struct {
	QPS      float64 // calls a second in the long run; not positive: any number
	Capacity int     // of them at once, after a pause
}

// DefaultRate is that of a framework for which none is set. It is generous: it stops
// loops without a pause, and no scheduler that works. The capacity is a call for each
// agent of a large cluster.
var DefaultRate = Rate{QPS: 5000, Capacity: 20_000}

// Config is what one leadership decides by. The zero value of a field is the
// default in brackets.
type Config struct {
	MasterID string            // UUID of this leadership; the prefix of the IDs it gives
	Info     *mesos.MasterInfo // as frameworks see this master [ID only]
	Term     uint64            // goes with every message, so that a deposed leader is refused
	Cluster  string            // name of the cluster
	Elected  time.Time         // when the leadership began
	Seed     uint64            // of the allocator's shuffles

	MinAllocatable     []resource.Quantities   // an offer has all of one of these, unless its framework asks for others; empty, not nil: anything [cpus:0.01 or mem:32]
	Split              resource.Quantities     // the least part of an agent that is split among frameworks without anything [none is split]
	UnfairNames        []string                // scalars that no share counts, such as gpus [none]
	GPUsForAll         bool                    // agents with GPUs are offered to frameworks without the capability too
	RecoveryFactor     float64                 // after a leader change with quotas: which part of the agents has to be back before offers are made [0.8]
	RecoveryTimeout    time.Duration           // how long offers wait for that at the most [10m]
	ConstraintPatterns allocator.PatternLimits // what regular expressions in offer constraints may cost

	AllocationInterval time.Duration // how often all agents are offered, besides the events that cause an offer [1s]
	OfferTimeout       time.Duration // how long an offer may be held; negative: for ever [5m]
	HeartbeatInterval  time.Duration // of a framework's stream, as SUBSCRIBED announces it [15s]

	AgentHeartbeat    time.Duration // how often an agent is to send one [15s]
	AgentTimeout      time.Duration // silence after which an agent is unreachable [75s]
	ReregisterTimeout time.Duration // how long an agent may take to come back after its link broke or the leader changed [10m]

	// GatewayGrace is how long sessions of a broken gateway link are kept: the
	// gateway announces them again within seconds. After a leader change it is
	// counted before the failover timeout of every framework. [10s]
	GatewayGrace time.Duration

	// AgentRemovalInterval is how long at least passes between two agents that are
	// given up because they are silent or away; an agent that is heard meanwhile is
	// not. [no time]
	AgentRemovalInterval time.Duration

	// FrameworkRate is that of each framework whose principal has no rate of its own. [DefaultRate]
	FrameworkRate Rate
	// PrincipalRates are those of all frameworks of a principal together.
	PrincipalRates map[string]Rate
	// OthersRate is that of all frameworks together whose principal has none. [no limit]
	OthersRate Rate

	RegistryGCInterval time.Duration // how often agents that departed long ago are forgotten [15m]
	AgentCount         int           // unreachable and gone agents remembered after that, together [102400]

	// Weights of roles in a cluster that has been given none: the registry keeps what
	// is set later.
	Weights map[string]float64

	AgentAge  time.Duration // after which an unreachable or gone agent is forgotten [2 weeks]
	MaxOutbox int           // events kept for a session whose gateway is away [1000]

	// How much history is remembered; negative: none.
	MaxCompletedFrameworks int // [50]
	MaxCompletedTasks      int // of each framework [1000]
	MaxUnreachableTasks    int // of each framework [1000]

	Roles             []string // to which frameworks may subscribe, besides "*" [any]
	NoRootSubmissions bool     // frameworks whose user is root are refused
	HomeRegion        string   // agents of other regions are for the region-aware [that of the cluster's founder, or else of this master]
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.AllocationInterval, time.Second)
	def(&c.OfferTimeout, 5*time.Minute)
	def(&c.HeartbeatInterval, 15*time.Second)
	def(&c.AgentHeartbeat, 15*time.Second)
	def(&c.AgentTimeout, 75*time.Second)
	def(&c.ReregisterTimeout, 10*time.Minute)
	def(&c.GatewayGrace, 10*time.Second)
	def(&c.AgentAge, 14*24*time.Hour)
	def(&c.RegistryGCInterval, 15*time.Minute)
	if c.FrameworkRate == (Rate{}) {
		c.FrameworkRate = DefaultRate
	}
	if c.AgentCount == 0 {
		c.AgentCount = registry.MaxDepartedAgents
	}
	if c.MaxOutbox == 0 {
		c.MaxOutbox = 1000
	}
	bound := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	bound(&c.MaxCompletedFrameworks, 50)
	bound(&c.MaxCompletedTasks, 1000)
	bound(&c.MaxUnreachableTasks, 1000)
	return c
}

package allocator

import (
	"math/rand/v2"
	"time"

	"muster/offers/mesos"
	"muster/offers/resource"
)

// Config is the policy. The zero value is the default.
type Config struct {
	MinAllocatable      []resource.Quantities // an offer has all of one of these [cpus:0.01 or mem:32]; empty, not nil: anything
	AllocationInterval  time.Duration         // how often all agents are considered [1s]
	Seed                uint64                // of the order in which agents are considered
	ExcludeFromFairness []string              // names of scalars that no share counts, such as gpus
	GPUsForAll          bool                  // agents with GPUs are offered to frameworks without the capability too
	Split               resource.Quantities   // the least part into which a large agent is split for those who have nothing [none is split]
	Region              string                // of the cluster; agents elsewhere are for the region-aware [no region is remote]
	RecoveryFactor      float64               // of the agents that Await expects: how many are enough [0.8]
	RecoveryTimeout     time.Duration         // how long Await holds offers back at the most [10m]
}

// Capabilities say what a framework understands.
type Capabilities struct {
	Revocable      bool // resources that may be taken back
	GPU            bool // agents with GPUs
	Shared         bool // volumes used by several tasks
	PartitionAware bool // concerns task states, not offers
	MultiRole      bool // concerns the form of offers
	Refinement     bool // reservations on top of reservations
	RegionAware    bool // agents of other regions
}

// FrameworkOptions is what is known of a framework.
type FrameworkOptions struct {
	Roles          []string
	Suppressed     []string // those of Roles that want no offers now
	Capabilities   Capabilities
	MinAllocatable map[string][]resource.Quantities // by role, instead of Config's
	Constraints    Constraints                      // on agents, by role
	Active         bool                             // connected
}

// AgentOptions is what is known of an agent.
type AgentOptions struct {
	Hostname   string
	Total      resource.Set
	Attributes []*mesos.Attribute
	Domain     *mesos.DomainInfo

	NoMultiRole         bool // an old one, which does not know frameworks of several roles
	NoHierarchicalRoles bool // an old one, which does not know roles below roles
}

// Offer is resources of one agent for one framework under one role. They count
// as allocated from when Allocate returns it until they are recovered.
type Offer struct {
	Framework, Role, Agent string
	Resources              resource.Set // allocated to Role
}

// Allocator holds the account. Make it with New.
type Allocator struct {
	cfg  Config
	rand *rand.Rand

	frameworks map[string]*framework
	agents     map[string]*agent
	list       []*agent // every agent, in no order that matters
	open       []*agent // active and something available
	touched    []*agent // to consider at the next Allocate
	fresh      []*client
	all        bool // consider every open agent
	root       *role
	roles      map[string]*role
	slots      slots
	screens    screens
	demanding  []*client // that asked for something in particular
	revision   uint64    // of what decides which demands could be met

	total   resource.Quantities // of all agents
	measure resource.Quantities // total, when shares were last renewed
	shares  resource.Quantities // measure, without what fairness excludes
	version uint64              // of shares

	quotas   int                 // roles that have one
	headroom resource.Quantities // unreserved firm scalars that are available on active agents
	slack    resource.Limits     // the least surplus at which an agent was visited of which something was kept
	eased    []*role             // whose quota was bound and has more room now
	requota  bool                // a quota has changed since the last run

	origin    time.Time // of the clock below: the first time seen
	now       moment
	lastBatch moment
	expected  int    // agents that offers wait for, 0: none
	patience  moment // until when
	expiries  expiries
	filters   int // that are in force
	forgiven  int // that are not any more, and still there
	scratch   scratch
	held      []resource.Set // memory that recompute uses again
}

// moment is the time since the first event.
type moment int64

// New returns an allocator without agents and frameworks.
func New(cfg Config) *Allocator {
	if cfg.MinAllocatable == nil {
		cfg.MinAllocatable = defaultMinimum()
	}
	if cfg.AllocationInterval == 0 {
		cfg.AllocationInterval = time.Second
	}
	if cfg.RecoveryFactor == 0 {
		cfg.RecoveryFactor = 0.8
	}
	if cfg.RecoveryTimeout == 0 {
		cfg.RecoveryTimeout = 10 * time.Minute
	}
	a := &Allocator{
		cfg:        cfg,
		rand:       rand.New(rand.NewPCG(cfg.Seed, 0)),
		frameworks: make(map[string]*framework),
		agents:     make(map[string]*agent),
		roles:      make(map[string]*role),
	}
	a.root = newRole("", nil)
	return a
}

func defaultMinimum() []resource.Quantities {
	var out []resource.Quantities
	for _, text := range []string{"cpus:0.01", "mem:32"} {
		q, err := resource.ParseQuantities(text)
		if err != nil {
			panic(err) // the texts are constants
		}
		out = append(out, q)
	}
	return out
}

// observe moves the clock on.
func (a *Allocator) observe(now time.Time) {
	if a.origin.IsZero() {
		a.origin = now
	}
	a.now = max(a.now, moment(now.Sub(a.origin)))
}

// Await holds all offers back until enough of so many agents are there, or it has
// taken too long: quotas decided by what part of a cluster has would starve
// those who have none. Without quotas it does nothing: set them first.
// Mesos: src/master/allocator/mesos/hierarchical.cpp, recover.
func (a *Allocator) Await(now time.Time, agents int) {
	a.observe(now)
	if a.quotas > 0 {
		a.expected = int(float64(agents) * a.cfg.RecoveryFactor)
		a.patience = a.now + moment(a.cfg.RecoveryTimeout)
	}
}

// awaiting reports whether offers are held back.
func (a *Allocator) awaiting() bool {
	if len(a.list) >= a.expected || a.now >= a.patience {
		a.expected = 0
	}
	return a.expected > 0
}

// Next says when Allocate should be called again at the latest: at once after
// an event, else for a filter that ends or the next batch. Zero: only after an
// event.
func (a *Allocator) Next() time.Time {
	if a.awaiting() {
		return a.origin.Add(time.Duration(a.patience))
	}
	if len(a.touched) > 0 || a.all {
		return a.origin.Add(time.Duration(a.now))
	}
	if len(a.open) == 0 || len(a.frameworks) == 0 {
		return time.Time{}
	}
	next := a.lastBatch + moment(a.cfg.AllocationInterval)
	if at, some := a.expiries.first(); some {
		next = min(next, at)
	}
	return a.origin.Add(time.Duration(max(next, a.now)))
}

// setTotal takes in what all agents have together. Shares are measured against
// the total as it was, unless it has changed by more than an eighth, until the
// next batch: or each of ten thousand agents that come back would have every
// share computed and sorted again.
func (a *Allocator) setTotal(total resource.Quantities) {
	a.total = total
	if !near(a.measure, total) {
		a.renewShares()
	}
}

// renewShares makes every share be computed again when it is needed.
func (a *Allocator) renewShares() {
	if a.measure.Equal(a.total) {
		return
	}
	a.measure, a.shares = a.total, a.total
	if len(a.cfg.ExcludeFromFairness) > 0 {
		a.shares = a.total.Without(a.cfg.ExcludeFromFairness...)
	}
	a.version++
}

// near reports whether b is what a is, give or take an eighth.
func near(a, b resource.Quantities) bool {
	for name, v := range a.All {
		if w := b.Get(name); w < v-v/8 || w > v+v/8 {
			return false
		}
	}
	for name := range b.All {
		if a.Get(name) == 0 {
			return false
		}
	}
	return true
}

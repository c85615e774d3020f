package offers

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/allocator"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/registry"
	"muster/offers/view"
)

// Master decides for one leadership. It owns every agent, framework, task and
// offer the leader knows. One goroutine may use it at a time.
type Master struct {
	cfg   Config
	facts *registry.State // what is committed, as far as this core knows
	info  *mesos.MasterInfo
	now   time.Time
	out   []Effect // of this Step; a Step hands out a copy

	started bool

	links      map[Link]*link
	agents     map[string]*agent     // registered in this leadership, linked or not
	recovered  map[string]*recovered // known from the registry and not back yet
	peers      map[string]string     // the agent of each node
	admitting  map[string]bool       // agents on their way into the registry
	waiting    map[string]*link      // registrations that wait for an agent's way into or out of it
	frameworks map[string]*framework
	sessions   map[string]*session
	unheard    map[string]*framework // those with tasks that pending.go is about
	removed    map[string]bool       // frameworks torn down here, maybe not yet so in the registry
	offers     map[string]*offer
	inverse    map[string]*inverseOffer
	owed       map[string]*agent                             // see oweInverse
	windows    map[registry.MachineKey]*mesos.Unavailability // of the maintenance schedule
	removals   pace

	executing index[string, *agent]     // agents with executors, by framework
	operating index[string, *operation] // operations, by framework, known or not
	lost      index[string, *task]      // tasks of unreachable agents that frameworks remember, by agent
	holding   index[Link, *framework]   // those with calls that wait, by the link of these
	expecting index[string, *framework] // those that may be resumed, by session, as the registry had them at the start
	upkept    map[string]*agent         // those with maintenance ahead

	principals map[string]*bucket // of those with a rate of their own
	others     bucket             // of all other principals together

	quotaCalls    []func() // changes of quotas that wait for their turn
	quotaUnderWay bool     // one is on its way into the registry

	allocator *allocator.Allocator
	timers    timers
	proposals map[string][]func(error)
	dirty     dirty
	explains  explained
	uses      []allocator.Use // memory that is used again

	lastFramework, lastAgent, lastOffer, lastOperation int
}

// New returns a core that knows what the registry holds. It takes the state over:
// the caller uses it no longer. Its first input is Start.
func New(cfg Config, facts *registry.State) *Master {
	cfg = cfg.withDefaults()
	cfg.Elected = cfg.Elected.Round(0)
	if facts == nil {
		facts = registry.NewState()
	}
	info := cfg.Info
	if info == nil {
		info = &mesos.MasterInfo{Id: proto.String(cfg.MasterID), Ip: proto.Uint32(0), Port: proto.Uint32(5050)}
	}
	return &Master{
		cfg: cfg, facts: facts, info: info,
		links:      map[Link]*link{},
		agents:     map[string]*agent{},
		recovered:  map[string]*recovered{},
		peers:      map[string]string{},
		admitting:  map[string]bool{},
		waiting:    map[string]*link{},
		frameworks: map[string]*framework{},
		sessions:   map[string]*session{},
		unheard:    map[string]*framework{},
		removed:    map[string]bool{},
		offers:     map[string]*offer{},
		inverse:    map[string]*inverseOffer{},
		owed:       map[string]*agent{},
		windows:    windowsOf(facts.MaintenanceSchedule()),
		removals:   pace{every: cfg.AgentRemovalInterval},
		executing:  index[string, *agent]{},
		operating:  index[string, *operation]{},
		lost:       index[string, *task]{},
		holding:    index[Link, *framework]{},
		expecting:  index[string, *framework]{},
		upkept:     map[string]*agent{},
		principals: map[string]*bucket{},
		allocator: allocator.New(allocator.Config{
			AllocationInterval: cfg.AllocationInterval, Seed: cfg.Seed, MinAllocatable: cfg.MinAllocatable, Split: cfg.Split,
			ExcludeFromFairness: cfg.UnfairNames, GPUsForAll: cfg.GPUsForAll,
			RecoveryFactor: cfg.RecoveryFactor, RecoveryTimeout: cfg.RecoveryTimeout,
			Region: cmp.Or(cfg.HomeRegion, facts.Cluster().GetHomeRegion(), info.GetDomain().GetFaultDomain().GetRegion().GetName()),
		}),
		proposals: map[string][]func(error){},
	}
}

// maxSpare is how much room for effects is kept from one Step to the next.
const maxSpare = 4096

// Step takes one input at a time that never runs backwards and returns what is
// to be done, in order. No input makes it panic.
func (m *Master) Step(now time.Time, in Input) []Effect {
	now = now.Round(0) // the wall clock's reading alone: a recording holds no other
	if now.After(m.now) {
		m.now = now
	}
	m.out = m.out[:0] // a Step that panicked may have left some
	switch in := in.(type) {
	case Start:
		m.start()
	case AgentConnected:
		m.linked(in.Link, in.Peer, false)
	case GatewayConnected:
		m.linked(in.Link, in.Peer, true)
	case FromAgent:
		m.fromAgent(in.Link, in.Message)
	case FromGateway:
		m.fromGateway(in.Link, in.Message)
	case AgentDisconnected:
		m.unlinked(in.Link)
	case GatewayDisconnected:
		m.unlinked(in.Link)
	case Committed:
		m.committed(in)
	case Tick:
		m.tick()
	}
	m.publishChanges()
	out := slices.Clone(m.out)
	clear(m.out)
	if m.out = m.out[:0]; cap(m.out) > maxSpare {
		m.out = nil
	}
	return out
}

// Deadline returns when a Tick is due at the latest, zero when none is. It may
// lie in the past. Offers are made at a Tick, so that what many inputs in a row
// set free is offered at once.
func (m *Master) Deadline() time.Time {
	at := m.timers.next()
	if a := m.allocator.Next(); !a.IsZero() && (at.IsZero() || a.Before(at)) {
		at = a
	}
	if (m.dirty.resources() || len(m.owed) > 0) && (at.IsZero() || m.now.Before(at)) {
		at = m.now
	}
	return at
}

// tick does what is due.
func (m *Master) tick() {
	m.timers.due(m.now)
	m.makeOffers()
	m.makeInverseOffers()
	m.dirty.flush = true
}

// start brings in what the registry remembers.
func (m *Master) start() {
	if m.started {
		return
	}
	m.started = true
	m.publish(view.MasterEvent(&protocol.ViewEvent_Master{
		Info: m.info, Term: proto.Uint64(m.cfg.Term), Cluster: proto.String(m.cfg.Cluster),
		ElectedTime:                     proto.Float64(seconds(m.cfg.Elected)),
		MaxCompletedFrameworks:          proto.Int32(int32(max(0, m.cfg.MaxCompletedFrameworks))),
		MaxCompletedTasksPerFramework:   proto.Int32(int32(max(0, m.cfg.MaxCompletedTasks))),
		MaxUnreachableTasksPerFramework: proto.Int32(int32(max(0, m.cfg.MaxUnreachableTasks))),
	}))
	m.recoverRoles()
	for _, f := range m.facts.Frameworks() {
		m.recoverFramework(f)
	}
	for _, a := range m.facts.Agents() {
		m.recoverAgent(a)
	}
	m.dirty.maintenance = len(m.windows) > 0
	m.allocator.Await(m.now, len(m.recovered))
	m.scheduleAging()
}

func (m *Master) effect(e Effect) { m.out = append(m.out, e) }

func (m *Master) publish(e *protocol.ViewEvent) { m.effect(Publish{Event: e}) }

// seconds returns t as Mesos writes points in time: seconds since the Unix epoch.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func timeInfo(t time.Time) *mesos.TimeInfo {
	if t.IsZero() {
		return nil
	}
	return &mesos.TimeInfo{Nanoseconds: proto.Int64(t.UnixNano())}
}

func agentID(id string) *mesos.AgentID         { return &mesos.AgentID{Value: proto.String(id)} }
func frameworkID(id string) *mesos.FrameworkID { return &mesos.FrameworkID{Value: proto.String(id)} }
func taskID(id string) *mesos.TaskID           { return &mesos.TaskID{Value: proto.String(id)} }
func executorID(id string) *mesos.ExecutorID   { return &mesos.ExecutorID{Value: proto.String(id)} }
func offerID(id string) *mesos.OfferID         { return &mesos.OfferID{Value: proto.String(id)} }

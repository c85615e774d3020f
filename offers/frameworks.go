package offers

import (
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/allocator"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
	"muster/offers/registry"
	"muster/offers/resource"
	"muster/offers/view"
)

// framework is one framework that is not removed: subscribed, away, or known from
// the registry or an agent alone.
type framework struct {
	id        string
	info      *mesos.FrameworkInfo // with its ID
	caps      capabilities
	roles     []string
	admitted  bool     // the registry has it
	session   *session // nil while not connected
	expected  string   // the session that may be resumed, as the registry has it; empty: any
	missed    string   // the session that lost events and may not be resumed
	recovered bool     // has not been heard of in this leadership
	inherited bool     // an earlier leader may have served it
	awaited   bool     // its gateway should announce its session any moment
	active    bool     // is made offers
	deadline  *timer   // armed while not connected: what happens if it stays away

	wishes
	requests     []*mesos.Request // what it asked for
	tasks        map[string]*task
	unreachable  map[string]*task // of agents that are unreachable
	lost         []string         // the unreachable ones, those lost first first
	offers       map[string]*offer
	operations   map[string][]*operation            // by the ID it gave them; see addOperation
	done         recent                             // tasks whose end it has acknowledged
	ended        recent                             // operations, the same
	calls        bucket                             // of those it may make
	held         []heldCall                         // calls that wait for its session to be announced again
	unanswered   map[string]map[string]*pendingTask // by agent and task: see pending.go
	used         resource.Set                       // scalars of tasks and executors
	offered      resource.Set                       // scalars of offers
	stale        staleness
	registered   time.Time
	reregistered time.Time
}

// wishes are what a framework says with its subscription of the offers it wants.
type wishes struct {
	suppressed  []string // roles
	constraints *scheduler.OfferConstraints
	compiled    allocator.Constraints
}

// wish takes in what a framework wants, its constraints made fast.
func (m *Master) wish(suppressed []string, c *scheduler.OfferConstraints) (wishes, error) {
	compiled, err := allocator.CompileConstraints(m.cfg.ConstraintPatterns, c)
	if err != nil {
		return wishes{}, answerf("Offer constraints are not valid: %v", err)
	}
	return wishes{suppressed, c, compiled}, nil
}

// recent remembers some thousand IDs, the last ones added.
type recent struct{ young, old map[string]bool }

func (r *recent) add(id string) {
	if len(r.young) >= 2000 {
		r.old, r.young = r.young, nil
	}
	if r.young == nil {
		r.young = map[string]bool{}
	}
	r.young[id] = true
}

func (r *recent) has(id string) bool { return r.young[id] || r.old[id] }

// capabilities are what a framework says it understands.
type capabilities struct {
	revocable, taskKilling, gpu, shared, partitionAware, multiRole, refinement, regionAware bool
}

func capabilitiesOf(info *mesos.FrameworkInfo) capabilities {
	var c capabilities
	for _, cap := range info.GetCapabilities() {
		switch cap.GetType() {
		case mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES:
			c.revocable = true
		case mesos.FrameworkInfo_Capability_TASK_KILLING_STATE:
			c.taskKilling = true
		case mesos.FrameworkInfo_Capability_GPU_RESOURCES:
			c.gpu = true
		case mesos.FrameworkInfo_Capability_SHARED_RESOURCES:
			c.shared = true
		case mesos.FrameworkInfo_Capability_PARTITION_AWARE:
			c.partitionAware = true
		case mesos.FrameworkInfo_Capability_MULTI_ROLE:
			c.multiRole = true
		case mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT:
			c.refinement = true
		case mesos.FrameworkInfo_Capability_REGION_AWARE:
			c.regionAware = true
		}
	}
	return c
}

// rolesOf returns the roles a framework subscribes to.
func rolesOf(info *mesos.FrameworkInfo) []string {
	if capabilitiesOf(info).multiRole {
		return info.GetRoles()
	}
	return []string{info.GetRole()}
}

// addFramework brings in a framework; the allocator is told once it is admitted.
func (m *Master) addFramework(info *mesos.FrameworkInfo) *framework {
	f := &framework{
		id:          info.GetId().GetValue(),
		tasks:       map[string]*task{},
		unreachable: map[string]*task{},
		offers:      map[string]*offer{},
		operations:  map[string][]*operation{},
		unanswered:  map[string]map[string]*pendingTask{},
	}
	f.set(info)
	m.frameworks[f.id] = f
	m.adoptOperations(f)
	return f
}

func (f *framework) set(info *mesos.FrameworkInfo) {
	f.info = info
	f.caps = capabilitiesOf(info)
	f.roles = rolesOf(info)
}

// connected reports whether the framework has an event stream, be its gateway away or not.
func (f *framework) connected() bool { return f.admitted && f.session != nil }

// begun reports whether the framework's calls are served.
func (f *framework) begun() bool { return f.connected() && f.session.begun }

// recoverFramework brings in a framework that an earlier leader admitted. It may
// come back until its failover timeout is over, counted from when its gateway
// should have announced it again.
func (m *Master) recoverFramework(r *registry.Framework) {
	f := m.addFramework(r.GetInfo())
	f.admitted, f.recovered, f.inherited = true, true, true
	f.expected, f.missed = r.GetSessionId(), r.GetMissedSessionId()
	f.registered = m.now
	if f.expected != "" {
		m.expecting.add(f.expected, f)
	}
	m.allocator.AddFramework(m.now, f.id, f.options())
	grace := m.now.Add(m.cfg.GatewayGrace)
	if r.Deadline == nil {
		f.awaited = true
		f.deadline = m.timers.set(grace, func() { m.disconnected(f) })
	} else {
		at := time.Unix(0, r.GetDeadline())
		if at.Before(grace) {
			at = grace
		}
		f.deadline = m.timers.set(at, func() { m.removeFramework(f, nil) })
	}
	m.dirty.framework(f)
}

// adoptFramework brings in a framework that only an agent remembers.
func (m *Master) adoptFramework(info *mesos.FrameworkInfo) *framework {
	f := m.addFramework(info)
	f.admitted, f.recovered, f.inherited = true, true, true
	f.registered = m.now
	m.allocator.AddFramework(m.now, f.id, f.options())
	f.deadline = m.timers.set(m.now.Add(m.cfg.GatewayGrace), func() { m.disconnected(f) })
	m.proposeSurely(admitFramework(info, ""), func() {})
	m.dirty.framework(f)
	return f
}

func admitFramework(info *mesos.FrameworkInfo, session string) *registry.Op {
	return &registry.Op{Op: &registry.Op_AdmitFramework{AdmitFramework: &registry.AdmitFramework{
		Framework: info, Principal: proto.String(info.GetPrincipal()), SessionId: proto.String(session),
	}}}
}

// activate lets a framework be made offers, once it has a stream that is served.
func (m *Master) activate(f *framework) {
	if f.active || !f.begun() || f.session.link == nil {
		return
	}
	f.active = true
	m.allocator.ActivateFramework(m.now, f.id)
	m.forgiveInverse(f)
	m.dirty.framework(f)
}

// deactivate takes all offers back from a framework and makes it none.
func (m *Master) deactivate(f *framework) {
	if !f.active {
		return
	}
	f.active, f.requests = false, nil
	for _, o := range f.sortedOffers() {
		m.rescind(o, nil)
	}
	for _, o := range m.inverseTo(f) {
		m.rescindInverse(o)
	}
	m.forgiveInverse(f)
	m.allocator.DeactivateFramework(m.now, f.id)
	m.dirty.framework(f)
}

// disconnected starts a framework's failover timeout: when it is over the
// framework is removed.
func (m *Master) disconnected(f *framework) {
	m.deactivate(f)
	m.timers.stop(f.deadline)
	m.refuseHeld(f)
	f.awaited = false
	timeout := failoverTimeout(f.info)
	if timeout == 0 {
		m.removeFramework(f, nil)
		return
	}
	at := m.now.Add(timeout)
	f.deadline = m.timers.set(at, func() { m.removeFramework(f, nil) })
	op := &registry.FrameworkDisconnected{FrameworkId: f.info.GetId(), Deadline: proto.Int64(at.UnixNano())}
	if f.missed != "" {
		op.MissedSessionId = proto.String(f.missed)
	}
	m.proposeSurely(&registry.Op{Op: &registry.Op_FrameworkDisconnected{FrameworkDisconnected: op}}, func() {})
	m.dirty.framework(f)
}

// maxDuration bounds what frameworks ask for, so that times can be added to it.
const maxDuration = 365 * 24 * time.Hour

func failoverTimeout(info *mesos.FrameworkInfo) time.Duration {
	return duration(info.GetFailoverTimeout())
}

// duration returns seconds as a Duration between 0 and a year.
func duration(s float64) time.Duration {
	switch {
	case math.IsNaN(s) || s <= 0:
		return 0
	case s >= maxDuration.Seconds():
		return maxDuration
	}
	return time.Duration(s * float64(time.Second))
}

// removeFramework ends a framework: its tasks are killed everywhere and its ID may
// not return. done, unless nil, follows once the registry has that.
func (m *Master) removeFramework(f *framework, done func()) {
	if m.frameworks[f.id] != f {
		return
	}
	m.deactivate(f)
	m.timers.stop(f.deadline)
	m.refuseHeld(f)
	agents := m.agentsOf(f)
	for _, a := range agents {
		m.shutdownFramework(a, f.id)
	}
	for _, t := range sorted(f.tasks) {
		m.setState(t, m.status(t.id, t.agent, t.executorID, mesos.TaskState_TASK_KILLED,
			mesos.TaskStatus_REASON_FRAMEWORK_REMOVED, "Framework "+f.id+" removed"))
		m.removeTask(t)
	}
	for _, id := range f.lost {
		killed := copyTask(f.unreachable[id].msg)
		killed.State = mesos.TaskState_TASK_KILLED.Enum()
		m.publish(view.TaskEvent(killed, nil, true))
		m.publish(view.TaskRemovedEvent(f.id, id, true))
		m.lost.remove(f.unreachable[id].agent, f.unreachable[id])
	}
	for _, a := range agents {
		m.removeExecutors(a, f.id)
	}
	if s := f.session; s != nil {
		m.closeSession(s)
	}
	m.orphanOperations(f)
	delete(m.frameworks, f.id)
	m.expecting.remove(f.expected, f)
	m.dirty.forgetFramework(f)
	m.forgetInverse(f)
	m.allocator.RemoveFramework(f.id)
	m.removed[f.id] = true
	f.active = false
	m.publish(view.FrameworkEvent(f.fact(m.now)))
	m.publish(view.FrameworkRemovedEvent(f.id))
	m.proposeSurely(&registry.Op{Op: &registry.Op_RemoveFramework{RemoveFramework: &registry.RemoveFramework{
		FrameworkId: f.info.GetId(),
	}}}, func() {
		if m.facts.FrameworkRemoved(f.id) {
			delete(m.removed, f.id)
		}
		if done != nil {
			done()
		}
	})
}

// agentsOf returns the agents that have tasks or executors of a framework, by ID.
func (m *Master) agentsOf(f *framework) []*agent {
	have := map[string]*agent{}
	for _, t := range f.tasks {
		if a := m.agents[t.agent]; a != nil {
			have[a.id] = a
		}
	}
	for a := range m.executing[f.id] {
		have[a.id] = a
	}
	return sorted(have)
}

// wasRemoved reports whether a framework's ID may not return.
func (m *Master) wasRemoved(id string) bool {
	return m.removed[id] || m.facts.FrameworkRemoved(id)
}

// fact returns the framework as the view shows it; ended is when it was removed.
func (f *framework) fact(ended time.Time) *master.Response_GetFrameworks_Framework {
	return &master.Response_GetFrameworks_Framework{
		FrameworkInfo:      f.info,
		Active:             proto.Bool(f.active),
		Connected:          proto.Bool(f.begun()),
		Recovered:          proto.Bool(f.recovered),
		RegisteredTime:     timeInfo(f.registered),
		ReregisteredTime:   timeInfo(f.reregistered),
		UnregisteredTime:   timeInfo(ended),
		AllocatedResources: f.used.Proto(),
		OfferedResources:   f.offered.Proto(),
		OfferConstraints:   f.constraints,
	}
}

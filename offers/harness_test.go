package offers

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/protocol"
	"muster/offers/registry"
	"muster/offers/resource"
	"muster/offers/view"
)

// world is a core with everything around it: a registry that takes what is
// proposed, a view, and a record of what was done.
type world struct {
	t        testing.TB
	core     *Master
	cfg      Config
	now      time.Time
	registry *registry.State
	view     *view.View
	held     []*registry.Op // proposals not answered yet
	hold     bool           // keep proposals until commit
	log      []string       // effects since the last look
	lenient  bool           // call IDs may repeat
	onEffect func(Effect)
	onLog    func(string)
	onStep   func()   // after its effects
	later    []Input  // what the effects of a Step lead to
	applied  [][]byte // UUIDs of the operations that agents were told to apply, in order
	told     map[string]*protocol.ApplyOperation
	tape     *tape // records what the core is given
	replies  map[uint64]int
	asked    map[uint64]int
	every    int // steps from one verification to the next [1]
	steps    int
	verified int // how often
}

var epoch = time.Unix(1_700_000_000, 0)

func newWorld(t testing.TB, cfg Config) *world { return newTapedWorld(t, cfg, nil) }

// newTapedWorld records what its cores are given.
func newTapedWorld(t testing.TB, cfg Config, tape *tape) *world {
	if cfg.MasterID == "" {
		cfg.MasterID = "m1"
	}
	if cfg.Term == 0 {
		cfg.Term = 1
	}
	w := &world{t: t, cfg: cfg, now: epoch, registry: registry.NewState(), view: view.New(), told: map[string]*protocol.ApplyOperation{}, replies: map[uint64]int{}, asked: map[uint64]int{}, tape: tape}
	w.lead()
	return w
}

// lead begins a leadership with what the registry holds. What was proposed and not
// committed is lost, and so are all links.
func (w *world) lead() {
	w.held = nil
	w.cfg.Elected = w.now
	w.core = New(w.cfg, w.registry.Clone())
	w.tape.lead(w)
	w.view = view.New()
	w.step(Start{})
	w.settle()
}

func (w *world) failover() {
	w.cfg.Term++
	w.cfg.MasterID = fmt.Sprintf("m%d", w.cfg.Term)
	w.lead()
}

// do gives the core one input and lets everything that follows at once happen.
func (w *world) do(in Input) {
	w.step(in)
	w.settle()
}

// settle answers proposals, unless they are held, and ticks while it is due.
func (w *world) settle() {
	for range 1000 {
		if len(w.later) > 0 {
			in := w.later[0]
			w.later = w.later[1:]
			w.step(in)
			continue
		}
		if !w.hold && len(w.held) > 0 {
			w.commit(nil)
			continue
		}
		if d := w.core.Deadline(); d.IsZero() || d.After(w.now) {
			return
		}
		w.step(Tick{})
	}
	w.t.Fatal("the core never comes to rest: its deadline stays in the past")
}

// commit answers the oldest proposal.
func (w *world) commit(err error) {
	if len(w.held) == 0 {
		return
	}
	op := w.held[0]
	w.held = w.held[1:]
	if err == nil {
		err = w.registry.Apply(op)
	}
	w.step(Committed{Op: op, Err: err})
}

// advance lets time pass, with a Tick at each deadline.
func (w *world) advance(d time.Duration) {
	end := w.now.Add(d)
	for range 100000 {
		w.settle()
		next := w.core.Deadline()
		if next.IsZero() || next.After(end) {
			w.now = end
			w.settle()
			return
		}
		w.now = next
	}
	w.t.Fatal("the core's deadlines do not let time pass")
}

func (w *world) step(in Input) {
	if g, ok := in.(FromGateway); ok {
		switch msg := g.Message.GetMessage().(type) {
		case *protocol.GatewayToMaster_Call:
			w.asked[msg.Call.GetCallId()]++
		case *protocol.GatewayToMaster_Operate:
			w.asked[msg.Operate.GetCallId()]++
		case *protocol.GatewayToMaster_Explain:
			w.asked[msg.Explain.GetCallId()]++
		}
	}
	effects := w.core.Step(w.now, in)
	w.tape.step(w, in, effects)
	for _, e := range effects {
		switch e := e.(type) {
		case Propose:
			w.held = append(w.held, e.Op)
		case Publish:
			w.view.Apply(e.Event)
			continue
		case ToAgent:
			if m := e.Message.GetApplyOperation(); m != nil {
				w.applied = append(w.applied, m.GetOperationUuid())
				w.told[string(m.GetOperationUuid())] = m
			}
		case ToGateway:
			if r := e.Message.GetReply(); r != nil {
				w.replies[r.GetCallId()]++
				if w.replies[r.GetCallId()] > w.asked[r.GetCallId()] && !w.lenient {
					w.t.Fatalf("call %d was replied to more often than it was made", r.GetCallId())
				}
			}
		}
		if w.onEffect == nil || w.onLog != nil {
			w.log = append(w.log, Describer{epoch}.Effect(e))
		}
		if w.onLog != nil {
			w.onLog(w.log[len(w.log)-1])
		}
		if w.onEffect != nil {
			w.onEffect(e)
		}
	}
	w.steps++
	if w.steps%max(w.every, 1) == 0 {
		if err := w.verify(); err != nil {
			w.t.Fatalf("after %s: %v", Describer{epoch}.Input(in), err)
		}
	}
	if w.onStep != nil {
		w.onStep()
	}
}

// look returns what was done since the last look.
func (w *world) look() string {
	out := strings.Join(w.log, "\n")
	w.log = nil
	if out != "" {
		out += "\n"
	}
	return out
}

// verify checks what must hold after every Step.
func (w *world) verify() error {
	var errs []error
	errs = append(errs, w.core.verify())
	if w.core.dirty.resources() {
		return errors.Join(errs...)
	}
	if w.verified++; w.verified%16 == 0 {
		errs = append(errs, w.verifyRoles())
	}
	errs = append(errs, w.core.verifyAllocator(), w.core.verifyIndexes())
	return errors.Join(append(errs, w.verifyView())...)
}

// verify checks I2 and that the parts of the core agree.
func (m *Master) verify() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	perFramework, inverse := map[string]resource.Set{}, 0
	for _, a := range sorted(m.agents) {
		var offered, allocated resource.Set
		for _, o := range a.sortedOffers() {
			offered = offered.Add(o.resources)
			if m.offers[o.id] != o || o.framework.offers[o.id] != o {
				fail("offer %s is not everywhere", o.id)
			}
		}
		for _, u := range a.usedBy(nil) {
			allocated = allocated.Add(u.Resources)
			perFramework[u.Framework] = perFramework[u.Framework].Add(u.Resources.Scalars())
		}
		if a.upkeep != nil {
			inverse += len(a.upkeep.asked)
			for _, o := range a.upkeep.asked {
				if m.inverse[o.id] != o || !o.framework.active || !m.offerable(a) {
					fail("inverse offer %s of agent %s to framework %s should not be", o.id, a.id, o.framework.id)
				}
			}
		}
		if m.facts.Agent(a.id).GetDeactivated() && len(a.offers) > 0 {
			fail("agent %s is deactivated and offered", a.id)
		}
		if !offered.Equal(a.offered) {
			fail("agent %s: offers add up to %s, not %s", a.id, offered, a.offered)
		}
		if !allocated.Equal(a.allocated) {
			fail("agent %s: tasks and executors add up to %s, not %s", a.id, allocated, a.allocated)
		}
		free := a.total.NonRevocable().Sub(allocated.Unallocate().NonRevocable())
		if !free.Contains(offered.Unallocate().NonRevocable().NonShared()) {
			fail("agent %s: I2: offered %s of %s, %s allocated", a.id, offered, a.total, allocated)
		}
		for _, v := range offered.Unallocate().Shared().Proto() {
			if !a.total.Contains(setOf(v)) {
				fail("agent %s: I2: volume %s is not there, but offered", a.id, setOf(v))
			}
		}
		for uuid, o := range a.operations {
			if f := m.frameworks[o.framework]; o.uuid != uuid || o.agent != a.id || f != nil && o.id() != "" && !slices.Contains(f.operations[o.id()], o) {
				fail("agent %s: operation %s is not where it should be", a.id, o.id())
			}
		}
		if a.link != nil && a.link.agent != a {
			fail("agent %s: its link has another agent", a.id)
		}
	}
	if inverse != len(m.inverse) {
		fail("agents have %d inverse offers out, the core %d", inverse, len(m.inverse))
	}
	for _, f := range sorted(m.frameworks) {
		if !perFramework[f.id].Equal(f.used) {
			fail("framework %s uses %s, not %s", f.id, perFramework[f.id], f.used)
		}
		if f.active && f.session == nil {
			fail("framework %s is active without a stream", f.id)
		}
		if !f.active && len(f.offers) > 0 && f.session == nil {
			fail("framework %s has offers and no stream", f.id)
		}
		for _, t := range f.tasks {
			if a := m.agents[t.agent]; a == nil || a.tasks.get(t.key()) != t {
				fail("task %s of framework %s: its agent %s does not have it", t.id, f.id, t.agent)
			}
		}
		if len(f.lost) != len(f.unreachable) {
			fail("framework %s: %d unreachable tasks, %d in order", f.id, len(f.unreachable), len(f.lost))
		}
	}
	return errors.Join(errs...)
}

// verifyIndexes checks that what is found by an index is what a look at everything
// would find.
func (m *Master) verifyIndexes() error {
	executing, operating, lost := index[string, *agent]{}, index[string, *operation]{}, index[string, *task]{}
	holding, expecting, upkept := index[Link, *framework]{}, index[string, *framework]{}, map[string]*agent{}
	for _, a := range m.agents {
		for f := range a.executors {
			executing.add(f, a)
		}
		for _, o := range a.operations {
			operating.add(o.framework, o)
		}
		if a.upkeep != nil {
			upkept[a.id] = a
		}
	}
	for _, f := range m.frameworks {
		for _, t := range f.unreachable {
			lost.add(t.agent, t)
		}
		for _, h := range f.held {
			holding.add(h.link, f)
		}
		if f.recovered && f.expected != "" {
			expecting.add(f.expected, f)
		}
	}
	for name, same := range map[string]bool{
		"executing": reflect.DeepEqual(executing, m.executing), "operating": reflect.DeepEqual(operating, m.operating),
		"lost": reflect.DeepEqual(lost, m.lost), "holding": reflect.DeepEqual(holding, m.holding),
		"expecting": reflect.DeepEqual(expecting, m.expecting), "upkept": reflect.DeepEqual(upkept, m.upkept),
	} {
		if !same {
			return fmt.Errorf("the index %q does not hold what there is", name)
		}
	}
	return nil
}

// verifyAllocator checks that the allocator accounts for what the core knows, and
// has overlooked nobody.
func (m *Master) verifyAllocator() error {
	for _, a := range sorted(m.agents) {
		held := map[string]resource.Set{}
		for _, u := range a.usedBy(nil) {
			held[u.Framework] = u.Resources
		}
		for _, o := range a.offers {
			held[o.framework.id] = held[o.framework.id].Add(o.resources)
		}
		for _, id := range sortedKeys(m.frameworks) {
			if got := m.allocator.Held(id, a.id); !got.Equal(held[id]) {
				return fmt.Errorf("agent %s: framework %s uses and is offered %s, the allocator says %s", a.id, id, held[id], got)
			}
		}
	}
	return cmp.Or(m.allocator.Verify(), m.allocator.Overlooked())
}

// verifyView checks that the view shows what the core knows.
func (w *world) verifyView() error {
	m := w.core
	var errs []error
	same := func(what string, core, view int) {
		if core != view {
			errs = append(errs, fmt.Errorf("the core has %d %s, the view %d", core, what, view))
		}
	}
	admitted, tasks := 0, 0
	for _, f := range m.frameworks {
		if f.admitted {
			admitted++
		}
		tasks += len(f.tasks)
		got := w.view.Framework(f.id)
		if f.admitted && (got.GetConnected() != f.begun() || got.GetActive() != f.active || !proto.Equal(got.GetFrameworkInfo(), f.info)) {
			errs = append(errs, fmt.Errorf("framework %s: the view shows %v", f.id, got))
		}
		for _, t := range f.tasks {
			if v := w.view.Task(f.id, t.id); v.GetState() != t.msg.GetState() {
				errs = append(errs, fmt.Errorf("task %s: the view shows %s, not %s", t.id, v.GetState(), t.msg.GetState()))
			}
		}
	}
	same("frameworks", admitted, len(w.view.Frameworks()))
	same("agents", len(m.agents), len(w.view.Agents()))
	same("recovered agents", len(m.recovered), len(w.view.RecoveredAgents()))
	same("offers", len(m.offers), len(w.view.Offers()))
	same("inverse offers", len(m.inverse), len(w.view.InverseOffers()))
	if !proto.Equal(w.view.GetMaintenanceSchedule().GetSchedule(), m.facts.MaintenanceSchedule()) {
		errs = append(errs, fmt.Errorf("the view shows another maintenance schedule: %v", w.view.GetMaintenanceSchedule()))
	}
	same("tasks", tasks, len(w.view.Tasks()))
	operations := 0
	for _, a := range m.agents {
		operations += len(a.operations)
	}
	same("operations", operations, len(w.view.Operations()))
	for _, a := range sorted(m.agents) {
		got := w.view.Agent(a.id)
		offered, err := resource.FromProto(got.GetOfferedResources())
		used, err2 := resource.FromProto(got.GetAllocatedResources())
		total, err3 := resource.FromProto(got.GetTotalResources())
		if err != nil || err2 != nil || err3 != nil || !total.Equal(a.capacity()) || !offered.Equal(a.offered) || !used.Equal(a.allocated) || got.GetActive() != m.offerable(a) {
			errs = append(errs, fmt.Errorf("agent %s: the view shows %v", a.id, got))
		}
	}
	return errors.Join(errs...)
}

package qos

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// step is how long an action is given to show its effect before more of its kind is done.
const step = time.Second

// growth is by how much the quota grows at each step of recovery, and grown the
// part of what was granted that it grows by at least: from any depth the way up is short.
const growth, grown = 1.25, 1. / 8

// leastCeiling is the least part of what was granted at which recovery rests.
const leastCeiling = 1. / 4

// rests is how many times patience recovery waits below a quota that was too high.
const rests = 4

// leastQuota of one task keeps it from being starved by rounding: freezing is a decision of its own.
const leastQuota = .01

// Controller decides. One goroutine at a time may use it.
type Controller struct {
	cfg    Config
	signal signal
	memory memory

	level    Level
	withhold bool
	quota    float64
	limits   map[string]float64
	frozen   map[string]bool
	evicted  map[string]bool // until they have gone

	began    time.Duration // of the violation that is being dealt with; tasks that it froze keep it
	acted    time.Duration // last action against it
	tuned    time.Duration // last time the quota followed the use of others
	violated time.Duration // last violation
	bad      time.Duration // last window in which a task suffered, be it noise
	undone   time.Duration // last action of recovery
	eviction time.Duration
	cause    string        // the task that suffered last
	raised   bool          // the last action of recovery raised the quota
	granted  float64       // use when the first violation since all was calm began
	ceiling  float64       // use at which the quota was too high, a little below which recovery rests
	patience time.Duration // without a violation before something is undone
	use      float64       // of the revocable tasks, smoothed
	firm     float64       // of all others, smoothed
	last     time.Duration
	started  bool
}

// New returns a controller that has seen nothing.
func New(cfg Config) *Controller {
	cfg = cfg.withDefaults()
	return &Controller{
		cfg: cfg, signal: signal{cfg: cfg, tasks: map[string]*felt{}}, memory: memory{cfg: cfg},
		quota: math.Inf(1), ceiling: math.Inf(1), patience: cfg.RecoverAfter, eviction: -cfg.Cooldown,
		limits: map[string]float64{}, frozen: map[string]bool{}, evicted: map[string]bool{},
	}
}

// Step takes in a window and says what is to be. Looks come in the order of
// their time; one that does not is taken as if no time had passed.
func (c *Controller) Step(l Look) Decision {
	c.admit(&l)
	var d Decision
	c.prune(&l)
	worst, bad := c.signal.look(&l)
	d.Violated = worst != nil
	if bad {
		c.bad = l.At
	}
	if worst != nil {
		c.violated = l.At
	}
	switch {
	case worst != nil && len(c.running(&l)) > 0:
		c.press(&l, worst, &d)
	case worst == nil:
		c.recover(&l, &d)
	}
	c.evictFrozen(&l, &d)
	c.memoryPressure(&l, &d)
	c.settle(&l, &d)
	return d
}

// admit makes the look one that could be, and smooths what it says of use.
func (c *Controller) admit(l *Look) {
	if c.started {
		l.At = max(l.At, c.last)
	}
	l.Capacity, l.System = clean(l.Capacity), clean(l.System)
	l.Firm, l.Revocable = slices.Clone(l.Firm), slices.Clone(l.Revocable)
	for i := range l.Firm {
		l.Firm[i].CPUs = clean(l.Firm[i].CPUs)
	}
	for i := range l.Revocable {
		l.Revocable[i].CPUs, l.Revocable[i].Request = clean(l.Revocable[i].CPUs), clean(l.Revocable[i].Request)
	}
	const rate = .3 // some three windows
	if !c.started {
		c.use, c.firm, c.started = l.revocableUse(), l.firmUse(), true
		c.violated, c.bad = l.At, l.At
	}
	c.use += rate * (l.revocableUse() - c.use)
	c.firm += rate * (l.firmUse() - c.firm)
	c.last = l.At
}

// prune forgets the tasks that have gone.
func (c *Controller) prune(l *Look) {
	there := make(map[string]bool, len(l.Revocable))
	for _, r := range l.Revocable {
		there[r.ID] = true
	}
	for id := range c.limits {
		if !there[id] {
			delete(c.limits, id)
		}
	}
	for id := range c.frozen {
		if !there[id] {
			delete(c.frozen, id)
		}
	}
	for id := range c.evicted {
		if !there[id] {
			delete(c.evicted, id)
		}
	}
}

// press does the next thing against a violation, once the last had time to show its effect.
func (c *Controller) press(l *Look, why *complaint, d *Decision) {
	since := l.At - c.began
	c.cause = why.task
	switch {
	case c.level == Freezing && c.undone > c.acted: // thawed too early
		c.begin(l)
		c.freezeMore(l, d, why)
	case c.level == Calm || c.undone > c.acted:
		c.begin(l)
		c.restrain(min(c.quota, c.use/2), l, d, why)
	case l.At-c.acted < min(step, c.cfg.TightenAfter):
	case since < c.cfg.TightenAfter:
	case since < c.cfg.FreezeAfter || c.level == Limited:
		c.level = max(c.level, Tightened)
		c.restrain(min(c.quota/2, c.room(l)), l, d, why)
	default:
		c.level = Freezing
		c.freezeMore(l, d, why)
	}
}

// begin starts to deal with a violation. One that comes with what was undone last
// makes the next recovery slower. Only one that a higher quota brought back tells
// that this quota is too high: the use of who is held back tells nothing.
func (c *Controller) begin(l *Look) {
	if c.undone > 0 && l.At-c.undone < 3*c.patience {
		c.patience = min(2*c.patience, c.cfg.RecoverMax)
	}
	if len(c.frozen) == 0 {
		c.began = l.At
	}
	switch {
	case c.level == Calm:
		c.granted, c.ceiling = c.use, c.use
	case c.raised:
		c.granted = max(c.granted, c.use)
		c.ceiling = max(c.use, leastCeiling*c.granted)
	}
	c.level = max(c.level, Limited)
}

// restrain lowers the quota of all, and stops offers.
func (c *Controller) restrain(to float64, l *Look, d *Decision, why *complaint) {
	if !c.withhold {
		c.withhold = true
		d.act(Action{Kind: Withhold, Cause: why.task, Reason: why.String() + "; nothing revocable is offered meanwhile"})
	}
	to = max(to, leastQuota*float64(len(c.running(l))))
	before := c.quota
	c.quota, c.acted = to, l.At
	d.act(Action{Kind: Limit, CPUs: to, Cause: why.task, Reason: fmt.Sprintf("%s; revocable tasks kept %.2f CPUs busy and may keep %.2f%s",
		why, c.use, to, ofBefore(before))})
	c.signal.forget()
}

func ofBefore(quota float64) string {
	if math.IsInf(quota, 1) {
		return ""
	}
	return fmt.Sprintf(", %.2f before", quota)
}

// room is what the share of all CPUs leaves to revocable tasks.
func (c *Controller) room(l *Look) float64 { return max(c.cfg.Share*l.Capacity-c.firm, 0) }

// freezeMore freezes the youngest: one, then two more, then four more.
func (c *Controller) freezeMore(l *Look, d *Decision, why *complaint) {
	c.acted = l.At
	for n := len(c.frozen) + 1; n > 0; n-- {
		running := c.running(l)
		if len(running) == 0 {
			break
		}
		youngest := running[len(running)-1]
		c.frozen[youngest.ID] = true
		d.act(Action{Kind: Freeze, Task: youngest.ID, Cause: why.task, Reason: why.String() + "; a lower quota did not help"})
	}
	c.signal.forget()
}

// evictFrozen ends the youngest frozen tasks when there is no room for what they
// ask: elsewhere they could run. One violation after which all can run again ends
// none, and so does one that went on while they stood still.
func (c *Controller) evictFrozen(l *Look, d *Decision) {
	if c.level != Freezing || l.At-c.began < c.cfg.EvictAfter || l.At-c.eviction < c.cfg.Cooldown || c.signal.unmoved(c.cause) {
		return
	}
	deficit := -c.room(l)
	for _, r := range c.staying(l) {
		deficit += r.Request
	}
	for _, r := range slices.Backward(c.staying(l)) {
		if deficit <= 0 {
			return
		}
		if !c.frozen[r.ID] {
			continue
		}
		c.evict(r, l, d, Action{Reason: fmt.Sprintf("frozen, and of %.2f CPUs that revocable tasks ask for %.2f find no room beside the %.2f that all else keeps busy",
			deficit+c.room(l), deficit, c.firm)})
		deficit -= r.Request
	}
}

func (c *Controller) evict(r Revocable, l *Look, d *Decision, a Action) {
	c.evicted[r.ID], c.eviction = true, l.At
	a.Kind, a.Task = Evict, r.ID
	d.act(a)
}

// recover undoes one thing after the other, the last done first, slowly.
func (c *Controller) recover(l *Look, d *Decision) {
	if c.level == Calm && !c.withhold {
		return
	}
	quiet, wait := l.At-c.violated, max(c.cfg.RecoverAfter/2, step)
	if quiet < c.patience || l.At-c.bad < min(wait, c.patience) || l.At-c.undone < wait && c.undone > c.acted {
		return
	}
	before := len(d.Actions)
	why := fmt.Sprintf("no firm task has suffered for %s", quiet.Round(100*time.Millisecond))
	switch {
	case len(c.frozen) > 0:
		c.thaw(l, d, why)
	case !math.IsInf(c.quota, 1):
		c.relax(l, d, why)
	default:
		c.withhold, c.level = false, Calm
		c.patience = max(c.patience/2, c.cfg.RecoverAfter)
		d.act(Action{Kind: Resume, Reason: why + "; revocable resources are offered again"})
	}
	if len(d.Actions) > before {
		c.undone, c.raised = l.At, d.Actions[before].Kind != Thaw
	}
}

// thaw lets the oldest frozen task go on, if there is room for half of what it
// and those that run ask for. If not, it waits, or is evicted; unless its standing
// still was of no use.
func (c *Controller) thaw(l *Look, d *Decision, why string) {
	asked := 0.
	for _, r := range c.running(l) {
		asked += r.Request
	}
	for _, r := range c.staying(l) {
		if !c.frozen[r.ID] {
			continue
		}
		if c.signal.unmoved(c.cause) {
			why = "its standing still was of no use to who waited"
		} else if c.room(l) < (asked+r.Request)/2 {
			return
		}
		delete(c.frozen, r.ID)
		d.act(Action{Kind: Thaw, Task: r.ID, Reason: why})
		break
	}
	if len(c.frozen) == 0 {
		c.level = Tightened
	}
}

// relax raises the quota. Just below where the violation began it rests for as
// long as patience bids, then it tries beyond.
func (c *Controller) relax(l *Look, d *Decision, why string) {
	to, rest := max(c.quota*growth, c.quota+max(grown*c.granted, .05)), .9*c.ceiling
	switch {
	case to > rest && c.quota < rest:
		to = rest
	case to > rest && l.At-c.violated < rests*c.patience:
		return
	}
	c.level = Limited
	if to >= l.Capacity || to > 1.5*c.granted || len(c.staying(l)) == 0 {
		c.quota = math.Inf(1)
		d.act(Action{Kind: Unlimit, Reason: why})
		return
	}
	c.quota = to
	d.act(Action{Kind: Relax, CPUs: to, Reason: fmt.Sprintf("%s; revocable tasks may keep %.2f CPUs busy", why, to)})
}

// memoryPressure evicts whoever is youngest: freezing frees no memory.
func (c *Controller) memoryPressure(l *Look, d *Decision) {
	excess, critical := c.memory.look(l)
	cooldown := c.cfg.Cooldown
	if critical {
		cooldown = 2 * time.Second // for the kernel to take the memory back
	}
	if excess == 0 || l.At-c.memory.evicted < cooldown && c.memory.acted {
		return
	}
	reason := fmt.Sprintf("%d of the machine's %d MB are in use, more than %.0f %%", l.MemUsed>>20, l.MemTotal>>20, 100*c.cfg.MemoryHigh)
	freed := uint64(0)
	for _, r := range slices.Backward(c.staying(l)) {
		if freed >= excess {
			break
		}
		if r.Mem < 1<<20 {
			continue // its end would free nothing
		}
		freed += r.Mem
		c.memory.evicted, c.memory.acted = l.At, true
		c.evict(r, l, d, Action{Reason: fmt.Sprintf("%s; its end frees %d MB", reason, r.Mem>>20)})
	}
}

// settle shares the quota out and says what each task may do.
func (c *Controller) settle(l *Look, d *Decision) {
	// What others use has changed while the share of all CPUs is enforced.
	if room := max(c.room(l), leastQuota*float64(len(l.Revocable))); c.level >= Tightened && room < .9*c.quota && l.At-c.tuned >= step {
		c.quota, c.tuned = room, l.At
		d.act(Action{Kind: Limit, CPUs: room, Reason: fmt.Sprintf("all else keeps %.2f CPUs busy now; revocable tasks may keep %.2f", c.firm, room)})
	}
	sum := 0.
	for _, r := range c.running(l) {
		sum += max(r.Request, leastQuota)
	}
	for _, r := range l.Revocable {
		t := Target{ID: r.ID, CPUs: math.Inf(1), Frozen: c.frozen[r.ID], Evict: c.evicted[r.ID]}
		if !math.IsInf(c.quota, 1) && !t.Frozen && sum > 0 {
			t.CPUs = max(c.quota*max(r.Request, leastQuota)/sum, leastQuota)
		}
		if was, ok := c.limits[r.ID]; ok && math.Abs(was-t.CPUs) < .05*was {
			t.CPUs = was // not worth a change
		}
		c.limits[r.ID] = t.CPUs
		d.Targets = append(d.Targets, t)
	}
	d.Level, d.Quota = c.level, c.quota
	d.Withhold = c.withhold || c.memory.high
}

// staying are the tasks that are not being evicted, oldest first.
func (c *Controller) staying(l *Look) []Revocable {
	var out []Revocable
	for _, r := range l.Revocable {
		if !c.evicted[r.ID] {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Revocable) int { return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.ID, b.ID)) })
	return out
}

// running are those of them that are not frozen.
func (c *Controller) running(l *Look) []Revocable {
	return slices.DeleteFunc(c.staying(l), func(r Revocable) bool { return c.frozen[r.ID] })
}

func (d *Decision) act(a Action) { d.Actions = append(d.Actions, a) }

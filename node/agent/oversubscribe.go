package agent

import (
	"math"
	"time"

	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/resource"
	"muster/telemetry"
	"muster/telemetry/estimate"
)

// The agent's side: how much it lends and who has it.

// lend makes pool what the agent lends, and tells the leader.
func (a *Agent) lend(pool resource.Set) {
	if pool.Equal(a.pool) {
		return
	}
	a.pool = pool
	if a.link.registered {
		a.send(&protocol.AgentToMaster{Message: &protocol.AgentToMaster_Oversubscribed{
			Oversubscribed: &protocol.Oversubscribed{Total: pool.Proto()},
		}})
	}
}

// take counts what t has of the agent: its own and what it borrows.
func (a *Agent) take(t *task) {
	a.used, a.loans, t.claimed = a.used.Add(t.claim), a.loans.Add(t.loan), true
}

// borrows is the revocable part of what a task asks for. It comes out of the pool
// and not out of the agent's total.
func borrows(all resource.Set) resource.Set { return all.Revocable().Unallocate() }

// canBorrow tells whether the pool has loan, beside what was taken up before. A
// task of a removed framework keeps what it borrowed until it has ended.
func (a *Agent) canBorrow(loan resource.Set) bool {
	return loan.Empty() || a.pool.Sub(a.loans).Contains(loan)
}

// Lend makes pool the revocable resources that the agent lends, in all.
func (a *Agent) Lend(pool resource.Set) { a.post(func() { a.lend(pool) }) }

// The Lender's side: how much could be lent.

// prediction is what an estimator said after a step.
type prediction struct {
	made  bool
	peak  estimate.Amounts
	limit estimate.Amounts // of the tasks that it was about
}

func predict(n *estimate.Node, e estimate.Estimator) prediction {
	p := prediction{made: true, peak: e.Predict(n)}
	for k := range estimate.Kinds {
		p.limit[k] = n.Limit(k)
	}
	return p
}

// of is the predicted peak by now: a task that came since counts with what it was
// allocated; what is used is the least that will be.
func (p prediction) of(k estimate.Kind, limit, used float64) float64 {
	peak := limit
	if p.made {
		peak = p.peak[k] + max(limit-p.limit[k], 0)
	}
	return max(min(peak, limit), min(used, limit))
}

// sample looks at what all tasks use, remembers it, and lends accordingly.
func (l *Lender) sample() {
	l.sampled = time.Since(l.began)
	at := l.cfg.Now()
	state := l.agent.State()
	total, _ := splitAmounts(state.Agent.GetResources())
	m := Moment{At: at, Total: total, Lent: l.now.Lent, Level: l.watch.level(), Quota: l.watch.quota()}
	tasks := state.Tasks
	known, before := make(map[string]bool, len(tasks)), make(map[string]reading, len(tasks))
	var samples []estimate.Sample
	for _, t := range tasks {
		if t.ContainerID == "" || t.Task.GetState().Terminal() {
			continue
		}
		known[t.ContainerID] = true
		use, measured := l.use(t, before)
		firm, loan := splitAmounts(t.Task.GetResources())
		m.count(use, firm, loan)
		if s, some := sampleOf(t.ContainerID, use, measured, firm, loan); some {
			samples = append(samples, s)
		}
		if measured {
			l.history.Observe(at, t.ContainerID, use)
		}
	}
	l.before = before
	l.history.Keep(known)
	if l.memory.Observe(at, samples) {
		l.peak = predict(l.memory, l.estimator)
	}
	if step := at.Truncate(telemetry.StepLen); !step.Equal(l.saved) {
		if !l.saved.IsZero() {
			l.save()
		}
		l.saved = step
	}
	l.measureMachine(&m)
	m.Missed = m.Used.CPUs > l.peak.of(estimate.CPU, m.Allocated.CPUs, 0)
	m.Predicted = Amounts{
		CPUs: l.peak.of(estimate.CPU, m.Allocated.CPUs, m.Used.CPUs),
		Mem:  l.peak.of(estimate.Mem, m.Allocated.Mem, m.Used.Mem),
	}
	if !l.cfg.Off {
		l.offer(&m)
	}
	l.now = m
	l.board.note(m, l.watch.violations)
}

// count adds a task. What it uses of a kind that it borrowed is revocable.
func (m *Moment) count(use telemetry.Use, firm, loan Amounts) {
	m.Allocated.add(firm.CPUs, firm.Mem)
	m.Borrowed.add(loan.CPUs, loan.Mem)
	if loan.CPUs > 0 {
		m.RevocableUsed.CPUs += use.CPUs
	} else {
		m.Used.CPUs += use.CPUs
	}
	if loan.Mem > 0 {
		m.RevocableUsed.Mem += use.Mem
	} else {
		m.Used.Mem += use.Mem
	}
}

// sampleOf is what the estimator sees of a task: what it was promised, and what
// it uses of that.
func sampleOf(id string, use telemetry.Use, measured bool, firm, loan Amounts) (s estimate.Sample, some bool) {
	s = estimate.Sample{Task: id, Used: estimate.Amounts{use.CPUs, use.Mem}, Limit: estimate.Amounts{firm.CPUs, firm.Mem}}
	for k, lent := range [estimate.Kinds]float64{loan.CPUs, loan.Mem} {
		switch {
		case lent > 0:
			s.Used[k], s.Limit[k] = 0, 0
		case !measured:
			s.Used[k] = math.NaN()
		}
	}
	return s, s.Limit != estimate.Amounts{}
}

// splitAmounts sums what a task was promised, and what it borrowed.
func splitAmounts(rs []*mesos.Resource) (firm, loan Amounts) {
	for _, r := range rs {
		to := &firm
		if r.GetRevocable() != nil {
			to = &loan
		}
		switch r.GetName() {
		case "cpus":
			to.CPUs += r.GetScalar().GetValue()
		case "mem":
			to.Mem += r.GetScalar().GetValue() * (1 << 20)
		}
	}
	return firm, loan
}

// use is what a task uses now, and was allocated.
func (l *Lender) use(t *Task, before map[string]reading) (use telemetry.Use, measured bool) {
	use = telemetry.Use{Framework: t.Framework.GetId().GetValue(), Task: t.Task.GetTaskId().GetValue(), Revocable: t.Revocable}
	firm, loan := splitAmounts(t.Task.GetResources())
	use.CPUsLimit, use.MemLimit = firm.CPUs+loan.CPUs, firm.Mem+loan.Mem
	u, ok := l.gauge.Usage(t.ContainerID)
	if !ok || !t.Running {
		return use, false
	}
	now := reading{u.At, u.CPU}
	was, known := l.before[t.ContainerID]
	before[t.ContainerID] = now
	use.Mem = float64(u.MemWorkingSet)
	switch d := now.at.Sub(was.at); {
	case known && d > 0:
		use.CPUs = max(0, (now.cpu-was.cpu).Seconds()/d.Seconds())
	case known: // not read anew
		before[t.ContainerID] = was
		last, _ := l.history.Latest(t.ContainerID)
		use.CPUs = last.CPUs
	default:
		use.CPUs = u.Rate.CPUs
	}
	return use, true
}

// measureMachine finds what is used by nobody's task.
func (l *Lender) measureMachine(m *Moment) {
	now, err := l.machine()
	if err != nil {
		l.warn("machine", "the machine's own use is not known", "err", err)
		return
	}
	m.machine = now
	m.Machine = Amounts{CPUs: float64(now.CPUs), Mem: float64(now.MemTotal)}
	m.MachineMemUsed = float64(now.MemTotal - min(now.MemAvailable, now.MemTotal))
	if was := l.now.machine; now.At.After(was.At) && !was.At.IsZero() {
		busy := (now.Busy - was.Busy).Seconds() / now.At.Sub(was.At).Seconds()
		system := min(max(0, busy-m.Used.CPUs-m.RevocableUsed.CPUs), m.Machine.CPUs)
		m.System = l.now.System + .2*(system-l.now.System)
	}
	if l.cfg.System != nil {
		m.System = *l.cfg.System
	}
}

// offer tells the agent how much to lend.
func (l *Lender) offer(m *Moment) {
	free := m.free(l.cfg)
	if l.watch.withhold {
		free.CPUs, free.Mem = min(free.CPUs, m.Borrowed.CPUs), min(free.Mem, m.Borrowed.Mem)
	}
	told, changed := l.pool.next(time.Since(l.began), l.cfg.Grow, free)
	m.Lent = told
	if changed {
		l.agent.Lend(told.revocable())
	}
}

// free is what could be lent. Memory is lent with caution: of what is predicted
// to stay free only a share, and never so much that all that revocable tasks may
// take would bring the machine to where they are evicted.
func (m *Moment) free(c Lending) Amounts {
	margin := Amounts{c.Margin * m.Total.CPUs, c.Margin * m.Total.Mem}
	f := Amounts{CPUs: m.Allocated.CPUs - m.Predicted.CPUs, Mem: c.MemShare * (m.Allocated.Mem - m.Predicted.Mem)}
	if m.Machine.CPUs > 0 {
		// What is not allocated yet is offered for good, and what is no task needs its part.
		unallocated := max(0, m.Total.CPUs-m.Allocated.CPUs)
		f.CPUs = min(f.CPUs, m.Machine.CPUs-m.System-m.Predicted.CPUs-unallocated)
		f.Mem = min(f.Mem, c.memoryHigh()*m.Machine.Mem-(m.MachineMemUsed-m.RevocableUsed.Mem))
	}
	return Amounts{CPUs: max(0, f.CPUs-margin.CPUs), Mem: max(0, f.Mem-margin.Mem)}
}

func (c Lending) memoryHigh() float64 {
	if c.QoS.MemoryHigh > 0 {
		return c.QoS.MemoryHigh
	}
	return .70
}

// lentPool is the pool as it was told. It shrinks at once and grows slowly: by what
// was free at all times since it was told last.
type lentPool struct {
	told  Amounts
	low   Amounts // the least that was free since
	since time.Duration
	begun bool
}

// worth is the share by which a pool must change to be told again.
const worth = .05

func (p *lentPool) next(now, grow time.Duration, free Amounts) (Amounts, bool) {
	free = Amounts{CPUs: math.Floor(free.CPUs*100) / 100, Mem: math.Floor(free.Mem/(1<<20)) * (1 << 20)}
	if free.CPUs < .1 {
		free.CPUs = 0 // crumbs
	}
	if free.Mem < 32<<20 {
		free.Mem = 0
	}
	if !p.begun {
		p.begun, p.low, p.since = true, free, now
	}
	p.low = Amounts{CPUs: min(p.low.CPUs, free.CPUs), Mem: min(p.low.Mem, free.Mem)}
	next := p.told
	if free.CPUs < (1-worth)*p.told.CPUs {
		next.CPUs = free.CPUs
	}
	if free.Mem < (1-worth)*p.told.Mem {
		next.Mem = free.Mem
	}
	if now-p.since >= grow {
		if p.low.CPUs > (1+worth)*p.told.CPUs {
			next.CPUs = p.low.CPUs
		}
		if p.low.Mem > (1+worth)*p.told.Mem {
			next.Mem = p.low.Mem
		}
		p.low, p.since = free, now
	}
	if next == p.told {
		return next, false
	}
	p.told = next
	return next, true
}

// revocable is a as resources that may be taken back.
func (a Amounts) revocable() resource.Set {
	var out []*mesos.Resource
	add := func(name string, v float64) {
		if v > 0 {
			out = append(out, &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(),
				Scalar: &mesos.Value_Scalar{Value: &v}, Revocable: &mesos.Resource_RevocableInfo{}})
		}
	}
	add("cpus", a.CPUs)
	add("mem", a.Mem/(1<<20))
	set, err := resource.FromProto(out)
	if err != nil {
		return resource.Set{} // the amounts are finite and positive
	}
	return set
}

package agent

import (
	"context"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/isolate"
	"muster/offers/mesos"
	"muster/telemetry"
	"muster/telemetry/estimate"
	"muster/telemetry/qos"
)

// plant is a machine whose use a test sets; time is that of the bubble.
type plant struct {
	mu    sync.Mutex
	began time.Time
	busy  map[string]float64 // CPUs by container
	waits map[string]float64 // of threads for others
	mem   float64            // share of the machine's memory in use
}

func (g *plant) sample(id string) (cpu, waited time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := time.Since(g.began)
	return time.Duration(g.busy[id] * float64(d)), time.Duration(g.waits[id] * float64(d))
}

func (g *plant) Usage(id string) (telemetry.Usage, bool) {
	cpu, waited := g.sample(id)
	return telemetry.Usage{Sample: telemetry.Sample{At: time.Now(), CPU: cpu, Preempted: waited, MemWorkingSet: 64 << 20}}, true
}

func (g *plant) Pulse(ids []string) (map[string]telemetry.Pulse, error) {
	out := map[string]telemetry.Pulse{}
	for _, id := range ids {
		cpu, waited := g.sample(id)
		out[id] = telemetry.Pulse{At: time.Now(), CPU: cpu, Preempted: waited}
	}
	return out, nil
}

func (g *plant) machine() (telemetry.Machine, error) {
	m := telemetry.Machine{At: time.Now(), CPUs: 4, MemTotal: 8 << 30}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, cpus := range g.busy {
		m.Busy += time.Duration(cpus * float64(time.Since(g.began)))
	}
	m.MemAvailable = uint64((1 - g.mem) * float64(m.MemTotal))
	return m, nil
}

// set changes what the machine does.
func (g *plant) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// lends runs a Lender beside the rig's agent until the test ends.
func (r *rig) lends(g *plant, c Lending) *Lender {
	r.t.Helper()
	c.Estimate = estimate.Config{Step: time.Second, Warm: 2 * time.Second}
	l, err := NewLender(c, r.agent, g, r.driver, g.machine, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	l.estimator = estimate.Share{Of: .5} // of what was allocated
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { done <- l.Run(ctx) }()
	r.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	return l
}

// lent are the pools that the leader heard of, in order.
func (l *leader) lent() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, m := range l.heard {
		if o := m.GetOversubscribed(); o != nil {
			text := ""
			for _, r := range o.GetTotal() {
				text += r.GetName() + " "
			}
			out = append(out, strings.TrimSpace(text))
		}
	}
	return out
}

func revocableTask(id, cpus string) *mesos.TaskInfo {
	return needs(command(id), "cpus{REV}:"+cpus+";mem:32")
}

func TestRevocableTaskMustFitThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		f := frameworkInfo(mesos.FrameworkInfo_Capability_PARTITION_AWARE)
		r.launch(f, revocableTask("early", "1"))
		if s := r.last("early"); s.GetState() != mesos.TaskState_TASK_DROPPED || !strings.Contains(s.GetMessage(), "lends only {} now") {
			t.Errorf("nothing is lent: %v", s)
		}
		r.agent.Lend(Amounts{CPUs: 1.5}.revocable())
		r.settle()
		r.launch(f, revocableTask("one", "1"), revocableTask("two", "1"))
		r.wantStates("one", mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING)
		r.wantStates("two", mesos.TaskState_TASK_DROPPED)
		spec, _ := r.driver.Spec(r.container("one"))
		if !spec.Revocable {
			t.Error("it runs at full weight")
		}
		r.exit("one", isolate.Exit{})
		r.launch(f, revocableTask("three", "1.5")) // what ended gives back what it borrowed
		r.wantStates("three", mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING)
		if got := r.leader.lent(); len(got) != 1 || got[0] != "cpus" {
			t.Errorf("the leader heard %q", got)
		}
		r.connect() // another link is told with the registration
		regs := r.leader.registers()
		if o := regs[len(regs)-1].GetOversubscribed(); len(o) != 1 || o[0].GetRevocable() == nil {
			t.Errorf("registered with %v", o)
		}
	})
}

func TestEvictionIsTaskGone(t *testing.T) {
	for _, c := range []struct {
		aware bool
		want  mesos.TaskState
	}{{true, mesos.TaskState_TASK_GONE}, {false, mesos.TaskState_TASK_LOST}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil).ready()
			f := frameworkInfo(mesos.FrameworkInfo_Capability_TASK_KILLING_STATE)
			if c.aware {
				f = frameworkInfo(mesos.FrameworkInfo_Capability_PARTITION_AWARE)
			}
			r.agent.Lend(Amounts{CPUs: 1}.revocable())
			r.launch(f, revocableTask("batch", "1"), command("firm"))
			r.agent.Evict(string(r.container("firm")), "it is not revocable")
			r.agent.Evict(string(r.container("batch")), "the server suffers")
			r.settle()
			synctest.Wait()
			time.Sleep(time.Second) // of the bubble
			r.settle()
			r.wantStates("batch", mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING, c.want)
			r.wantStates("firm", mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING)
			s := r.last("batch")
			if s.GetReason() != mesos.TaskStatus_REASON_CONTAINER_PREEMPTED || s.GetMessage() != "Preempted: the server suffers" || s.GetSource() != mesos.TaskStatus_SOURCE_AGENT {
				t.Errorf("%v", s)
			}
			r.end()
		})
	}
}

// TestLoopIsClosed: what a firm task does not use is lent; a revocable task that
// hurts it is held back, and let go when it does not.
func TestLoopIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		g := &plant{began: time.Now(), busy: map[string]float64{}, waits: map[string]float64{}}
		f := frameworkInfo(mesos.FrameworkInfo_Capability_PARTITION_AWARE)
		r.launch(f, needs(command("web"), "cpus:4;mem:512"))
		l := r.lends(g, Lending{})
		defer r.end()
		web := string(r.container("web"))
		g.set(func() { g.busy[web] = .5 })
		time.Sleep(40 * time.Second)
		r.settle()
		if n := l.Report().Now; n.Lent.CPUs != 1.8 || n.Allocated.CPUs != 4 { // half of 4, less a margin of .2
			t.Fatalf("lent %+v", n)
		}
		r.launch(f, revocableTask("batch", "1"))
		batch := r.container("batch")
		g.set(func() { g.busy[string(batch)] = 1 })
		time.Sleep(3 * time.Second)
		if cpus, frozen := r.driver.Limited(batch); frozen || !math.IsInf(cpus, 1) {
			t.Errorf("nobody suffers, and it is limited to %v", cpus)
		}
		g.set(func() { g.waits[web] = .2 }) // 20 ms in 100 ms, a jump at first that a reset bounds
		time.Sleep(1500 * time.Millisecond)
		cpus, _ := r.driver.Limited(batch)
		report := l.Report()
		if cpus > .5 || len(report.Corrections) == 0 || report.Corrections[0].Action != string(qos.Withhold) || report.Corrections[0].Cause != "web" {
			t.Errorf("limited to %v after %+v", cpus, report.Corrections)
		}
		if report.Now.Lent.CPUs != 1 {
			t.Errorf("%v CPUs are still lent", report.Now.Lent.CPUs)
		}
		g.set(func() { g.waits[web] = 0 })
		time.Sleep(2 * time.Minute)
		if cpus, frozen := r.driver.Limited(batch); frozen || !math.IsInf(cpus, 1) {
			t.Errorf("nobody suffers any more, and it is limited to %v: %+v", cpus, l.Report().Corrections)
		}
		g.set(func() { g.mem = .8 })
		time.Sleep(2 * time.Second)
		r.settle()
		time.Sleep(time.Second)
		r.settle()
		if s := r.last("batch"); s.GetState() != mesos.TaskState_TASK_GONE || !strings.Contains(s.GetMessage(), "MB are in use") {
			t.Errorf("memory is short, and it is %v", s)
		}
	})
}

// TestWhatIsNoTaskLeavesLessToLend: by what it uses, unless it is said to yield.
func TestWhatIsNoTaskLeavesLessToLend(t *testing.T) {
	none := 0.
	for _, c := range []struct {
		system *float64
		want   float64
	}{{nil, 1.3}, {&none, 1.8}} { // 4 CPUs less 2 predicted, .5 of the system, a margin of .2
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil).ready()
			g := &plant{began: time.Now(), busy: map[string]float64{"cron": .5}, waits: map[string]float64{}}
			r.launch(frameworkInfo(), needs(command("web"), "cpus:4;mem:512"))
			l := r.lends(g, Lending{System: c.system})
			defer r.end()
			time.Sleep(2 * time.Minute)
			r.settle()
			if n := l.Report().Now; math.Abs(n.Lent.CPUs-c.want) > .02 {
				t.Errorf("lent %v, want %v: %+v", n.Lent.CPUs, c.want, n)
			}
		})
	}
}

func TestPoolShrinksAtOnceAndGrowsSlowly(t *testing.T) {
	var p lentPool
	for _, step := range []struct {
		at   time.Duration
		free float64
		want float64
		told bool
	}{
		{0, 2, 0, false}, {time.Second, 1, 0, false}, {15 * time.Second, 3, 1, true}, // the least of the time
		{16 * time.Second, .97, 1, false}, {17 * time.Second, .5, .5, true}, {18 * time.Second, 3, .5, false},
		{30 * time.Second, 3, .5, false}, {45 * time.Second, 3, 3, true}, {46 * time.Second, .05, 0, true},
	} {
		got, told := p.next(step.at, 15*time.Second, Amounts{CPUs: step.free})
		if got.CPUs != step.want || told != step.told {
			t.Errorf("at %v with %v free: %v, told %v", step.at, step.free, got.CPUs, told)
		}
	}
}

package sim

import (
	"fmt"
	"time"

	"muster/offers/allocator"
	"muster/offers/resource"
)

// MultiFramework is the workload of three kinds of frameworks that launch tasks
// until all run: 4 with 4,000 small ones each, up to 100 an offer; 500 with 5
// each, one an offer; and 50 with 20 larger ones, up to 5 an offer. There are 80
// agents of cpus:64 and mem:488000.
//
// A framework declines what it does not use for no time, which is until the next
// batch, and so says that it wants no more. What it declined is offered to others at
// once. InBatches is the original, where what is left is given back without a
// word and offered in the next batch: who has all its tasks is offered more for
// ever, and as it has little, first.
// Mesos: src/tests/hierarchical_allocator_benchmarks.cpp, MultiFrameworkAllocations.
type MultiFramework struct {
	InBatches bool
	MaxRounds int // after which it is given up [1000]
}

// MultiFrameworkReport is what a run took, by the wall clock.
type MultiFrameworkReport struct {
	Total      time.Duration // from the first allocation until all tasks run
	Allocating time.Duration // of that, the allocations alone
	Rounds     int           // batches
	Offers     int
	Tasks      int
	Wanted     int
}

type launcher struct {
	role    string
	task    resource.Set
	left    int // tasks to launch
	anOffer int // at most
}

// Run runs the workload until all tasks run or it is given up.
func (w MultiFramework) Run() (MultiFrameworkReport, error) {
	if w.MaxRounds == 0 {
		w.MaxRounds = 1000
	}
	now, a, launchers := time.Unix(0, 0), allocator.New(allocator.Config{}), map[string]*launcher{}
	total, err := resource.Parse("cpus:64;mem:488000")
	if err != nil {
		return MultiFrameworkReport{}, err
	}
	for i := range 80 {
		id := fmt.Sprintf("agent-%d", i)
		a.AddAgent(now, id, allocator.AgentOptions{Hostname: id, Total: total}, nil)
	}
	var report MultiFrameworkReport
	add := func(n int, id, role string, shared bool, task string, tasks, anOffer int) {
		t, parseErr := resource.Parse(task)
		if parseErr != nil {
			err = parseErr
		}
		for i := range n {
			name, role := fmt.Sprintf("%s-%d", id, i+1), role
			if !shared {
				role = fmt.Sprintf("%s-%d", role, i+1)
			}
			launchers[name] = &launcher{role: role, task: t, left: tasks, anOffer: anOffer}
			a.AddFramework(now, name, allocator.FrameworkOptions{
				Roles: []string{role}, Capabilities: allocator.Capabilities{MultiRole: true, Refinement: true}, Active: true,
			})
			report.Wanted += tasks
		}
	}
	add(4, "Marathon", "roleA", false, "cpus:0.07;mem:400", 4000, 100)
	add(500, "Jenkins", "roleB", true, "cpus:0.1;mem:4000", 5, 1)
	add(50, "SparkDispatcher", "roleC", false, "cpus:1;mem:1000", 20, 5)
	if err != nil {
		return report, err
	}
	report.Total = elapsed(func() {
		for report.Tasks < report.Wanted && report.Rounds < w.MaxRounds {
			report.Rounds++
			now = now.Add(time.Second)
			w.round(a, now, launchers, &report)
		}
	})
	return report, nil
}

// round is what happens in one batch interval.
func (w MultiFramework) round(a *allocator.Allocator, now time.Time, launchers map[string]*launcher, report *MultiFrameworkReport) {
	untilNext := time.Duration(0)
	for {
		var offers []allocator.Offer
		report.Allocating += elapsed(func() { offers = a.Allocate(now) })
		report.Offers += len(offers)
		for _, o := range offers {
			l := launchers[o.Framework]
			n, rest := l.launch(o.Resources.Unallocate())
			report.Tasks += n
			if w.InBatches {
				a.Recover(now, o.Framework, o.Agent, rest.Allocate(l.role), nil)
			} else {
				a.Recover(now, o.Framework, o.Agent, rest.Allocate(l.role), &untilNext)
			}
		}
		if w.InBatches || len(offers) == 0 || report.Tasks == report.Wanted {
			return
		}
	}
}

// launch uses of an offer what it can, and returns how many tasks that is and
// what is left.
func (l *launcher) launch(rest resource.Set) (int, resource.Set) {
	n := 0
	for n < min(l.anOffer, l.left) && rest.Contains(l.task) {
		rest = rest.Sub(l.task)
		n++
	}
	l.left -= n
	return n, rest
}

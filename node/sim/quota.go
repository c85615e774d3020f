package sim

import (
	"fmt"
	"time"

	"muster/offers/allocator"
	"muster/offers/resource"
)

// Quota is the workload in which every role has a quota, guarantee and limit
// alike, and the cluster has more than all of them: Small roles are promised
// half an agent, so that agents are cut in two, and Large roles two agents.
// Agents have cpus:2, mem:2048 and disk:2048; there are Small/5 + 5*Large.
// Mesos: src/tests/hierarchical_allocator_benchmarks.cpp, LargeAndSmallQuota.
type Quota struct {
	Small, Large int
	PerRole      int // frameworks of a role [1]
}

// QuotaReport is what a run took, by the wall clock.
type QuotaReport struct {
	AddAgents     time.Duration
	AddFrameworks time.Duration
	SetQuotas     time.Duration
	FullCycle     time.Duration // which meets every quota
	EmptyCycle    time.Duration // which has nothing to give
	Offers        int
}

// Run runs the workload from beginning to end.
func (w Quota) Run() (QuotaReport, error) {
	small, err := resource.ParseQuantities("cpus:1;mem:1024;disk:1024")
	if err != nil {
		return QuotaReport{}, err
	}
	large := small.Add(small).Add(small).Add(small)
	r, err := newQuotaRun(w.Small/5 + 5*w.Large)
	if err != nil {
		return QuotaReport{}, err
	}
	for i := range w.Small {
		r.addRole(fmt.Sprintf("smallQuotaRole%d", i), fmt.Sprintf("framework_small_%d", i), w.PerRole, small)
	}
	for i := range w.Large {
		r.addRole(fmt.Sprintf("largeQuotaRole%d", i), fmt.Sprintf("framework_large_%d", i), w.PerRole, large)
	}
	return r.run()
}

// NonQuota is the workload in which every role can have the same number of
// whole agents, as Quota's are; with or without a quota of just that.
// Mesos: src/tests/hierarchical_allocator_benchmarks.cpp, NonQuotaVsQuota.
type NonQuota struct {
	Roles, AgentsPerRole int
	PerRole              int // frameworks of a role [1]
	WithQuota            bool
}

// Run runs the workload from beginning to end.
func (w NonQuota) Run() (QuotaReport, error) {
	r, err := newQuotaRun(w.Roles * w.AgentsPerRole)
	if err != nil {
		return QuotaReport{}, err
	}
	quota := resource.Quantities{}
	for i := 0; w.WithQuota && i < w.AgentsPerRole; i++ {
		quota = quota.Add(r.agent.Quantities())
	}
	for i := range w.Roles {
		r.addRole(fmt.Sprintf("role%d", i), fmt.Sprintf("framework_%d", i), w.PerRole, quota)
	}
	return r.run()
}

type quotaRun struct {
	agents    int
	agent     resource.Set
	roles     []quotaRole
	allocator *allocator.Allocator
	now       time.Time
}

type quotaRole struct {
	name       string
	frameworks []string
	quota      resource.Quantities // guarantee and limit alike
}

func newQuotaRun(agents int) (*quotaRun, error) {
	agent, err := resource.Parse("cpus:2;mem:2048;disk:2048")
	return &quotaRun{agents: agents, agent: agent, allocator: allocator.New(allocator.Config{}), now: time.Unix(0, 0)}, err
}

func (r *quotaRun) addRole(name, framework string, frameworks int, quota resource.Quantities) {
	role := quotaRole{name: name, quota: quota}
	for i := range max(1, frameworks) {
		role.frameworks = append(role.frameworks, fmt.Sprintf("%s-%d", framework, i))
	}
	r.roles = append(r.roles, role)
}

// run goes through the steps. Nothing is allocated between the first agent and
// the first cycle, as the allocator of the original is paused then.
func (r *quotaRun) run() (QuotaReport, error) {
	var report QuotaReport
	report.AddAgents = elapsed(r.addAgents)
	report.AddFrameworks = elapsed(r.addFrameworks)
	report.SetQuotas = elapsed(r.setQuotas)
	var offers []allocator.Offer
	report.FullCycle = elapsed(func() { offers = r.cycle() })
	report.Offers = len(offers)
	if err := r.check(); err != nil {
		return report, err
	}
	report.EmptyCycle = elapsed(func() { offers = r.cycle() })
	if len(offers) > 0 {
		return report, fmt.Errorf("%d offers when all have what they may have", len(offers))
	}
	return report, nil
}

func (r *quotaRun) addAgents() {
	for i := range r.agents {
		id := fmt.Sprintf("agent-%d", i)
		r.allocator.AddAgent(r.now, id, allocator.AgentOptions{Hostname: id, Total: r.agent}, nil)
	}
	r.allocator.Allocate(r.now)
}

func (r *quotaRun) addFrameworks() {
	for _, role := range r.roles {
		for _, id := range role.frameworks {
			r.allocator.AddFramework(r.now, id, allocator.FrameworkOptions{
				Roles: []string{role.name}, Capabilities: allocator.Capabilities{MultiRole: true, Refinement: true}, Active: true,
			})
		}
	}
}

func (r *quotaRun) setQuotas() {
	for _, role := range r.roles {
		if !role.quota.Empty() {
			r.allocator.SetQuota(r.now, role.name, role.quota, role.quota.Bound(role.quota))
		}
	}
}

func (r *quotaRun) cycle() []allocator.Offer {
	r.now = r.now.Add(time.Second)
	return r.allocator.Allocate(r.now)
}

// check holds that every role has its quota, neither more nor less.
func (r *quotaRun) check() error {
	for _, role := range r.roles {
		if has := r.allocator.Charged(role.name); !role.quota.Empty() && !has.Equal(role.quota) {
			return fmt.Errorf("role %s has %s of %s", role.name, has, role.quota)
		}
	}
	return nil
}

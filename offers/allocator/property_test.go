package allocator

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"muster/offers/mesos/scheduler"
	"muster/offers/resource"
)

// simulation does random things to an allocator and keeps an account of its
// own: what each framework has of each agent.
type simulation struct {
	now   time.Time
	a     *Allocator
	twin  *Allocator // is done the same to
	have  map[[2]string]resource.Set
	total map[string]resource.Set
}

var (
	frameworkIDs = []string{"f1", "f2", "f3", "f4"}
	agentIDs     = []string{"a1", "a2", "a3", "a4", "a5"}
	roleNames    = []string{"*", "a", "a/b", "c"}
	totals       = []string{
		"cpus:4;mem:256;ports:[1-20]", "cpus:2;mem:128;cpus(a):2;mem(a):64", "cpus:1;mem:64;cpus{REV}:3",
		"cpus:2;mem:100;gpus:1", "disk:100", "cpus:8;mem:1000;cpus(a/b):1;x:5", volume,
	}
	parts = []string{"cpus:1;mem:10", "cpus:0.5;ports:[3-4]", "mem:64;cpus(a):1", "cpus{REV}:1", "gpus:1", "cpus(a/b):1;x:2"}
)

// volume is a shared one, with other things.
const volume = `[{"name":"cpus","type":"SCALAR","scalar":{"value":3}},{"name":"mem","type":"SCALAR","scalar":{"value":100}},
	{"name":"disk","type":"SCALAR","scalar":{"value":4},"reservations":[{"type":"STATIC","role":"a"}],
	"disk":{"persistence":{"id":"v"},"volume":{"container_path":"v","mode":"RW"}},"shared":{}}]`

func draw(t *rapid.T, from []string, label string) string {
	return rapid.SampledFrom(from).Draw(t, label)
}

func parse(t *rapid.T, text string) resource.Set {
	s, err := resource.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// both does the same to the allocator and to its twin.
func (s *simulation) both(do func(a *Allocator)) {
	do(s.a)
	do(s.twin)
}

func (s *simulation) drawFramework(t *rapid.T) FrameworkOptions {
	o := FrameworkOptions{Active: rapid.IntRange(0, 4).Draw(t, "active") > 0}
	for _, role := range roleNames {
		switch rapid.IntRange(0, 3).Draw(t, "role "+role) {
		case 0, 1:
			o.Roles = append(o.Roles, role)
		case 2:
			o.Roles = append(o.Roles, role)
			o.Suppressed = append(o.Suppressed, role)
		}
	}
	caps := rapid.IntRange(0, 31).Draw(t, "capabilities")
	o.Capabilities = Capabilities{Revocable: caps&1 != 0, GPU: caps&2 != 0, Refinement: caps&4 != 0, Shared: caps&8 != 0}
	if rapid.IntRange(0, 3).Draw(t, "constraints") == 0 {
		o.Constraints = Constraints{"a": hostOne(t)}
	}
	if caps&16 != 0 {
		o.MinAllocatable = map[string][]resource.Quantities{"a": {parse(t, "cpus:2").Quantities()}}
	}
	return o
}

// hostOne wants agents of host one alone.
func hostOne(t *rapid.T) *Expression {
	c, err := compileCondition(PatternLimits{}, &scheduler.AttributeConstraint{
		Selector: &scheduler.AttributeConstraint_Selector{Selector: &scheduler.AttributeConstraint_Selector_PseudoattributeType_{
			PseudoattributeType: scheduler.AttributeConstraint_Selector_HOSTNAME}},
		Predicate: &scheduler.AttributeConstraint_Predicate{Predicate: &scheduler.AttributeConstraint_Predicate_TextEquals_{
			TextEquals: &scheduler.AttributeConstraint_Predicate_TextEquals{Value: proto.String("one")}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Expression{key: "one", groups: [][]condition{{c}}}
}

func (s *simulation) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"":                    s.check,
		"add framework":       s.addFramework,
		"update framework":    s.updateFramework,
		"remove framework":    s.removeFramework,
		"toggle framework":    s.toggleFramework,
		"suppress or revive":  s.suppressOrRevive,
		"request":             s.request,
		"add or update agent": s.addOrUpdateAgent,
		"remove agent":        s.removeAgent,
		"toggle agent":        s.toggleAgent,
		"give back":           s.giveBack,
		"decline a part":      s.giveBackPart,
		"convert":             s.convert,
		"set quota":           s.setQuota,
		"set weight":          s.setWeight,
		"allocate":            s.allocate,
		"allocate later":      s.allocateLater,
	}
}

func (s *simulation) addFramework(t *rapid.T) {
	id, o := draw(t, frameworkIDs, "id"), s.drawFramework(t)
	used := map[string]resource.Set{}
	for key, r := range s.have {
		if key[0] == id {
			used[key[1]] = r
		}
	}
	s.both(func(a *Allocator) {
		a.AddFramework(s.now, id, o)
		for _, agent := range slices.Sorted(maps.Keys(used)) {
			a.CorrectUse(s.now, agent, []Use{{id, used[agent]}})
		}
	})
}

func (s *simulation) updateFramework(t *rapid.T) {
	id, o := draw(t, frameworkIDs, "id"), s.drawFramework(t)
	s.both(func(a *Allocator) { a.UpdateFramework(s.now, id, o) })
}

func (s *simulation) removeFramework(t *rapid.T) {
	id := draw(t, frameworkIDs, "id")
	s.both(func(a *Allocator) { a.RemoveFramework(id) })
	for key := range s.have {
		if key[0] == id {
			delete(s.have, key)
		}
	}
}

func (s *simulation) toggleFramework(t *rapid.T) {
	id, active := draw(t, frameworkIDs, "id"), rapid.Bool().Draw(t, "active")
	s.both(func(a *Allocator) {
		if active {
			a.ActivateFramework(s.now, id)
		} else {
			a.DeactivateFramework(s.now, id)
		}
	})
}

func (s *simulation) suppressOrRevive(t *rapid.T) {
	id, roles := draw(t, frameworkIDs, "id"), rapid.SliceOfN(rapid.SampledFrom(roleNames), 0, 2).Draw(t, "roles")
	suppress := rapid.Bool().Draw(t, "suppress")
	s.both(func(a *Allocator) {
		if suppress {
			a.Suppress(id, roles)
		} else {
			a.Revive(s.now, id, roles)
		}
	})
}

func (s *simulation) request(t *rapid.T) {
	id := draw(t, frameworkIDs, "id")
	var requests []Request
	for range rapid.IntRange(0, 2).Draw(t, "requests") {
		requests = append(requests, Request{
			Agent:     draw(t, append([]string{"", "", "gone"}, agentIDs...), "agent"),
			Resources: parse(t, draw(t, []string{"cpus:2", "cpus:1;mem:100", "ports:[3-4]", "cpus:100", "gpus:1", "disk:3"}, "wanted")),
		})
	}
	s.both(func(a *Allocator) { a.Request(s.now, id, requests) })
}

func (s *simulation) addOrUpdateAgent(t *rapid.T) {
	id, total := draw(t, agentIDs, "id"), parse(t, draw(t, totals, "total"))
	o := AgentOptions{Total: total, Hostname: draw(t, []string{"one", "two"}, "hostname")}
	if _, known := s.total[id]; known {
		s.both(func(a *Allocator) { a.UpdateAgent(s.now, id, o) })
		s.total[id] = total
		return
	}
	s.total[id] = total
	user, role := draw(t, frameworkIDs, "user"), draw(t, roleNames, "role")
	used := total.AllocatableTo(role).Sub(parse(t, draw(t, parts, "left"))).Allocate(role)
	if rapid.Bool().Draw(t, "unused") {
		used = resource.Set{}
	}
	s.both(func(a *Allocator) { a.AddAgent(s.now, id, o, []Use{{user, used}}) })
	if !used.Empty() {
		s.have[[2]string{user, id}] = used
	}
}

func (s *simulation) removeAgent(t *rapid.T) {
	id := draw(t, agentIDs, "id")
	s.both(func(a *Allocator) { a.RemoveAgent(s.now, id) })
	delete(s.total, id)
	for key := range s.have {
		if key[1] == id {
			delete(s.have, key)
		}
	}
}

func (s *simulation) toggleAgent(t *rapid.T) {
	id, active := draw(t, agentIDs, "id"), rapid.Bool().Draw(t, "active")
	s.both(func(a *Allocator) {
		if active {
			a.ActivateAgent(s.now, id)
		} else {
			a.DeactivateAgent(s.now, id)
		}
	})
}

func (s *simulation) giveBack(t *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(t, "times") {
		key := s.someone(t)
		s.recover(t, key, s.have[key])
	}
}

// someone draws a framework that has something of an agent, if there is one.
func (s *simulation) someone(t *rapid.T) [2]string {
	var keys [][2]string
	for _, f := range frameworkIDs {
		for _, ag := range agentIDs {
			if _, some := s.have[[2]string{f, ag}]; some {
				keys = append(keys, [2]string{f, ag})
			}
		}
	}
	if len(keys) == 0 {
		return [2]string{frameworkIDs[0], agentIDs[0]}
	}
	return rapid.SampledFrom(keys).Draw(t, "who")
}

func (s *simulation) giveBackPart(t *rapid.T) {
	key := s.someone(t)
	s.recover(t, key, parse(t, draw(t, parts, "part")).Allocate(draw(t, roleNames, "role")))
}

func (s *simulation) recover(t *rapid.T, key [2]string, r resource.Set) {
	var refuse *time.Duration
	if i := rapid.IntRange(-1, 4).Draw(t, "refuse"); i >= 0 {
		d := []time.Duration{0, -1, 300 * time.Millisecond, 3 * time.Second, time.Hour}[i]
		refuse = &d
	}
	s.both(func(a *Allocator) { a.Recover(s.now, key[0], key[1], r, refuse) })
	if s.have[key] = s.have[key].Sub(r); s.have[key].Empty() {
		delete(s.have, key)
	}
}

func (s *simulation) convert(t *rapid.T) {
	key := s.someone(t)
	from, to := parse(t, "cpus:1").Allocate("a"), parse(t, "cpus(a):1").Allocate("a")
	if rapid.Bool().Draw(t, "back") {
		from, to = to, from
	}
	s.both(func(a *Allocator) { a.UpdateAllocation(key[0], key[1], from, to) })
	if r, some := s.have[key]; some && r.Contains(from) {
		s.have[key] = r.Sub(from).Add(to)
		s.total[key[1]] = s.total[key[1]].Sub(from.Unallocate()).Add(to.Unallocate())
	}
}

func (s *simulation) setQuota(t *rapid.T) {
	role := draw(t, roleNames, "role")
	guarantees, err := resource.ParseQuantities(draw(t, []string{"", "", "cpus:1", "cpus:3;mem:60", "mem:500", "gpus:1;x:1"}, "guarantees"))
	if err != nil {
		t.Fatal(err)
	}
	limits, err := resource.ParseLimits(draw(t, []string{"", "", "cpus:2", "cpus:4;mem:100", "cpus:0;mem:0", "gpus:0;disk:3", "x:1;y:0"}, "limits"))
	if err != nil {
		t.Fatal(err)
	}
	s.both(func(a *Allocator) { a.SetQuota(s.now, role, guarantees, limits) })
}

func (s *simulation) setWeight(t *rapid.T) {
	role, weight := draw(t, roleNames, "role"), rapid.SampledFrom([]float64{1, 2, 0.5}).Draw(t, "weight")
	s.both(func(a *Allocator) { a.SetWeight(s.now, role, weight) })
}

func (s *simulation) allocateLater(t *rapid.T) {
	s.now = s.now.Add(time.Duration(rapid.IntRange(1, 7000).Draw(t, "ms")) * time.Millisecond)
	s.allocate(t)
}

func (s *simulation) allocate(t *rapid.T) {
	before, lastBatch := s.a.quotaBefore(), s.a.lastBatch
	offers := s.a.Allocate(s.now)
	s.checkQuotas(t, before)
	if again := s.twin.Allocate(s.now); fmt.Sprint(offers) != fmt.Sprint(again) {
		t.Fatalf("the same events gave %v and %v", offers, again)
	}
	seen := map[string]int{}
	for i, o := range offers {
		key := [2]string{o.Framework, o.Agent}
		s.have[key] = s.have[key].Add(o.Resources)
		c := s.a.frameworks[o.Framework].find(o.Role)
		if !c.framework.active || !c.subscribed || c.suppressed {
			t.Fatalf("%v was offered to one that may not be", o)
		}
		if r := o.Resources; !r.AllocatedTo(o.Role).Equal(r) || !r.Unallocate().AllocatableTo(o.Role).Equal(r.Unallocate()) {
			t.Fatalf("%v is not for its role", o)
		}
		if last, some := seen[o.Framework]; some && last != i-1 {
			t.Fatalf("offers are not gathered by framework: %v", offers)
		}
		seen[o.Framework] = i
	}
	if next := s.a.Next(); !next.IsZero() && !next.After(s.now) {
		t.Fatalf("due at %v at once after a run at %v", next, s.now)
	}
	if err := s.a.Overlooked(); err != nil {
		t.Fatal(err)
	}
	if s.a.quotas == 0 || s.a.lastBatch > lastBatch { // what quotas held back is looked at again in the next batch
		if err := s.a.overlooked(); err != nil {
			t.Fatal(err)
		}
		s.checkExplained(t)
	}
}

func TestRandomSimulation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Seed: rapid.Uint64().Draw(t, "seed")}
		if rapid.Bool().Draw(t, "split") {
			cfg.Split = parse(t, "cpus:1").Quantities()
		}
		s := &simulation{
			now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), a: New(cfg), twin: New(cfg),
			have: map[[2]string]resource.Set{}, total: map[string]resource.Set{},
		}
		for range 3 {
			s.addFramework(t)
			s.addOrUpdateAgent(t)
		}
		t.Repeat(s.actions())
	})
}

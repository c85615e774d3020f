package allocator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"muster/offers/resource"
)

// Explanation is why a framework is not offered more under a role, by agents.
type Explanation struct {
	Awaiting int // agents that must come back before anybody is offered anything
	Findings []Finding
	Holders  []Holder // of what is not free, the largest first
}

// Finding is the agents that one reason keeps back.
type Finding struct {
	Reason   Reason
	Detail   string
	Agents   int
	Ends     time.Duration // after which the first of them may be offered again; 0: it does not end by itself
	Examples []string      // agents, a few
}

// Holder is a framework that has something under a role, offered or in use.
type Holder struct {
	Framework, Role string
	Agents          int
	Resources       resource.Quantities
}

const (
	fewExamples = 3
	fewHolders  = 5
)

// cause tells findings apart.
type cause struct {
	reason    Reason
	condition *condition // that does not hold
	others    int        // alternatives to it, none of which hold
	text      string
}

// Explain says of every agent, or of one, why the framework is not offered what
// it has under a role. It asks what Allocate asks, and changes nothing. idle says
// why an agent is not offered to anybody. It reports false when the framework is
// not known or does not subscribe to the role.
func (a *Allocator) Explain(now time.Time, frameworkID, roleName, agentID string, idle func(agent string) string) (Explanation, bool) {
	f := a.known(frameworkID)
	if f == nil {
		return Explanation{}, false
	}
	c := f.find(roleName)
	if c == nil || !c.subscribed {
		return Explanation{}, false
	}
	defer c.role.keepMarks()()
	e := explaining{
		run: run{Allocator: a}, client: c, at: max(a.now, moment(now.Sub(a.origin))),
		findings: map[cause]*Finding{}, holders: map[*client]*Holder{},
	}
	agents := a.list
	if agentID != "" {
		agents = nil
		if ag := a.agents[agentID]; ag != nil {
			agents = []*agent{ag}
		}
	}
	for _, ag := range agents {
		kept := ag.kept
		why, until := e.why(ag, idle)
		ag.kept = kept
		e.note(ag, why, until)
	}
	out := e.result()
	if a.awaiting() {
		out.Awaiting = a.expected - len(a.list)
	}
	return out, true
}

// keepMarks returns what puts back the marks that a look at what the quotas leave
// sets.
func (r *role) keepMarks() (restore func()) {
	var bound []bool
	for o := r; o.parent != nil; o = o.parent {
		bound = append(bound, o.quota.bound)
	}
	return func() {
		for i, o := 0, r; o.parent != nil; i, o = i+1, o.parent {
			o.quota.bound = bound[i]
		}
	}
}

// explaining is a look at all agents for one client.
type explaining struct {
	run
	client   *client
	at       moment
	findings map[cause]*Finding
	holders  map[*client]*Holder
}

// why says what keeps the agent from the client, and until when.
func (e *explaining) why(ag *agent, idle func(string) string) (cause, moment) {
	switch {
	case !ag.active:
		return cause{reason: Inactive, text: idle(ag.id)}, 0
	case ag.available.Empty():
		return cause{reason: Taken}, 0
	}
	e.arrive(ag)
	e.enter(e.client.role)
	v, why := e.judge(e.client)
	switch why {
	case Unsuited:
		return cause{reason: why, text: ag.unsuited(e.client, &e.cfg)}, 0
	case TooLittle:
		return e.whyTooLittle(), 0
	case Refused:
		return cause{reason: why}, e.refusedUntil(v)
	case Constrained:
		groups := e.client.screen.groups
		return cause{reason: why, condition: unmet(groups[0], &ag.options), others: len(groups) - 1}, 0
	}
	return cause{reason: why}, 0
}

// whyTooLittle says what takes so much away that too little is left.
func (e *explaining) whyTooLittle() cause {
	minimum := e.client.minimum
	if minimum == nil {
		minimum = e.cfg.MinAllocatable
	}
	class := e.client.framework.caps.class()
	all := e.agent.available.AllocatableTo(e.client.role.name)
	readable := readableBy(all, class)
	switch {
	case all.Empty():
		return cause{reason: Reserved}
	case !enough(readable, minimum) && enough(all, minimum):
		return cause{reason: Unread, text: missing(class, all, minimum)}
	case !enough(readable, minimum):
		return cause{reason: TooLittle}
	}
	for r := e.client.role; r.parent != nil; r = r.parent {
		if limits := r.quota.limits; !limits.Empty() && !enough(readable.Chop(limits.Sub(r.quota.charged)), minimum) {
			return cause{reason: Limited, text: r.name}
		}
	}
	return cause{reason: Kept}
}

// missing names the capabilities without which there is too little.
func missing(class int, all resource.Set, minimum []resource.Quantities) string {
	var names []string
	for i, name := range []string{"SHARED_RESOURCES", "REVOCABLE_RESOURCES", "RESERVATION_REFINEMENT"} {
		if bit := 1 << i; class&bit == 0 {
			if enough(readableBy(all, class|bit), minimum) {
				return name
			}
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// unsuited says what the client, or the agent, does not understand.
func (ag *agent) unsuited(c *client, cfg *Config) string {
	caps := &c.framework.caps
	switch {
	case ag.gpu && !caps.GPU && !cfg.GPUsForAll:
		return "the framework lacks GPU_RESOURCES"
	case ag.remote && !caps.RegionAware:
		return "the framework lacks REGION_AWARE"
	case ag.options.NoMultiRole && caps.MultiRole:
		return "the agent lacks MULTI_ROLE"
	}
	return "the agent lacks HIERARCHICAL_ROLE"
}

// refusedUntil is when the client's refusals of what it would be offered end.
func (e *explaining) refusedUntil(v *view) moment {
	until := moment(0)
	for _, r := range v.refusals {
		if i, found := r.find(e.client.slot); found {
			until = max(until, r.members[i].until)
		}
	}
	return until
}

func (e *explaining) note(ag *agent, why cause, until moment) {
	f := e.findings[why]
	if f == nil {
		f = &Finding{Reason: why.reason, Detail: why.detail()}
		e.findings[why] = f
	}
	f.Agents++
	if len(f.Examples) < fewExamples {
		f.Examples = append(f.Examples, ag.id)
	}
	if ends := time.Duration(until - e.at); until > 0 && (f.Ends == 0 || ends < f.Ends) {
		f.Ends = ends
	}
	if why.reason != Taken && why.reason != TooLittle {
		return
	}
	for i := range ag.holdings {
		c := ag.holdings[i].client
		h := e.holders[c]
		if h == nil {
			h = &Holder{Framework: c.framework.id, Role: c.role.name}
			e.holders[c] = h
		}
		h.Agents++
		h.Resources = h.Resources.Add(ag.holdings[i].set.Quantities())
	}
}

func (w cause) detail() string {
	switch {
	case w.condition != nil && w.others > 0:
		return fmt.Sprintf("unmet: %s, and %d alternatives", w.condition, w.others)
	case w.condition != nil:
		return "unmet: " + w.condition.String()
	}
	return w.text
}

// result puts the most frequent findings and the largest holders first.
func (e *explaining) result() Explanation {
	var out Explanation
	for _, f := range e.findings {
		out.Findings = append(out.Findings, *f)
	}
	slices.SortFunc(out.Findings, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(y.Agents, x.Agents), cmp.Compare(x.Reason, y.Reason), cmp.Compare(x.Detail, y.Detail))
	})
	for _, h := range e.holders {
		out.Holders = append(out.Holders, *h)
	}
	slices.SortFunc(out.Holders, func(x, y Holder) int {
		return cmp.Or(cmp.Compare(y.Resources.DominantShare(&e.shares), x.Resources.DominantShare(&e.shares)),
			cmp.Compare(x.Framework, y.Framework), cmp.Compare(x.Role, y.Role))
	})
	out.Holders = out.Holders[:min(len(out.Holders), fewHolders)]
	return out
}

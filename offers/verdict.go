package offers

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/allocator"
	"muster/offers/protocol"
)

// Reasons that concern a role as a whole: the names of the others are the
// allocator's.
const (
	notActive  = "not_active"
	suppressed = "suppressed"
	awaiting   = "awaiting_agents"
	noAgents   = "no_agents"
)

// state is how a framework stands with the leader.
type state string

const (
	stateActive       state = "active"
	stateAway         state = "away"
	stateAwaited      state = "awaited"
	stateAdmitting    state = "admitting"
	stateDisconnected state = "disconnected"
)

func (f *framework) state() state {
	switch {
	case f.active:
		return stateActive
	case !f.admitted || f.session != nil && !f.session.begun:
		return stateAdmitting
	case f.session != nil:
		return stateAway
	case f.awaited:
		return stateAwaited
	}
	return stateDisconnected
}

// inactive says what a state that is not active means for offers.
var inactive = map[state]string{
	stateAway:         "the node that holds its event stream has lost the leader: it is offered nothing until that is back",
	stateAwaited:      "the leader is new, and the node that holds its event stream has not announced it yet",
	stateAdmitting:    "its subscription is on its way into the registry",
	stateDisconnected: "it has no event stream: it is offered nothing until it subscribes again",
}

// obstacles are what keeps everything from the framework, whatever agents have.
func (m *Master) obstacles(f *framework, role string, why allocator.Explanation) []*protocol.Explanation_Finding {
	var out []*protocol.Explanation_Finding
	add := func(reason, detail string) {
		out = append(out, &protocol.Explanation_Finding{Reason: proto.String(reason), Detail: proto.String(detail)})
	}
	if s := f.state(); s != stateActive {
		add(notActive, inactive[s])
	}
	if len(without([]string{role}, f.suppressed)) == 0 {
		add(suppressed, "it has suppressed offers for the role, until it sends REVIVE")
	}
	if why.Awaiting > 0 {
		add(awaiting, fmt.Sprintf("nobody is offered anything until %s back after the change of leaders", count(why.Awaiting, "more agent is", "more agents are")))
	}
	if len(m.agents) == 0 {
		add(noAgents, "no agent is registered")
	}
	return out
}

// sayings are the reasons as a sentence about agents has them.
var sayings = map[string]string{
	allocator.Due.String():         "about to be offered to it, unless others come first",
	allocator.Taken.String():       "in use or offered, as a whole",
	allocator.Inactive.String():    "not offered to anybody",
	allocator.Reserved.String():    "reserved to other roles",
	allocator.Unsuited.String():    "not for what it and the agent understand of each other",
	allocator.Unread.String():      "free only in resources that it does not understand",
	allocator.Limited.String():     "kept back by the limit of a role",
	allocator.Kept.String():        "kept for the guarantees of other roles",
	allocator.TooLittle.String():   "left with less than the least that is offered",
	allocator.Refused.String():     "filtered, because it declined them",
	allocator.Constrained.String(): "excluded by its offer constraints",
	allocator.Unasked.String():     "left to others, as they do not meet what it asked for by REQUEST",
}

// verdict is the explanation in a sentence or two.
func (m *Master) verdict(f *framework, r *protocol.Explanation_Role) string {
	var out []string
	if o := r.GetOutstanding(); o.GetOffers() > 0 {
		out = append(out, fmt.Sprintf("It has not answered %s with %s, the oldest for %s.", count(int(o.GetOffers()), "offer", "offers"), sumOf(o.GetResources()),
			time.Duration(o.GetOldestSeconds()*float64(time.Second)).Round(time.Second)))
	}
	if len(r.GetFindings()) == 0 {
		return strings.Join(out, " ")
	}
	first := r.GetFindings()[0]
	if first.Agents == nil {
		return strings.Join(append(out, "It is offered nothing: "+first.GetDetail()+"."), " ")
	}
	total := 0
	for _, finding := range r.GetFindings() {
		total += int(finding.GetAgents())
	}
	text := fmt.Sprintf("%s %s", count(total, "agent is", "agents are"), sayings[first.GetReason()])
	if int(first.GetAgents()) < total {
		text = fmt.Sprintf("Of %d agents %s %s", total, count(int(first.GetAgents()), "is", "are"), sayings[first.GetReason()])
	}
	if first.Detail != nil {
		text += " (" + first.GetDetail() + ")"
	}
	if first.EndsSeconds != nil {
		text += fmt.Sprintf("; the first is offered again in %s", time.Duration(first.GetEndsSeconds()*float64(time.Second)).Round(time.Second))
	}
	return strings.Join(append(out, text+"."), " ")
}

// count writes how many of what.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

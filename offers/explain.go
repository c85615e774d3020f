package offers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/allocator"
	"muster/offers/protocol"
	"muster/offers/registry"
	"muster/offers/resource"
)

// maxExplains is how many times in a second explanations may look at all agents,
// once for each role: each look holds up the decisions for milliseconds where
// agents are many.
const maxExplains = 5

// explained counts the looks of a second.
type explained struct {
	second time.Time
	count  int
}

func (e *explained) allow(now time.Time, looks int) bool {
	if now.Sub(e.second) >= time.Second {
		e.second, e.count = now, 0
	}
	e.count += looks
	return e.count <= maxExplains
}

// explain answers why a framework is not offered more. It changes nothing.
func (m *Master) explain(l Link, msg *protocol.Explain) {
	refuse := func(code uint32, text string) { m.reply(l, msg.GetCallId(), code, text) }
	out := &protocol.Explanation{Agents: proto.Uint32(uint32(len(m.agents))), AwaitedAgents: proto.Uint32(uint32(len(m.recovered)))}
	answer := func() {
		m.toGateway(l, &protocol.MasterToGateway{Message: &protocol.MasterToGateway_Reply{Reply: &protocol.Reply{
			CallId: proto.Uint64(msg.GetCallId()), Code: proto.Uint32(statusOK), Explanation: out,
		}}})
	}
	if msg.GetFramework() == "" {
		for _, f := range sorted(m.frameworks) {
			out.Frameworks = append(out.Frameworks, f.explained())
		}
		answer()
		return
	}
	f, err := m.findFramework(msg.GetFramework())
	if err != nil {
		refuse(statusNotFound, err.Error())
		return
	}
	out.Frameworks = []*protocol.Explanation_Framework{f.explained()}
	roles := f.roles
	if msg.Role != nil {
		if roles = []string{msg.GetRole()}; !f.hasRoles(roles) {
			refuse(statusBadRequest, fmt.Sprintf("role: framework %s does not subscribe to '%s', but to %s", f.id, msg.GetRole(), braces(f.roles)))
			return
		}
	}
	agent := ""
	if msg.GetAgent() != "" {
		if agent, err = m.findAgent(msg.GetAgent()); err != nil {
			refuse(statusNotFound, err.Error())
			return
		}
	}
	if len(roles) > maxExplains {
		refuse(statusBadRequest, fmt.Sprintf("role: name one of the framework's %d roles", len(roles)))
		return
	}
	if !m.explains.allow(m.now, len(roles)) {
		m.refuseNow(l, msg.GetCallId(), fmt.Sprintf("more than %d explanations in a second", maxExplains), time.Second)
		return
	}
	for _, role := range roles {
		out.Roles = append(out.Roles, m.explainRole(f, role, agent))
	}
	answer()
}

// findFramework returns the framework of that ID, else the only one whose ID
// begins so or that has the name.
func (m *Master) findFramework(name string) (*framework, error) {
	if f := m.frameworks[name]; f != nil {
		return f, nil
	}
	if m.wasRemoved(name) {
		return nil, answerf("framework: %s has been removed", name)
	}
	var found []*framework
	var ids []string
	for _, f := range sorted(m.frameworks) {
		if strings.HasPrefix(f.id, name) || f.info.GetName() == name {
			found, ids = append(found, f), append(ids, f.id)
		}
	}
	switch len(found) {
	case 0:
		return nil, answerf("framework: no framework has the ID or the name '%s'", name)
	case 1:
		return found[0], nil
	}
	return nil, answerf("framework: '%s' may be any of %s", name, few(ids))
}

// findAgent returns the ID of a registered agent: of that ID or host name, else
// of the only one whose ID begins so.
func (m *Master) findAgent(name string) (string, error) {
	if m.agents[name] != nil {
		return name, nil
	}
	switch was := m.facts.Agent(name); {
	case m.recovered[name] != nil:
		return "", answerf("agent: %s has not come back since the leader changed", name)
	case was.GetStatus() == registry.Agent_UNREACHABLE:
		return "", answerf("agent: %s is unreachable", name)
	case was.GetStatus() == registry.Agent_GONE:
		return "", answerf("agent: %s is gone", name)
	}
	var found []string
	for _, a := range sorted(m.agents) {
		if strings.HasPrefix(a.id, name) || a.info.GetHostname() == name {
			found = append(found, a.id)
		}
	}
	switch len(found) {
	case 0:
		return "", answerf("agent: no registered agent has the ID or the host name '%s'", name)
	case 1:
		return found[0], nil
	}
	return "", answerf("agent: '%s' may be any of %s", name, few(found))
}

// few writes the first of many.
func few(names []string) string {
	if len(names) > 5 {
		return braces(append(slices.Clone(names[:5]), "…"))
	}
	return braces(names)
}

func (f *framework) explained() *protocol.Explanation_Framework {
	return &protocol.Explanation_Framework{
		Id: proto.String(f.id), Name: proto.String(f.info.GetName()), State: proto.String(string(f.state())),
		Roles: f.roles, SuppressedRoles: f.suppressed, Requests: f.requests,
	}
}

// idle says why nothing of an agent is offered.
func (m *Master) idle(id string) string {
	a := m.agents[id]
	was := m.facts.Agent(id)
	switch {
	case a == nil || a.link == nil:
		return "disconnected"
	case was.GetDrainInfo() != nil:
		return strings.ToLower(was.GetDrainInfo().GetState().String())
	case was.GetDeactivated():
		return "deactivated"
	}
	return "on its way out"
}

func (m *Master) explainRole(f *framework, role, agent string) *protocol.Explanation_Role {
	out := &protocol.Explanation_Role{Role: proto.String(role), Outstanding: m.outstanding(f, role, agent)}
	why, known := m.allocator.Explain(m.now, f.id, role, agent, m.idle)
	if known {
		for _, finding := range why.Findings {
			out.Findings = append(out.Findings, m.finding(finding))
		}
		for _, h := range why.Holders {
			out.Holders = append(out.Holders, &protocol.Explanation_Holder{
				FrameworkId: proto.String(h.Framework), Name: m.frameworkName(h.Framework), Role: proto.String(h.Role),
				Agents: proto.Uint32(uint32(h.Agents)), Resources: h.Resources.Proto(),
			})
		}
	}
	out.Findings = append(m.obstacles(f, role, why), out.Findings...)
	out.Verdict = proto.String(m.verdict(f, out))
	return out
}

// frameworkName is nil for a framework of which only agents have spoken.
func (m *Master) frameworkName(id string) *string {
	if f := m.frameworks[id]; f != nil {
		return proto.String(f.info.GetName())
	}
	return nil
}

// outstanding is what the framework was offered and has not answered.
func (m *Master) outstanding(f *framework, role, agent string) *protocol.Explanation_Outstanding {
	var sum resource.Set
	n, oldest := 0, m.now
	for _, o := range f.sortedOffers() {
		if o.role != role || agent != "" && o.agent.id != agent {
			continue
		}
		n++
		sum = sum.Add(o.resources.Scalars())
		if o.made.Before(oldest) {
			oldest = o.made
		}
	}
	if n == 0 {
		return nil
	}
	return &protocol.Explanation_Outstanding{
		Offers: proto.Uint32(uint32(n)), Resources: sum.Unallocate().Proto(), OldestSeconds: proto.Float64(m.now.Sub(oldest).Seconds()),
	}
}

func (m *Master) finding(f allocator.Finding) *protocol.Explanation_Finding {
	out := &protocol.Explanation_Finding{Reason: proto.String(f.Reason.String()), Agents: proto.Uint32(uint32(f.Agents))}
	if f.Detail != "" {
		out.Detail = proto.String(f.Detail)
	}
	if f.Ends > 0 {
		out.EndsSeconds = proto.Float64(f.Ends.Seconds())
	}
	for _, id := range f.Examples {
		example := &protocol.Explanation_Example{AgentId: proto.String(id)}
		if a := m.agents[id]; a != nil {
			example.Hostname = proto.String(a.info.GetHostname())
			example.Available = a.left().Proto()
		}
		out.Examples = append(out.Examples, example)
	}
	return out
}

// left is what of an agent is neither used nor offered.
func (a *agent) left() resource.Set {
	return a.capacity().Sub(a.allocated.Unallocate()).Sub(a.offered.Unallocate())
}

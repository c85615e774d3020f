package api

import (
	"context"
	"fmt"
	"net/http"

	"muster/offers/allocator"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
)

// Explain asks the leader why a framework is not offered more.
func (g *Gateway) Explain(ctx context.Context, what *protocol.Explain) (Reply, error) {
	return g.askForOperator(ctx, what.GetPrincipal(), func(id uint64) *protocol.GatewayToMaster {
		what.CallId = &id
		return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Explain{Explain: what}}
	})
}

// explain answers GET /muster/v1/explain?framework=&role=&agent= with a
// protocol.Explanation.
func (m *masterAPI) explain(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	for name := range query {
		if name != "framework" && name != "role" && name != "agent" && name != "jsonp" {
			return refuse(http.StatusBadRequest, "%s: unknown parameter; framework, role and agent are known", name)
		}
	}
	what := &protocol.Explain{Principal: optional(principal(r)), Framework: optional(query.Get("framework")), Agent: optional(query.Get("agent"))}
	if query.Has("role") {
		role := query.Get("role")
		what.Role = &role
	}
	if what.Framework == nil && (what.Role != nil || what.Agent != nil) {
		return refuse(http.StatusBadRequest, "framework: role and agent are of one framework's explanation: name it")
	}
	reply, err := m.gateway.Explain(r.Context(), what)
	if err != nil {
		return err
	}
	if reply.Explanation == nil {
		writeReply(w, reply)
		return nil
	}
	body, err := mesos.MarshalJSON(reply.Explanation)
	if err != nil {
		return fmt.Errorf("encode explanation: %w", err)
	}
	return writeEncoded(w, r, body)
}

// constraintsDebug shows which agents each framework's offer constraints exclude.
// They are evaluated here, not by the leader, which has admitted them.
// Mesos: src/master/allocator/mesos/hierarchical.cpp, offerConstraintsDebug.
func (m *masterAPI) constraintsDebug(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeoutCause(r.Context(), readWait, ErrNoLeader)
	defer cancel()
	v, err := m.views.Snapshot(ctx)
	if err != nil {
		return err
	}
	reply, err := m.gateway.Explain(ctx, &protocol.Explain{Principal: optional(principal(r))})
	if err != nil {
		return err
	}
	suppressed := map[string][]string{}
	for _, f := range reply.Explanation.GetFrameworks() {
		suppressed[f.GetId()] = f.GetSuppressedRoles()
	}
	agents := v.Agents()
	var out writer
	out.object(func() {
		out.key("frameworks").object(func() {
			for _, f := range v.Frameworks() {
				id := f.GetFrameworkInfo().GetId().GetValue()
				out.key(id).object(func() {
					out.key("suppressed_roles").strs(suppressed[id])
					out.key("excluded_by_attribute_constraints").object(func() { err = excluded(&out, f, agents) })
				})
				if err != nil {
					return
				}
			}
		})
	})
	if err != nil {
		return err
	}
	return writeEncoded(w, r, out.chunks()...)
}

// excluded writes the agents that a framework's constraints exclude, by role.
func excluded(w *writer, f *master.Response_GetFrameworks_Framework, agents []*master.Response_GetAgents_Agent) error {
	constraints, err := allocator.CompileConstraints(allocator.Unlimited, f.GetOfferConstraints())
	if err != nil {
		return fmt.Errorf("constraints of framework %s: %w", f.GetFrameworkInfo().GetId().GetValue(), err)
	}
	roles := f.GetFrameworkInfo().GetRoles()
	if len(roles) == 0 {
		roles = []string{f.GetFrameworkInfo().GetRole()}
	}
	for _, role := range roles {
		var ids []string
		if e := constraints[role]; e != nil {
			for _, a := range agents {
				info := a.GetAgentInfo()
				if e.Excludes(&allocator.AgentOptions{Hostname: info.GetHostname(), Attributes: info.GetAttributes(), Domain: info.GetDomain()}) {
					ids = append(ids, info.GetId().GetValue())
				}
			}
		}
		w.key(role).strs(ids)
	}
	return nil
}

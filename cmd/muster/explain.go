package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
)

func explainCommand() *cobra.Command {
	var role, agent string
	c := callCommand("explain FRAMEWORK", "Say why a framework is not offered more", one("FRAMEWORK"),
		func(c *cobra.Command, nodes *client.Client, args []string) error {
			list, err := nodes.Get(c.Context(), master.Call_GET_FRAMEWORKS)
			if err != nil {
				return err
			}
			f, err := findFramework(list.GetGetFrameworks(), args[0], false)
			if err != nil {
				return err
			}
			query := url.Values{"framework": {f.GetFrameworkInfo().GetId().GetValue()}}
			if c.Flags().Changed("role") {
				query.Set("role", role)
			}
			if agent != "" {
				t, err := find(c.Context(), nodes, agent)
				if err != nil {
					return err
				}
				query.Set("agent", t.id)
			}
			return showExplanation(c, nodes, query)
		})
	c.GroupID = "ask"
	c.Long = `Says why a framework is not offered more, now: what the code that makes offers
says of each agent, for each of the framework's roles.

FRAMEWORK is an ID, the start or end of one, or a name that only one has.`
	c.Flags().StringVar(&role, "role", "", "one of its roles (default: all)")
	c.Flags().StringVar(&agent, "agent", "", "one agent, by its ID, the end of that, its host name or its node's name (default: all)")
	return c
}

func showExplanation(c *cobra.Command, nodes *client.Client, query url.Values) error {
	var text json.RawMessage
	if err := nodes.GetJSON(c.Context(), "/muster/v1/explain?"+query.Encode(), &text); err != nil {
		return err
	}
	var e protocol.Explanation
	if err := mesos.UnmarshalJSON(text, &e); err != nil {
		return fmt.Errorf("explanation: %w", err)
	}
	return show(c, text, func(out *printer) {
		f := e.GetFrameworks()[0]
		out.line("%s (%s) is %s.", f.GetId(), f.GetName(), f.GetState())
		for _, r := range f.GetRequests() {
			out.line("It asked for %s.", requested(r))
		}
		for _, r := range e.GetRoles() {
			out.line("")
			out.role(r)
		}
		if n := e.GetAwaitedAgents(); n > 0 {
			out.line("\nAgents that have not come back since the leader changed: %d.", n)
		}
	})
}

func requested(r *mesos.Request) string {
	text := brief(r.GetResources())
	if text == "-" {
		text = "anything"
	}
	if id := r.GetAgentId().GetValue(); id != "" {
		text += " on agent " + id
	}
	return text
}

// role prints what is said of one role: the verdict, the reasons, who has the rest.
func (p *printer) role(r *protocol.Explanation_Role) {
	p.line("Role %s: %s", r.GetRole(), r.GetVerdict())
	var rows [][]string
	for _, f := range r.GetFindings() {
		agents, ends := "all", ""
		if f.Agents != nil {
			agents = strconv.FormatUint(uint64(f.GetAgents()), 10)
		}
		if f.EndsSeconds != nil {
			ends = "in " + (time.Duration(f.GetEndsSeconds() * float64(time.Second))).Round(time.Second).String()
		}
		var examples []string
		for _, e := range f.GetExamples() {
			text := e.GetHostname()
			if left := brief(e.GetAvailable()); left != "-" {
				text += " (" + left + ")"
			}
			examples = append(examples, text)
		}
		rows = append(rows, []string{agents, f.GetReason(), ends, f.GetDetail(), strings.Join(examples, ", ")})
	}
	if len(rows) > 0 {
		p.line("")
		p.table([]string{"AGENTS", "REASON", "ENDS", "DETAIL", "SUCH AS"}, rows)
	}
	rows = nil
	for _, h := range r.GetHolders() {
		rows = append(rows, []string{h.GetName(), h.GetRole(), strconv.FormatUint(uint64(h.GetAgents()), 10), brief(h.GetResources()), h.GetFrameworkId()})
	}
	if len(rows) > 0 {
		p.line("")
		p.table([]string{"HELD BY", "ROLE", "AGENTS", "RESOURCES", "FRAMEWORK"}, rows)
	}
}

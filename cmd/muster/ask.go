package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"muster/node"
	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/resource"
)

// askCommandArgs is a command that asks, without what it does.
func askCommandArgs(use, short string) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, GroupID: "ask"}
	addAPI(c)
	addOutput(c)
	return c
}

// askCommand is a command that asks one node and shows the answer.
func askCommand(use, short string, ask func(c *cobra.Command, nodes *client.Client) error) *cobra.Command {
	c := callCommand(use, short, cobra.NoArgs, func(c *cobra.Command, nodes *client.Client, _ []string) error { return ask(c, nodes) })
	c.GroupID = "ask"
	return c
}

// callCommand is a command that calls one node with what its arguments say.
func callCommand(use, short string, args cobra.PositionalArgs, call func(c *cobra.Command, nodes *client.Client, args []string) error) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(c *cobra.Command, args []string) error {
			nodes, err := connect(c)
			if err != nil {
				return err
			}
			return explain(call(c, nodes, args), nodes)
		},
	}
	addAPI(c)
	addOutput(c)
	return c
}

func nodesCommand() *cobra.Command {
	return askCommand("nodes", "List the nodes of the cluster", func(c *cobra.Command, nodes *client.Client) error {
		var view node.NodesView
		if err := nodes.GetJSON(c.Context(), "/muster/v1/nodes", &view); err != nil {
			return err
		}
		states, err := agentStates(c, nodes)
		if err != nil {
			return err
		}
		return show(c, view, func(out *printer) {
			var rows [][]string
			for _, n := range view.Nodes {
				state := "up " + since(n.Started)
				if !n.Alive {
					state = "silent for " + since(n.LastSeen)
				}
				if s := states(n.AgentAPI); s != "" {
					state += ", " + s
				}
				rows = append(rows, []string{n.Name, n.Role, state, n.API, n.AgentAPI, n.Zone, n.Version, shortID(string(n.Peer))})
			}
			out.table([]string{"NAME", "ROLE", "STATE", "API", "AGENT", "ZONE", "VERSION", "PEER"}, rows)
			if leaderName(view) == "" {
				out.line("\nNo leader is known: is a majority of the voters running?")
			}
		})
	})
}

func quorumCommand() *cobra.Command {
	return askCommand("quorum", "Show the quorum, as the leader sees it", func(c *cobra.Command, nodes *client.Client) error {
		view, err := leaderQuorum(c, nodes)
		if err != nil {
			return err
		}
		return show(c, view, func(out *printer) {
			out.line("Term %d, log %d entries, %d applied here (%s).\n", view.Term, view.LastIndex, view.Applied, view.Role)
			var rows [][]string
			add := func(role string, list []node.MemberView) {
				for _, m := range list {
					r := role
					if m.Peer == view.Leader {
						r = "leader"
					}
					contact := ""
					if !m.LastContact.IsZero() {
						contact = since(m.LastContact)
					}
					rows = append(rows, []string{m.Name, r, contact, strconv.FormatUint(m.Lag, 10), shortID(m.Peer)})
				}
			}
			add("voter", view.Voters)
			add("standby", view.Standbys)
			out.table([]string{"NAME", "ROLE", "HEARD", "BEHIND", "PEER"}, rows)
			out.line("")
			rows = nil
			for _, e := range view.Events {
				rows = append(rows, []string{e.Time.Local().Format(time.TimeOnly), strconv.FormatUint(e.Term, 10), e.What, shortID(e.Node), strings.TrimSpace(e.Reason + " " + e.Error)})
			}
			if len(rows) > 0 {
				out.table([]string{"TIME", "TERM", "CHANGE", "NODE", "REASON"}, rows)
			}
		})
	})
}

// leaderQuorum asks the leader, if it answers: only it knows how far the others are.
func leaderQuorum(c *cobra.Command, nodes *client.Client) (view node.QuorumView, err error) {
	var members node.NodesView
	if err := nodes.GetJSON(c.Context(), "/muster/v1/nodes", &members); err != nil {
		return view, err
	}
	if members.Leader != "" && nodes.GetJSON(c.Context(), ofNode("/muster/v1/quorum", string(members.Leader), nil), &view) == nil {
		return view, nil
	}
	return view, nodes.GetJSON(c.Context(), "/muster/v1/quorum", &view)
}

// ofNode is the path of what a node tells of itself, to be asked of any; * is all.
func ofNode(path, name string, query url.Values) string {
	q := url.Values{"node": {name}}
	maps.Copy(q, query)
	return path + "?" + q.Encode()
}

// showResponse shows an operator's response: -o json is Mesos's own JSON.
func showResponse(c *cobra.Command, m proto.Message, table func(*printer)) error {
	text, err := mesos.MarshalJSON(m)
	if err != nil {
		return err
	}
	return show(c, json.RawMessage(text), table)
}

func agentsCommand() *cobra.Command {
	return askCommand("agents", "List the agents and what they offer", func(c *cobra.Command, nodes *client.Client) error {
		r, err := nodes.Get(c.Context(), master.Call_GET_AGENTS)
		if err != nil {
			return err
		}
		return showResponse(c, r.GetGetAgents(), func(out *printer) {
			var rows [][]string
			for _, a := range r.GetGetAgents().GetAgents() {
				state := cmp.Or(agentState(a), "active")
				used, total := scalars(a.GetAllocatedResources()), scalars(a.GetTotalResources())
				rows = append(rows, []string{
					a.GetAgentInfo().GetId().GetValue(), a.GetAgentInfo().GetHostname(), state,
					share(used["cpus"], total["cpus"]), share(used["mem"], total["mem"]), share(used["disk"], total["disk"]),
					brief(a.GetOfferedResources()), agentAddress(a.GetPid()),
				})
			}
			for _, a := range r.GetGetAgents().GetRecoveredAgents() {
				rows = append(rows, []string{a.GetId().GetValue(), a.GetHostname(), "awaited"})
			}
			out.table([]string{"AGENT", "HOST", "STATE", "CPUS", "MEM MB", "DISK MB", "OFFERED", "API"}, rows)
		})
	})
}

func tasksCommand() *cobra.Command {
	var all bool
	c := askCommand("tasks", "List the tasks", func(c *cobra.Command, nodes *client.Client) error {
		r, err := nodes.Get(c.Context(), master.Call_GET_TASKS)
		if err != nil {
			return err
		}
		agents, err := nodes.Get(c.Context(), master.Call_GET_AGENTS)
		if err != nil {
			return err
		}
		host := map[string]string{}
		for _, a := range agents.GetGetAgents().GetAgents() {
			host[a.GetAgentInfo().GetId().GetValue()] = a.GetAgentInfo().GetHostname()
		}
		return showResponse(c, r.GetGetTasks(), func(out *printer) {
			list := slices.Concat(r.GetGetTasks().GetTasks(), r.GetGetTasks().GetUnreachableTasks())
			if all {
				list = append(list, r.GetGetTasks().GetCompletedTasks()...)
			}
			var rows [][]string
			for _, t := range list {
				rows = append(rows, []string{
					t.GetTaskId().GetValue(), strings.TrimPrefix(t.GetState().String(), "TASK_"), host[t.GetAgentId().GetValue()],
					brief(t.GetResources()), lastTime(t), t.GetFrameworkId().GetValue(),
				})
			}
			out.table([]string{"TASK", "STATE", "HOST", "RESOURCES", "SINCE", "FRAMEWORK"}, rows)
			if n := len(r.GetGetTasks().GetCompletedTasks()); n > 0 && !all {
				out.line("\n%d completed: muster tasks --all", n)
			}
		})
	})
	c.Flags().BoolVarP(&all, "all", "a", false, "show completed tasks too")
	return c
}

func offersCommand() *cobra.Command {
	return askCommand("offers", "List the outstanding offers", func(c *cobra.Command, nodes *client.Client) error {
		r, err := nodes.Get(c.Context(), master.Call_GET_FRAMEWORKS)
		if err != nil {
			return err
		}
		var list []*mesos.Offer
		var rows [][]string
		for _, f := range r.GetGetFrameworks().GetFrameworks() {
			for _, o := range f.GetOffers() {
				list = append(list, o)
				rows = append(rows, []string{o.GetId().GetValue(), f.GetFrameworkInfo().GetName(), o.GetAllocationInfo().GetRole(), o.GetHostname(), brief(o.GetResources())})
			}
		}
		return show(c, rawList(list), func(out *printer) {
			out.table([]string{"OFFER", "FRAMEWORK", "ROLE", "HOST", "RESOURCES"}, rows)
		})
	})
}

func rawList(list []*mesos.Offer) []json.RawMessage {
	out := []json.RawMessage{}
	for _, o := range list {
		if text, err := mesos.MarshalJSON(o); err == nil {
			out = append(out, text)
		}
	}
	return out
}

func usageCommand() *cobra.Command {
	c := askCommand("usage", "Show what the running tasks really use", func(c *cobra.Command, nodes *client.Client) error {
		views, err := askEach[node.UsageView](c, nodes, "", "/muster/v1/usage", nil)
		if err != nil {
			return err
		}
		var rows [][]string
		for _, v := range views {
			for _, t := range v.Tasks {
				rows = append(rows, usageRow(v, t))
			}
		}
		return show(c, views, func(out *printer) {
			out.table([]string{"TASK", "NODE", "CPUS", "DAY P99", "CPU TIME", "WAITED", "FOR OTHERS", "P99 WAIT", "SWITCHES", "MEM", "READ", "WRITTEN", "NET RX/TX", "BY"}, rows)
		})
	})
	c.AddCommand(usageExportCommand())
	return c
}

// askEach asks every node the same, or only the one that is named, and says of
// which there is no answer.
func askEach[T any](c *cobra.Command, nodes *client.Client, only, path string, query url.Values) ([]T, error) {
	if only != "" {
		var v T
		err := nodes.GetJSON(c.Context(), ofNode(path, only, query), &v)
		return []T{v}, err
	}
	var all node.Everyone[T]
	if err := nodes.GetJSON(c.Context(), ofNode(path, "*", query), &all); err != nil {
		return nil, err
	}
	for _, a := range all.Away {
		fmt.Fprintf(c.ErrOrStderr(), "muster: %s\n", a.Reason)
	}
	return all.Nodes, nil
}

func usageRow(v node.UsageView, t node.TaskUsage) []string {
	return []string{
		t.TaskID, v.Node, fmt.Sprintf("%.2f / %g", t.CPUs, t.CPUsAllocated) + map[bool]string{true: " revocable"}[t.Revocable], fmt.Sprintf("%.2f", t.CPUsDayP99),
		fmt.Sprintf("%.2fs", t.CPUSeconds), fmt.Sprintf("%.2fs", t.WaitSeconds), fmt.Sprintf("%.2fs", t.ForOthers), fmt.Sprintf("%.1fms", t.WaitP99), strconv.FormatUint(t.Switches, 10),
		humanize.IBytes(t.MemWorkingSet) + " / " + humanize.IBytes(t.MemAllocated),
		humanize.IBytes(t.ReadBytes), humanize.IBytes(t.WriteBytes),
		humanize.IBytes(t.RxBytes) + " / " + humanize.IBytes(t.TxBytes), v.Source,
	}
}

func versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: "Show this program's version", GroupID: "ask", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c, map[string]string{"version": version}, func(out *printer) { out.line("muster %s", version) })
		},
	}
	addOutput(c)
	return c
}

// scalars sums resources by name.
func scalars(list []*mesos.Resource) map[string]float64 {
	sums := map[string]float64{}
	for _, r := range list {
		sums[r.GetName()] += r.GetScalar().GetValue()
	}
	return sums
}

func share(used, total float64) string { return fmt.Sprintf("%g / %g", round(used), round(total)) }

func round(v float64) float64 { return float64(int64(v*100+0.5)) / 100 }

// brief writes resources on one line; "-" is none.
func brief(list []*mesos.Resource) string {
	set, err := resource.FromProto(list)
	if err != nil || set.Empty() {
		return "-"
	}
	var parts []string
	for _, name := range []string{"cpus", "gpus", "mem", "disk"} {
		if v := set.Scalar(name); v > 0 {
			parts = append(parts, fmt.Sprintf("%s:%g", name, round(float64(v)/resource.Milli)))
		}
	}
	for _, r := range set.Ranges("ports") {
		parts = append(parts, fmt.Sprintf("ports:%d-%d", r.Begin, r.End))
	}
	return strings.Join(parts, " ")
}

func lastTime(t *mesos.Task) string {
	n := len(t.GetStatuses())
	if n == 0 {
		return ""
	}
	return since(time.UnixMilli(int64(t.GetStatuses()[n-1].GetTimestamp() * 1000)))
}

func since(t time.Time) string {
	d := time.Since(t)
	if d < time.Minute {
		return fmt.Sprintf("%.0fs", max(d.Seconds(), 0))
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// shortID is the end of a peer's ID, where peers differ.
func shortID(id string) string {
	if len(id) > 8 {
		return "…" + id[len(id)-8:]
	}
	return id
}

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"muster/node"
	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/maintenance"
	"muster/offers/mesos/master"
)

// target is an agent that an operator names.
type target struct {
	id, hostname, node string
}

// away is what is said of a node whose agent is not registered.
const away = "unreachable"

// returning is how long a node that was named may take to come back to a new leader.
const returning = 10 * time.Second

// find returns the agent that an operator names. A node whose agent the leader still
// awaits is given some seconds: till then nobody knows which of those awaited is its.
func find(ctx context.Context, nodes *client.Client, text string) (target, error) {
	for deadline := time.Now().Add(returning); ; {
		list, awaited, err := targets(ctx, nodes)
		if err != nil {
			return target{}, err
		}
		t, err := pick(list, text)
		if err == nil || !slices.Contains(awaited, text) || time.Now().After(deadline) {
			return t, err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return target{}, context.Cause(ctx)
		}
	}
}

// targets returns the agents that an operator can name, and the nodes that awaited
// agents may be those of.
func targets(ctx context.Context, nodes *client.Client) (out []target, awaited []string, err error) {
	r, err := nodes.Get(ctx, master.Call_GET_AGENTS)
	if err != nil {
		return nil, nil, err
	}
	var members node.NodesView
	var status *client.StatusError
	// A node's name is only one of the ways to name it: what is no node of ours may lack them.
	if err := nodes.GetJSON(ctx, "/muster/v1/nodes", &members); err != nil && !(errors.As(err, &status) && status.Code == http.StatusNotFound) {
		return nil, nil, err
	}
	name := map[string]string{}
	for _, n := range members.Nodes {
		name[n.AgentAPI] = n.Name
	}
	for _, a := range r.GetGetAgents().GetAgents() {
		address := agentAddress(a.GetPid())
		out = append(out, target{a.GetAgentInfo().GetId().GetValue(), a.GetAgentInfo().GetHostname(), name[address]})
		delete(name, address)
	}
	for _, a := range r.GetGetAgents().GetRecoveredAgents() {
		out = append(out, target{id: a.GetId().GetValue(), hostname: a.GetHostname()})
		awaited = slices.Collect(maps.Values(name))
	}
	return out, awaited, nil
}

// pick returns the agent that text names: by its ID, the end of it, its host name or
// its node's name. A full ID that nobody has is taken as it is: an unreachable agent.
func pick(list []target, text string) (target, error) {
	var found []target
	for _, t := range list {
		switch {
		case t.id == text:
			return t, nil
		case strings.HasSuffix(t.id, text), strings.EqualFold(t.hostname, text), t.node != "" && t.node == text:
			found = append(found, t)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		if at := strings.LastIndex(text, "-S"); at > 0 && at+2 < len(text) {
			return target{id: text}, nil
		}
		return target{}, fmt.Errorf("no agent is named %q: name it by agent ID, the end of one, host name or node name; see `muster agents`", text)
	}
	var lines []string
	for _, t := range found {
		lines = append(lines, fmt.Sprintf("  %s host %s node %s", t.id, t.hostname, t.node))
	}
	return target{}, fmt.Errorf("%q names %d agents; use the ID of one:\n%s", text, len(found), strings.Join(lines, "\n"))
}

// agentState says in a word what an agent is up to when it is not simply active.
func agentState(a *master.Response_GetAgents_Agent) string {
	drain := a.GetDrainInfo()
	switch {
	case drain.GetState() == mesos.DrainState_DRAINING:
		return "draining"
	case drain.GetState() == mesos.DrainState_DRAINED:
		return "drained"
	case a.GetDeactivated():
		return "deactivated"
	case !a.GetActive():
		return "inactive"
	}
	used, total := scalars(a.GetAllocatedResources()), scalars(a.GetTotalResources())
	for _, name := range []string{"cpus", "mem", "disk", "gpus"} {
		if used[name] > total[name] {
			return "overcommitted"
		}
	}
	return ""
}

// agentStates returns what is to be said of the agent at an address.
func agentStates(c *cobra.Command, nodes *client.Client) (func(address string) string, error) {
	r, err := nodes.Get(c.Context(), master.Call_GET_AGENTS)
	var status *client.StatusError
	if errors.As(err, &status) && status.Code == http.StatusServiceUnavailable {
		return func(string) string { return "" }, nil // no leader: the nodes are still worth showing
	}
	if err != nil {
		return nil, err
	}
	m, err := nodes.Get(c.Context(), master.Call_GET_MAINTENANCE_STATUS)
	if err != nil {
		return nil, err
	}
	states := map[string]string{}
	for _, a := range r.GetGetAgents().GetAgents() {
		states[agentAddress(a.GetPid())] = agentState(a)
	}
	down := m.GetGetMaintenanceStatus().GetStatus().GetDownMachines()
	return func(address string) string {
		s, registered := states[address]
		switch {
		case registered:
			return s
		case downAt(down, address):
			return "down"
		}
		return away
	}, nil
}

// downAt reports whether an agent's address is that of a machine that is down.
func downAt(down []*mesos.MachineID, address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	for _, id := range down {
		if id.GetIp() == host || strings.EqualFold(id.GetHostname(), host) {
			return true
		}
	}
	return false
}

// machineOf reads HOST, HOST/IP or /IP.
func machineOf(text string) (*mesos.MachineID, error) {
	host, ip, _ := strings.Cut(text, "/")
	if host == "" && ip == "" {
		return nil, fmt.Errorf("%q names no machine: expecting HOST, HOST/IP or /IP", text)
	}
	id := &mesos.MachineID{}
	if host != "" {
		id.Hostname = proto.String(host)
	}
	if ip != "" {
		id.Ip = proto.String(ip)
	}
	return id, nil
}

// known returns an error unless an agent is registered from each machine: the name of
// a node is not its machine's, and one that is misspelt would be in the schedule for nothing.
func known(list []target, ids []*mesos.MachineID) error {
	for _, id := range ids {
		host := id.GetHostname()
		if host == "" || slices.ContainsFunc(list, func(t target) bool { return strings.EqualFold(t.hostname, host) }) {
			continue
		}
		if at := slices.IndexFunc(list, func(t target) bool { return t.node == host }); at >= 0 {
			return fmt.Errorf("%s is a node, and its machine is %s: name that", host, list[at].hostname)
		}
		return fmt.Errorf("no agent is registered from host %q: `muster agents` lists the hosts; --force schedules it all the same", host)
	}
	return nil
}

func machineName(id *mesos.MachineID) string {
	if id.GetIp() == "" {
		return id.GetHostname()
	}
	return id.GetHostname() + "/" + id.GetIp()
}

func machinesOf(words []string) ([]*mesos.MachineID, error) {
	var out []*mesos.MachineID
	for _, w := range words {
		id, err := machineOf(w)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

func without(s *maintenance.Schedule, gone []*mesos.MachineID) *maintenance.Schedule {
	names := map[string]bool{}
	for _, id := range gone {
		names[strings.ToLower(machineName(id))] = true
	}
	out := &maintenance.Schedule{}
	for _, w := range s.GetWindows() {
		kept := &maintenance.Window{Unavailability: w.GetUnavailability()}
		for _, id := range w.GetMachineIds() {
			if !names[strings.ToLower(machineName(id))] {
				kept.MachineIds = append(kept.MachineIds, id)
			}
		}
		if len(kept.MachineIds) > 0 {
			out.Windows = append(out.Windows, kept)
		}
	}
	return out
}

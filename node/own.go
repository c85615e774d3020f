package node

import (
	"cmp"
	"encoding/json"
	"net/http"
	"time"

	"muster/consensus"
	"muster/node/api"
	"muster/p2p"
	"muster/telemetry"
)

// own are muster's own endpoints: of both APIs, for what a node tells of itself or
// of another can be asked anywhere.
func (n *Node) own() map[string]http.Handler {
	out := n.reportHandlers(newProxy(n.mesh))
	out["GET /muster/v1/nodes"] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, n.nodes()) })
	return out
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = api.Paced(w).Write(append(body, '\n')) // the client may have gone
}

// NodeView is one member in /muster/v1/nodes.
type NodeView struct {
	Peer      p2p.PeerID `json:"peer"`
	Name      string     `json:"name"`
	Role      string     `json:"role"` // leader, voter, standby or member
	Alive     bool       `json:"alive"`
	Self      bool       `json:"self,omitempty"` // the node that answers
	API       string     `json:"api"`
	AgentAPI  string     `json:"agent_api"`
	Version   string     `json:"version"`
	Zone      string     `json:"zone,omitempty"`
	Started   time.Time  `json:"started"`
	LastSeen  time.Time  `json:"last_seen"`
	Addresses []string   `json:"addresses"`
}

// NodesView is /muster/v1/nodes: the members that the answering node knows of.
type NodesView struct {
	ClusterID string     `json:"cluster_id"`
	Cluster   string     `json:"cluster"`
	Leader    p2p.PeerID `json:"leader,omitempty"`
	Term      uint64     `json:"term,omitempty"`
	Nodes     []NodeView `json:"nodes"`
}

func (n *Node) nodes() NodesView {
	leadership, _ := n.mesh.Directory().Leadership()
	out := NodesView{ClusterID: n.mesh.ClusterID(), Cluster: n.mesh.ClusterName(), Leader: leadership.Leader, Term: leadership.Term, Nodes: []NodeView{}}
	role := map[p2p.PeerID]string{}
	for _, v := range leadership.Voters {
		role[v] = "voter"
	}
	role[leadership.Leader] = "leader"
	for _, s := range n.quorum.Status().Standbys {
		role[p2p.PeerID(s.ID)] = "standby"
	}
	for _, d := range n.mesh.Directory().Nodes() {
		out.Nodes = append(out.Nodes, NodeView{
			Peer: d.Peer, Name: d.Name, Role: cmp.Or(role[d.Peer], "member"), Alive: d.Alive, Self: d.Peer == n.mesh.ID(),
			API: d.API, AgentAPI: d.AgentAPI, Version: d.Version, Zone: d.Labels[zoneLabel],
			Started: d.Started, LastSeen: d.LastSeen, Addresses: d.Addresses,
		})
	}
	return out
}

// QuorumView is /muster/v1/quorum: what this node knows of the quorum. Lag and
// last contact of the members are known to the leader alone.
type QuorumView struct {
	Node        string         `json:"node"`
	Role        consensus.Role `json:"role"`
	Term        uint64         `json:"term"`
	Leader      string         `json:"leader,omitempty"`
	Voters      []MemberView   `json:"voters"`
	Standbys    []MemberView   `json:"standbys"`
	LastIndex   uint64         `json:"last_index"`
	Committed   uint64         `json:"committed"`
	Applied     uint64         `json:"applied"`
	LastContact time.Time      `json:"last_contact,omitzero"`
	Events      []QuorumEvent  `json:"events"`
}

// MemberView is a voter or standby.
type MemberView struct {
	Peer        string    `json:"peer"`
	Name        string    `json:"name,omitempty"`
	LastContact time.Time `json:"last_contact,omitzero"`
	Lag         uint64    `json:"lag"`
}

// QuorumEvent is a change that the answering node made or saw while it led.
type QuorumEvent struct {
	Time   time.Time `json:"time"`
	Term   uint64    `json:"term"`
	What   string    `json:"what"`
	Node   string    `json:"node,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Error  string    `json:"error,omitempty"`
}

func (n *Node) quorumStatus() QuorumView {
	s := n.quorum.Status()
	out := QuorumView{
		Node: s.Node, Role: s.Role, Term: s.Term, Leader: s.Leader, LastIndex: s.LastIndex, Committed: s.Committed,
		Applied: s.Applied, LastContact: s.LastContact, Voters: n.members(s.Voters), Standbys: n.members(s.Standbys),
		Events: []QuorumEvent{},
	}
	// A node that is no member learns of the quorum from the leader's announcement.
	if leadership, ok := n.mesh.Directory().Leadership(); ok && len(out.Voters) == 0 {
		out.Term, out.Leader = leadership.Term, string(leadership.Leader)
		for _, v := range leadership.Voters {
			out.Voters = append(out.Voters, n.members([]consensus.Member{{ID: string(v)}})...)
		}
	}
	for _, e := range s.Events {
		out.Events = append(out.Events, QuorumEvent{Time: e.Time, Term: e.Term, What: e.What, Node: e.Node, Reason: e.Reason, Error: e.Err})
	}
	return out
}

func (n *Node) members(list []consensus.Member) []MemberView {
	out := []MemberView{}
	for _, m := range list {
		v := MemberView{Peer: m.ID, LastContact: m.LastContact, Lag: m.Lag}
		if d, ok := n.mesh.Directory().Node(p2p.PeerID(m.ID)); ok {
			v.Name = d.Name
		}
		out = append(out, v)
	}
	return out
}

// UsageView is /muster/v1/usage: what the tasks of this node use.
type UsageView struct {
	Node   string      `json:"node"`
	Source string      `json:"source"` // ebpf or cgroup
	Tasks  []TaskUsage `json:"tasks"`
}

// TaskUsage is one task's counters since it started, and rates over the last seconds.
type TaskUsage struct {
	FrameworkID string    `json:"framework_id"`
	TaskID      string    `json:"task_id"`
	ContainerID string    `json:"container_id"`
	PID         int       `json:"pid"`
	At          time.Time `json:"at"`

	Revocable     bool    `json:"revocable,omitempty"` // it runs on CPUs that others leave
	CPUsAllocated float64 `json:"cpus_allocated"`
	CPUs          float64 `json:"cpus"` // kept busy over the window
	CPUSeconds    float64 `json:"cpu_seconds"`
	WaitSeconds   float64 `json:"run_queue_seconds"`
	ForOthers     float64 `json:"run_queue_for_others_seconds"` // of that, while others held the CPUs
	CPUsDayP99    float64 `json:"cpus_day_p99"`                 // of means of five minutes
	CPUsDayMax    float64 `json:"cpus_day_max"`
	WaitP50       float64 `json:"run_queue_p50_ms"`
	WaitP99       float64 `json:"run_queue_p99_ms"`
	Switches      uint64  `json:"context_switches"`
	MinorFaults   uint64  `json:"minor_faults"`
	MajorFaults   uint64  `json:"major_faults"`

	MemAllocated  uint64 `json:"mem_allocated_bytes"`
	MemWorkingSet uint64 `json:"mem_working_set_bytes"`
	MemTotal      uint64 `json:"mem_total_bytes"`
	ReadBytes     uint64 `json:"read_bytes"`
	WriteBytes    uint64 `json:"write_bytes"`
	RxBytes       uint64 `json:"rx_bytes"`
	TxBytes       uint64 `json:"tx_bytes"`
	OOMKills      uint64 `json:"oom_kills"`
	Processes     uint64 `json:"processes"`
}

func (n *Node) usage() UsageView {
	out := UsageView{Node: n.cfg.Name, Source: n.monitor.Source(), Tasks: []TaskUsage{}}
	for _, t := range n.agent.State().Tasks {
		u, ok := n.monitor.Usage(t.ContainerID)
		if !ok || !t.Running {
			continue
		}
		row := usageOf(u)
		row.FrameworkID, row.TaskID = t.Framework.GetId().GetValue(), t.Task.GetTaskId().GetValue()
		row.ContainerID, row.PID, row.Revocable = t.ContainerID, t.PID, t.Revocable
		day, _ := n.lender.History().Day(t.ContainerID)
		row.CPUsDayP99, row.CPUsDayMax = day.P99, day.Max
		for _, r := range t.Task.GetResources() {
			switch r.GetName() {
			case "cpus":
				row.CPUsAllocated += r.GetScalar().GetValue()
			case "mem":
				row.MemAllocated += uint64(r.GetScalar().GetValue() * (1 << 20))
			}
		}
		out.Tasks = append(out.Tasks, row)
	}
	return out
}

// usageHistory answers with what the tasks used over the day, as CSV.
func (n *Node) usageHistory(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	if err := n.lender.History().WriteCSV(api.Paced(w), n.cfg.Name); err != nil {
		panic(http.ErrAbortHandler) // the client has gone, or must not take it for the whole
	}
}

func usageOf(u telemetry.Usage) TaskUsage {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return TaskUsage{
		At: u.At, CPUs: u.Rate.CPUs, CPUSeconds: u.CPU.Seconds(), WaitSeconds: u.RunQueue.Seconds(), ForOthers: u.Preempted.Seconds(),
		WaitP50: ms(u.Rate.WaitP50), WaitP99: ms(u.Rate.WaitP99),
		Switches: u.Switches, MinorFaults: u.MinorFlt, MajorFaults: u.MajorFlt,
		MemWorkingSet: u.MemWorkingSet, MemTotal: u.MemTotal, ReadBytes: u.ReadBytes, WriteBytes: u.WriteBytes,
		RxBytes: u.RxBytes, TxBytes: u.TxBytes, OOMKills: u.OOMKills, Processes: u.Processes,
	}
}

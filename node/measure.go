package node

import (
	"context"
	"net/url"
	"strings"
	"time"

	"muster/node/master"
	"muster/offers/mesos"
	"muster/offers/view"
	"muster/telemetry/metrics"
)

// measure declares the daemon's own metrics, under the names that Mesos's tools know.
func (n *Node) measure() {
	n.metrics.Gauge("master/elected", func() float64 {
		if r, _ := n.master.Leading(); r != nil {
			return 1
		}
		return 0
	})
	n.metrics.Gauge("master/uptime_secs", n.uptime)
	n.metrics.Gauge("slave/uptime_secs", n.uptime)
	n.metrics.Gauge("master/steps", func() float64 { return float64(n.master.Steps()) })
	n.metrics.Gauges(n.masterGauges)
	n.metrics.Gauges(func(emit metrics.Emit) { callGauges(n.master.Tallies(), emit) })
	n.metrics.Gauges(n.agentGauges)
	n.metrics.Gauges(n.lendingGauges)
	n.metrics.Gauges(func(emit metrics.Emit) {
		s := n.quorum.Status()
		emit("registrar/log/term", float64(s.Term))
		emit("registrar/log/last_index", float64(s.LastIndex))
		emit("registrar/log/applied", float64(s.Applied))
		emit("registrar/log/voters", float64(len(s.Voters)))
	})
}

func (n *Node) uptime() float64 { return time.Since(n.started).Seconds() }

// masterGauges are those of the cluster, told by its leader alone.
func (n *Node) masterGauges(emit metrics.Emit) {
	r, _ := n.master.Leading()
	if r == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	v, err := r.Snapshot(ctx)
	if err != nil {
		return // the leadership has just begun or ended
	}
	agentsGauges(v, emit)
	frameworksGauges(v, emit)
	states := map[mesos.TaskState]int{}
	for _, t := range v.Tasks() {
		states[t.GetState()]++
	}
	for _, t := range v.CompletedTasks() {
		states[t.GetState()]++
	}
	for state, name := range taskGauges {
		emit("master/tasks_"+name, float64(states[state]))
	}
	emit("master/tasks_unreachable", float64(len(v.UnreachableTasks())))
	emit("master/outstanding_offers", float64(len(v.Offers())))
}

// taskGauges names the states that Mesos counts.
var taskGauges = map[mesos.TaskState]string{
	mesos.TaskState_TASK_STAGING: "staging", mesos.TaskState_TASK_STARTING: "starting", mesos.TaskState_TASK_RUNNING: "running",
	mesos.TaskState_TASK_KILLING: "killing", mesos.TaskState_TASK_FINISHED: "finished", mesos.TaskState_TASK_FAILED: "failed",
	mesos.TaskState_TASK_KILLED: "killed", mesos.TaskState_TASK_LOST: "lost", mesos.TaskState_TASK_ERROR: "error",
	mesos.TaskState_TASK_DROPPED: "dropped", mesos.TaskState_TASK_GONE: "gone", mesos.TaskState_TASK_GONE_BY_OPERATOR: "gone_by_operator",
}

func agentsGauges(v *view.View, emit metrics.Emit) {
	active, total, used := 0, map[string]float64{}, map[string]float64{}
	for _, a := range v.Agents() {
		if a.GetActive() {
			active++
		}
		sum(total, a.GetTotalResources())
		sum(used, a.GetAllocatedResources())
	}
	emit("master/slaves_active", float64(active))
	emit("master/slaves_connected", float64(active))
	emit("master/slaves_inactive", float64(len(v.Agents())-active))
	emit("master/slaves_disconnected", float64(len(v.Agents())-active))
	emit("master/slaves_unreachable", float64(len(v.UnreachableAgents())))
	for _, name := range []string{"cpus", "gpus", "mem", "disk"} {
		emit("master/"+name+"_total", total[name])
		emit("master/"+name+"_used", used[name])
		percent := 0.0
		if total[name] > 0 {
			percent = used[name] / total[name]
		}
		emit("master/"+name+"_percent", percent)
	}
}

func sum(into map[string]float64, list []*mesos.Resource) {
	for _, r := range list {
		if r.Revocable == nil {
			into[r.GetName()] += r.GetScalar().GetValue()
		}
	}
}

func frameworksGauges(v *view.View, emit metrics.Emit) {
	active, connected := 0, 0
	for _, f := range v.Frameworks() {
		if f.GetActive() {
			active++
		}
		if f.GetConnected() {
			connected++
		}
	}
	emit("master/frameworks_active", float64(active))
	emit("master/frameworks_connected", float64(connected))
	emit("master/frameworks_disconnected", float64(len(v.Frameworks())-connected))
	emit("master/frameworks_inactive", float64(len(v.Frameworks())-active))
}

// callGauges are those of frameworks' calls, told by the leader. A principal's messages
// that were received and not processed were refused, as too many.
func callGauges(tallies []master.Tally, emit metrics.Emit) {
	received, refused := map[string]uint64{}, map[string]uint64{}
	for _, t := range tallies {
		f := t.Framework
		prefix := "master/frameworks/" + url.PathEscape(f.GetName()) + "." + f.GetId().GetValue() + "/"
		emit(prefix+"calls", float64(t.Received()))
		emit(prefix+"calls_throttled", float64(t.Refused))
		for call, n := range t.Calls {
			emit(prefix+"calls/"+strings.ToLower(call.String()), float64(n))
		}
		if p := f.GetPrincipal(); p != "" {
			received[p] += t.Received()
			refused[p] += t.Refused
		}
	}
	for p, n := range received {
		emit("frameworks/"+p+"/messages_received", float64(n))
		emit("frameworks/"+p+"/messages_processed", float64(n-refused[p]))
	}
}

// agentGauges are those of this node.
func (n *Node) agentGauges(emit metrics.Emit) {
	s := n.agent.State()
	registered := 0.0
	if s.Registered {
		registered = 1
	}
	emit("slave/registered", registered)
	emit("slave/container_launch_errors", float64(s.Counts.LaunchFailures))
	emit("slave/executors_running", float64(len(s.Tasks)))
	emit("slave/frameworks_active", float64(len(s.Frameworks)))
	states := map[mesos.TaskState]int{}
	for _, t := range s.Tasks {
		states[t.Task.GetState()]++
	}
	for state, name := range taskGauges {
		n := float64(states[state])
		if count, ended := s.Counts.Updates[state]; ended && state.Terminal() {
			n = float64(count)
		}
		emit("slave/tasks_"+name, n)
	}
	total, used := map[string]float64{}, map[string]float64{}
	sum(total, s.Agent.GetResources())
	for _, t := range s.Tasks {
		if t.Running {
			sum(used, t.Task.GetResources())
		}
	}
	for _, name := range []string{"cpus", "gpus", "mem", "disk"} {
		emit("slave/"+name+"_total", total[name])
		emit("slave/"+name+"_used", used[name])
	}
}

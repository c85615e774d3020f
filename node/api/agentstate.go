package api

import (
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"muster/node/agent"
	"muster/offers/mesos"
	"muster/telemetry"
)

// state is what /state shows of one agent.
// Mesos: src/slave/http.cpp, Http::state.
func (h *agentAPI) state(w *writer, s *agent.State) {
	info := s.Agent
	w.object(func() {
		w.key("version").str(s.Version)
		w.key("id").str(info.GetId().GetValue())
		w.key("pid").str("slave(1)@" + h.cfg.Flags["agent_api"])
		w.key("hostname").str(info.GetHostname())
		w.key("port").int(int(info.GetPort()))
		w.key("start_time").num(float64(s.Started.UnixNano()) / 1e9)
		if info.GetDomain() != nil {
			w.key("domain").message(info.GetDomain())
		}
		if s.Drain != nil {
			w.key("drain_config").message(s.Drain)
			w.key("estimated_drain_start_time_seconds").num(float64(s.DrainStart.UnixNano()) / 1e9)
		}
		reserved, unreserved := byReservation(info.GetResources())
		w.key("resources").resources(info.GetResources())
		w.key("reserved_resources").reservations(reserved, false)
		w.key("reserved_resources_full").reservations(reserved, true)
		w.key("unreserved_resources").resources(unreserved)
		w.key("unreserved_resources_full")
		messages(w, unreserved)
		w.key("attributes").attributes(info.GetAttributes())
		w.key("flags").flags(h.cfg.Flags)
		w.key("frameworks").array(func() { w.agentFrameworks(s, true) })
		w.key("completed_frameworks").array(func() { w.agentFrameworks(s, false) })
	})
}

// agentFrameworks groups tasks by framework and executor, as /state nests them.
// A command task is its own executor.
func (w *writer) agentFrameworks(s *agent.State, live bool) {
	for _, f := range s.Frameworks {
		if hasTasks(s, f) != live {
			continue
		}
		id := f.GetId().GetValue()
		w.object(func() {
			w.key("id").str(id)
			w.key("name").str(f.GetName())
			w.key("user").str(f.GetUser())
			w.key("hostname").str(f.GetHostname())
			w.key("failover_timeout").num(f.GetFailoverTimeout())
			w.key("checkpoint").bool(f.GetCheckpoint())
			if f.Principal != nil {
				w.key("principal").str(f.GetPrincipal())
			}
			w.roles(f)
			w.key("executors").array(func() { w.agentExecutors(id, s.Tasks) })
			w.key("completed_executors").array(func() { w.agentExecutors(id, s.Completed) })
		})
	}
}

func (w *writer) agentExecutors(framework string, tasks []*agent.Task) {
	for _, t := range tasks {
		if t.Framework.GetId().GetValue() != framework {
			continue
		}
		of := func(p phase) []*mesos.Task {
			if phaseOf(t) == p {
				return []*mesos.Task{t.Task}
			}
			return nil
		}
		w.object(func() {
			w.key("id").str(t.ExecutorID)
			w.key("name").str(executorName(t))
			w.key("source").str(t.ExecutorID)
			w.key("container").str(t.ContainerID)
			w.key("directory").str(t.Directory)
			w.key("resources").resources(t.Task.GetResources())
			w.key("role").str(allocatedRole(t.Task.GetResources()))
			w.key("type").str("COMMAND")
			w.key("tasks").tasks(of(launchedTask))
			w.key("queued_tasks").tasks(of(queuedTask))
			w.key("completed_tasks").tasks(of(terminatedTask))
		})
	}
}

func executorName(t *agent.Task) string {
	return "Command Executor (Task: " + t.ExecutorID + ")"
}

// statistics is /monitor/statistics: what each running container uses.
func (h *agentAPI) statistics(w *writer, s *agent.State) {
	w.array(func() {
		for _, t := range s.Tasks {
			if u, ok := h.meter.Usage(t.ContainerID); ok && t.Running {
				w.object(func() {
					w.executorFields(t)
					w.key("statistics").message(statisticsOf(t, u))
				})
			}
		}
	})
}

func (w *writer) executorFields(t *agent.Task) {
	w.key("framework_id").str(t.Framework.GetId().GetValue())
	w.key("executor_id").str(t.ExecutorID)
	w.key("executor_name").str(executorName(t))
	w.key("source").str(t.ExecutorID)
}

// containers is /containers: each running container, with what it uses where
// that is known by now.
func (h *agentAPI) containers(w *writer, s *agent.State) {
	w.array(func() {
		for _, t := range s.Tasks {
			if !t.Running {
				continue
			}
			w.object(func() {
				w.key("container_id").str(t.ContainerID)
				w.executorFields(t)
				if u, ok := h.meter.Usage(t.ContainerID); ok {
					w.key("statistics").message(statisticsOf(t, u))
				}
				w.key("status").message(lastStatus(t))
			})
		}
	})
}

// lastStatus is a container's status as its task's latest update told it.
func lastStatus(t *agent.Task) *mesos.ContainerStatus {
	for _, s := range slices.Backward(t.Task.GetStatuses()) {
		if c := s.GetContainerStatus(); c != nil {
			return c
		}
	}
	return &mesos.ContainerStatus{ContainerId: &mesos.ContainerID{Value: proto.String(t.ContainerID)}}
}

// statisticsOf says a container's usage in Mesos's terms. A source that cannot
// tell user from system time counts all of it as user.
func statisticsOf(t *agent.Task, u telemetry.Usage) *mesos.ResourceStatistics {
	return &mesos.ResourceStatistics{
		Timestamp:             proto.Float64(float64(u.At.UnixNano()) / 1e9),
		Processes:             proto.Uint32(uint32(u.Processes)),
		CpusLimit:             proto.Float64(scalar(t.Task.GetResources(), "cpus")),
		CpusUserTimeSecs:      proto.Float64(max(u.CPU-u.CPUSys, 0).Seconds()),
		CpusSystemTimeSecs:    proto.Float64(u.CPUSys.Seconds()),
		CpusNrPeriods:         proto.Uint32(uint32(u.Periods)),
		CpusNrThrottled:       proto.Uint32(uint32(u.ThrottledPeriods)),
		CpusThrottledTimeSecs: proto.Float64(u.Throttled.Seconds()),
		MemTotalBytes:         proto.Uint64(u.MemTotal),
		MemRssBytes:           proto.Uint64(u.MemRSS),
		MemCacheBytes:         proto.Uint64(u.MemCache),
		MemLimitBytes:         proto.Uint64(u.MemLimit),
		MemSwapBytes:          proto.Uint64(u.MemSwap),
		NetRxBytes:            proto.Uint64(u.RxBytes),
		NetTxBytes:            proto.Uint64(u.TxBytes),
		NetRxPackets:          proto.Uint64(u.RxPackets),
		NetTxPackets:          proto.Uint64(u.TxPackets),
	}
}

// scalar sums the resources of one name, in thousandths as all sums are made.
func scalar(list []*mesos.Resource, name string) float64 {
	var milli int64
	for _, r := range list {
		if r.GetName() == name {
			milli += int64(math.Round(r.GetScalar().GetValue() * 1000))
		}
	}
	return float64(milli) / 1000
}

package api

import (
	"log/slog"
	"net/http"

	"google.golang.org/protobuf/proto"

	"muster/node/agent"
	"muster/offers/mesos"
	agentv1 "muster/offers/mesos/agent"
	"muster/offers/resource"
	"muster/telemetry"
	"muster/telemetry/metrics"
)

// AgentState is this node's agent as readers see it.
type AgentState interface {
	State() *agent.State
}

// Meter tells what containers use.
type Meter interface {
	Usage(id string) (telemetry.Usage, bool)
}

// agentAPI serves one node's agent.
type agentAPI struct {
	cfg     Config
	agent   AgentState
	meter   Meter
	files   *Files
	metrics *metrics.Set
}

// Agent returns the handler of this node's agent API.
func Agent(cfg Config, a AgentState, meter Meter, files *Files, set *metrics.Set, log *slog.Logger) http.Handler {
	h := &agentAPI{cfg: cfg, agent: a, meter: meter, files: files, metrics: set}
	mux := newMux(log)
	mux.handle("/api/v1", h.call)
	mux.handle("/state", h.state)
	mux.handle("/monitor/statistics", h.statistics)
	mux.handle("/containers", h.containers)
	common(mux, cfg, files, set)
	return guard(cfg.Auth, "mesos-agent-readwrite", alias("/slave(1)", mux))
}

// state is what /state shows of one agent.
func (h *agentAPI) state(w http.ResponseWriter, r *http.Request) error {
	s := h.agent.State()
	info := s.Agent
	o := object{
		"version": s.Version, "id": info.GetId().GetValue(), "hostname": info.GetHostname(),
		"pid": "slave(1)@" + h.cfg.Flags["agent_api"], "start_time": float64(s.Started.UnixNano()) / 1e9,
		"resources": resources(info.GetResources()), "attributes": attributes(info.GetAttributes()),
		"flags":      h.cfg.Flags,
		"frameworks": agentFrameworks(s), "completed_frameworks": []object{},
	}
	reserved, unreserved := byReservation(info.GetResources())
	byRole := object{}
	for role, list := range reserved {
		byRole[role] = resources(list)
	}
	o["reserved_resources"], o["unreserved_resources"] = byRole, resources(unreserved)
	if info.Domain != nil {
		o["domain"] = raw(info.GetDomain())
	}
	return writeJSON(w, r, o)
}

// agentFrameworks groups tasks by framework and executor, as /state nests them.
// A command task is its own executor.
func agentFrameworks(s *agent.State) []object {
	out := []object{}
	for _, f := range s.Frameworks {
		id := f.GetId().GetValue()
		o := object{
			"id": id, "name": f.GetName(), "user": f.GetUser(), "hostname": f.GetHostname(),
			"failover_timeout": f.GetFailoverTimeout(), "checkpoint": f.GetCheckpoint(),
			"executors": executorObjects(id, s.Tasks), "completed_executors": executorObjects(id, s.Completed),
		}
		if len(f.GetRoles()) > 0 {
			o["roles"] = f.GetRoles()
		} else {
			o["role"] = f.GetRole()
		}
		out = append(out, o)
	}
	return out
}

func executorObjects(framework string, tasks []*agent.Task) []object {
	out := []object{}
	for _, t := range tasks {
		if t.Framework.GetId().GetValue() != framework {
			continue
		}
		o := object{
			"id": t.ExecutorID, "name": executorName(t), "source": t.ExecutorID, "container": t.ContainerID,
			"directory": t.Directory, "resources": resources(t.Task.GetResources()), "role": allocatedRole(t.Task.GetResources()),
			"type": "COMMAND", "queued_tasks": []object{}, "tasks": []object{}, "completed_tasks": []object{},
		}
		key := "completed_tasks"
		switch {
		case t.Running:
			key = "tasks"
		case t.PID == 0 && t.Task.GetState() == mesos.TaskState_TASK_STAGING:
			key = "queued_tasks"
		}
		o[key] = []object{taskObject(t.Task)}
		out = append(out, o)
	}
	return out
}

func executorName(t *agent.Task) string {
	return "Command Executor (Task: " + t.ExecutorID + ")"
}

// statistics is /monitor/statistics: what each running container uses.
func (h *agentAPI) statistics(w http.ResponseWriter, r *http.Request) error {
	out := []object{}
	for _, t := range h.agent.State().Tasks {
		if u, ok := h.meter.Usage(t.ContainerID); ok && t.Running {
			out = append(out, object{
				"framework_id": t.Framework.GetId().GetValue(), "executor_id": t.ExecutorID,
				"executor_name": executorName(t), "source": t.ExecutorID, "statistics": raw(statisticsOf(t, u)),
			})
		}
	}
	return writeJSON(w, r, out)
}

// statisticsOf says a container's usage in Mesos's terms. A source that cannot
// tell user from system time counts all of it as user.
func statisticsOf(t *agent.Task, u telemetry.Usage) *mesos.ResourceStatistics {
	user := u.CPU - u.CPUSys
	set, err := resource.FromProto(t.Task.GetResources())
	if err != nil {
		set = resource.Set{}
	}
	return &mesos.ResourceStatistics{
		Timestamp:             proto.Float64(float64(u.At.UnixNano()) / 1e9),
		Processes:             proto.Uint32(uint32(u.Processes)),
		CpusLimit:             proto.Float64(float64(set.Scalar("cpus")) / resource.Milli),
		CpusUserTimeSecs:      proto.Float64(max(user, 0).Seconds()),
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

// lastStatus is a container's status as its task's latest update told it.
func lastStatus(t *agent.Task) *mesos.ContainerStatus {
	statuses := t.Task.GetStatuses()
	for i := len(statuses) - 1; i >= 0; i-- {
		if c := statuses[i].GetContainerStatus(); c != nil {
			return c
		}
	}
	return &mesos.ContainerStatus{ContainerId: &mesos.ContainerID{Value: proto.String(t.ContainerID)}}
}

func (h *agentAPI) containers(w http.ResponseWriter, r *http.Request) error {
	out := []object{}
	for _, t := range h.agent.State().Tasks {
		if !t.Running {
			continue
		}
		o := object{
			"container_id": t.ContainerID, "executor_id": t.ExecutorID, "executor_name": executorName(t), "source": t.ExecutorID,
			"framework_id": t.Framework.GetId().GetValue(), "status": raw(lastStatus(t)),
		}
		if u, ok := h.meter.Usage(t.ContainerID); ok {
			o["statistics"] = raw(statisticsOf(t, u))
		}
		out = append(out, o)
	}
	return writeJSON(w, r, out)
}

// call serves POST /api/v1 of the agent.
func (h *agentAPI) call(w http.ResponseWriter, r *http.Request) error {
	var call agentv1.Call
	if err := readCall(w, r, "Call", &call); err != nil {
		return err
	}
	out, err := responseCodec(r)
	if err != nil {
		return err
	}
	if call.Type == nil {
		return refuse(http.StatusBadRequest, "Failed to validate agent::Call: Expecting 'type' to be present")
	}
	response, err := h.response(&call)
	if err != nil {
		return err
	}
	response.Type = agentv1.Response_Type(agentv1.Response_Type_value[call.GetType().String()]).Enum()
	return writeMessage(w, out, response)
}

func (h *agentAPI) response(call *agentv1.Call) (*agentv1.Response, error) {
	switch call.GetType() {
	case agentv1.Call_GET_HEALTH:
		return &agentv1.Response{GetHealth: &agentv1.Response_GetHealth{Healthy: proto.Bool(true)}}, nil
	case agentv1.Call_GET_VERSION:
		return &agentv1.Response{GetVersion: &agentv1.Response_GetVersion{VersionInfo: h.cfg.Version}}, nil
	case agentv1.Call_GET_FLAGS:
		return &agentv1.Response{GetFlags: &agentv1.Response_GetFlags{Flags: flagList(h.cfg.Flags)}}, nil
	case agentv1.Call_GET_METRICS:
		return &agentv1.Response{GetMetrics: &agentv1.Response_GetMetrics{Metrics: metricList(h.metrics)}}, nil
	case agentv1.Call_LIST_FILES:
		infos, err := h.files.List(call.GetListFiles().GetPath())
		return &agentv1.Response{ListFiles: &agentv1.Response_ListFiles{FileInfos: infos}}, err
	case agentv1.Call_READ_FILE:
		rf := call.GetReadFile()
		size, data, err := h.files.Read(rf.GetPath(), rf.GetOffset(), rf.Length)
		return &agentv1.Response{ReadFile: &agentv1.Response_ReadFile{Size: &size, Data: data}}, err
	case agentv1.Call_GET_AGENT:
		return &agentv1.Response{GetAgent: &agentv1.Response_GetAgent{AgentInfo: h.agent.State().Agent}}, nil
	case agentv1.Call_GET_FRAMEWORKS:
		return &agentv1.Response{GetFrameworks: frameworksOf(h.agent.State())}, nil
	case agentv1.Call_GET_TASKS:
		return &agentv1.Response{GetTasks: tasksOf(h.agent.State())}, nil
	case agentv1.Call_GET_EXECUTORS:
		return &agentv1.Response{GetExecutors: &agentv1.Response_GetExecutors{}}, nil
	case agentv1.Call_GET_STATE:
		s := h.agent.State()
		return &agentv1.Response{GetState: &agentv1.Response_GetState{
			GetTasks: tasksOf(s), GetFrameworks: frameworksOf(s), GetExecutors: &agentv1.Response_GetExecutors{},
		}}, nil
	case agentv1.Call_GET_CONTAINERS:
		return &agentv1.Response{GetContainers: h.containersOf(h.agent.State())}, nil
	}
	return nil, refuse(http.StatusNotImplemented, "%s is not supported by this agent", call.GetType())
}

func frameworksOf(s *agent.State) *agentv1.Response_GetFrameworks {
	out := &agentv1.Response_GetFrameworks{}
	for _, f := range s.Frameworks {
		out.Frameworks = append(out.Frameworks, &agentv1.Response_GetFrameworks_Framework{FrameworkInfo: f})
	}
	return out
}

func tasksOf(s *agent.State) *agentv1.Response_GetTasks {
	out := &agentv1.Response_GetTasks{}
	for _, t := range s.Tasks {
		switch {
		case t.Running:
			out.LaunchedTasks = append(out.LaunchedTasks, t.Task)
		case t.PID == 0 && t.Task.GetState() == mesos.TaskState_TASK_STAGING:
			out.QueuedTasks = append(out.QueuedTasks, t.Task)
		default:
			out.TerminatedTasks = append(out.TerminatedTasks, t.Task)
		}
	}
	for _, t := range s.Completed {
		out.CompletedTasks = append(out.CompletedTasks, t.Task)
	}
	return out
}

func (h *agentAPI) containersOf(s *agent.State) *agentv1.Response_GetContainers {
	out := &agentv1.Response_GetContainers{}
	for _, t := range s.Tasks {
		if !t.Running {
			continue
		}
		c := &agentv1.Response_GetContainers_Container{
			FrameworkId: t.Framework.GetId(), ExecutorId: &mesos.ExecutorID{Value: proto.String(t.ExecutorID)},
			ExecutorName: proto.String(executorName(t)), ContainerId: &mesos.ContainerID{Value: proto.String(t.ContainerID)},
			ContainerStatus: lastStatus(t),
		}
		if u, ok := h.meter.Usage(t.ContainerID); ok {
			c.ResourceStatistics = statisticsOf(t, u)
		}
		out.Containers = append(out.Containers, c)
	}
	return out
}

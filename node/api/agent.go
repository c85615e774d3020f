package api

import (
	"net/http"
	"slices"

	"google.golang.org/protobuf/proto"

	"muster/node/agent"
	"muster/offers/mesos"
	agentv1 "muster/offers/mesos/agent"
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

// Agent returns the handler of this node's agent API. extra adds muster's own
// endpoints by pattern.
func Agent(cfg Config, a AgentState, meter Meter, files *Files, set *metrics.Set, extra map[string]http.Handler) http.Handler {
	h := &agentAPI{cfg: cfg, agent: a, meter: meter, files: files, metrics: set}
	mux := newMux()
	mux.handle("/api/v1", h.call)
	mux.handle("/state", h.read(h.state))
	mux.handle("/monitor/statistics", h.read(h.statistics))
	mux.handle("/containers", h.read(h.containers))
	mux.absent("this agent runs command tasks and groups of them without executors", "/api/v1/executor")
	mux.absent("this agent has no resource providers", "/api/v1/resource_provider")
	common(mux, cfg, files, set, extra)
	return alias("/slave(1)", guard(cfg.Auth, "mesos-agent-readwrite", mux))
}

// read answers with what build writes of the agent's state.
func (h *agentAPI) read(build func(*writer, *agent.State)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var out writer
		build(&out, h.agent.State())
		return writeEncoded(w, r, out.chunks()...)
	}
}

// call serves POST /api/v1 of the agent.
func (h *agentAPI) call(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Content-Type") == "application/recordio" {
		return refuse(http.StatusNotImplemented, "ATTACH_CONTAINER_INPUT is not supported by this agent")
	}
	var call agentv1.Call
	if err := readCall(w, r, "Call", &call); err != nil {
		return err
	}
	if call.Type == nil {
		return refuse(http.StatusBadRequest, "Failed to validate agent::Call: Expecting 'type' to be present")
	}
	if field := missing(&call, call.GetType().String()); field != "" && !optionalPayload[call.GetType()] {
		return refuse(http.StatusBadRequest, "Failed to validate agent::Call: Expecting '%s' to be present", field)
	}
	response, err := h.response(&call)
	if err != nil {
		return err
	}
	out, err := responseCodec(r)
	if err != nil {
		return err
	}
	response.Type = agentv1.Response_Type(agentv1.Response_Type_value[call.GetType().String()]).Enum()
	return writeMessage(w, out, response)
}

// optionalPayload marks the calls that may leave out their payload.
var optionalPayload = map[agentv1.Call_Type]bool{agentv1.Call_GET_CONTAINERS: true, agentv1.Call_PRUNE_IMAGES: true}

func (h *agentAPI) response(call *agentv1.Call) (*agentv1.Response, error) {
	s := h.agent.State()
	switch call.GetType() {
	case agentv1.Call_GET_HEALTH:
		return &agentv1.Response{GetHealth: &agentv1.Response_GetHealth{Healthy: proto.Bool(true)}}, nil
	case agentv1.Call_GET_VERSION:
		return &agentv1.Response{GetVersion: &agentv1.Response_GetVersion{VersionInfo: h.cfg.Version}}, nil
	case agentv1.Call_GET_FLAGS:
		return &agentv1.Response{GetFlags: &agentv1.Response_GetFlags{Flags: flagList(h.cfg.Flags)}}, nil
	case agentv1.Call_GET_METRICS:
		return &agentv1.Response{GetMetrics: &agentv1.Response_GetMetrics{Metrics: metricList(h.metrics)}}, nil
	case agentv1.Call_GET_LOGGING_LEVEL:
		return &agentv1.Response{GetLoggingLevel: &agentv1.Response_GetLoggingLevel{Level: proto.Uint32(0)}}, nil
	case agentv1.Call_LIST_FILES:
		infos, err := h.files.List(call.GetListFiles().GetPath())
		return &agentv1.Response{ListFiles: &agentv1.Response_ListFiles{FileInfos: infos}}, err
	case agentv1.Call_READ_FILE:
		rf := call.GetReadFile()
		size, data, err := h.files.Read(rf.GetPath(), rf.GetOffset(), rf.Length)
		return &agentv1.Response{ReadFile: &agentv1.Response_ReadFile{Size: &size, Data: data}}, err
	case agentv1.Call_GET_AGENT:
		r := &agentv1.Response_GetAgent{AgentInfo: s.Agent, DrainConfig: s.Drain}
		if s.Drain != nil {
			r.EstimatedDrainStartTime = &mesos.TimeInfo{Nanoseconds: proto.Int64(s.DrainStart.UnixNano())}
		}
		return &agentv1.Response{GetAgent: r}, nil
	case agentv1.Call_GET_FRAMEWORKS:
		return &agentv1.Response{GetFrameworks: frameworksOf(s)}, nil
	case agentv1.Call_GET_TASKS:
		return &agentv1.Response{GetTasks: tasksOf(s)}, nil
	case agentv1.Call_GET_EXECUTORS:
		return &agentv1.Response{GetExecutors: &agentv1.Response_GetExecutors{}}, nil
	case agentv1.Call_GET_OPERATIONS:
		return &agentv1.Response{GetOperations: &agentv1.Response_GetOperations{Operations: s.Operations}}, nil
	case agentv1.Call_GET_RESOURCE_PROVIDERS:
		return &agentv1.Response{GetResourceProviders: &agentv1.Response_GetResourceProviders{}}, nil
	case agentv1.Call_GET_STATE:
		return &agentv1.Response{GetState: &agentv1.Response_GetState{
			GetTasks: tasksOf(s), GetFrameworks: frameworksOf(s), GetExecutors: &agentv1.Response_GetExecutors{},
		}}, nil
	case agentv1.Call_GET_CONTAINERS:
		return &agentv1.Response{GetContainers: h.containersOf(s)}, nil
	}
	return nil, refuse(http.StatusNotImplemented, "%s is not supported by this agent", call.GetType())
}

// phase is where a task stands in its agent.
type phase int

const (
	queuedTask phase = iota
	launchedTask
	terminatedTask
)

func phaseOf(t *agent.Task) phase {
	switch {
	case t.Running:
		return launchedTask
	case t.PID == 0 && t.Task.GetState() == mesos.TaskState_TASK_STAGING:
		return queuedTask
	}
	return terminatedTask
}

// frameworksOf tells a framework of which nothing runs any more from the others.
func frameworksOf(s *agent.State) *agentv1.Response_GetFrameworks {
	out := &agentv1.Response_GetFrameworks{}
	for _, f := range s.Frameworks {
		if hasTasks(s, f) {
			out.Frameworks = append(out.Frameworks, &agentv1.Response_GetFrameworks_Framework{FrameworkInfo: f})
		} else {
			out.CompletedFrameworks = append(out.CompletedFrameworks, &agentv1.Response_GetFrameworks_Framework{FrameworkInfo: f})
		}
	}
	return out
}

func hasTasks(s *agent.State, f *mesos.FrameworkInfo) bool {
	return slices.ContainsFunc(s.Tasks, func(t *agent.Task) bool {
		return t.Framework.GetId().GetValue() == f.GetId().GetValue()
	})
}

func tasksOf(s *agent.State) *agentv1.Response_GetTasks {
	out := &agentv1.Response_GetTasks{}
	for _, t := range s.Tasks {
		switch phaseOf(t) {
		case launchedTask:
			out.LaunchedTasks = append(out.LaunchedTasks, t.Task)
		case queuedTask:
			out.QueuedTasks = append(out.QueuedTasks, t.Task)
		case terminatedTask:
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

package api

import (
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/agent"
	"muster/offers/mesos"
	"muster/telemetry"
	"muster/telemetry/metrics"
)

type fixedAgent struct{ s *agent.State }

func (a fixedAgent) State() *agent.State { return a.s }

type fixedMeter map[string]telemetry.Usage

func (m fixedMeter) Usage(id string) (telemetry.Usage, bool) {
	u, ok := m[id]
	return u, ok
}

func agentTask(id string, state mesos.TaskState, running bool, pid int) *agent.Task {
	return &agent.Task{
		Task: taskFact("F1", id, state, 1), Framework: frameworkFact("F1").GetFrameworkInfo(), ExecutorID: id,
		ContainerID: "c-" + id, Directory: "/var/lib/x/" + id, PID: pid, Running: running,
	}
}

func agentHandler() http.Handler {
	done := agentTask("gone", mesos.TaskState_TASK_FINISHED, false, 9)
	done.Framework = frameworkFact("F0").GetFrameworkInfo()
	s := &agent.State{
		Agent: agentFact("S1").GetAgentInfo(), Version: "1.0", Started: time.Unix(50, 0), Registered: true,
		Frameworks: []*mesos.FrameworkInfo{done.Framework, frameworkFact("F1").GetFrameworkInfo()},
		Tasks: []*agent.Task{
			agentTask("run", mesos.TaskState_TASK_RUNNING, true, 7), agentTask("new", mesos.TaskState_TASK_RUNNING, true, 8),
			agentTask("wait", mesos.TaskState_TASK_STAGING, false, 0), agentTask("end", mesos.TaskState_TASK_FAILED, false, 6),
		},
		Completed: []*agent.Task{done},
	}
	s.Agent.Resources = agentFact("S1").GetTotalResources()
	u := telemetry.Usage{}
	u.At, u.CPU, u.CPUSys, u.Throttled = time.Unix(60, 5e8), 3*time.Second, time.Second, time.Second/2
	u.MemTotal, u.MemRSS, u.MemLimit, u.Processes, u.RxBytes = 100, 60, 200, 2, 11
	cfg := Config{Version: &mesos.VersionInfo{Version: proto.String("1.0")}, Flags: map[string]string{"agent_api": "10.0.0.2:5051"}}
	return Agent(cfg, fixedAgent{s}, fixedMeter{"c-run": u}, NewFiles(nil, ""), metrics.New(), nil)
}

func TestStatisticsOfRunningContainers(t *testing.T) {
	h := agentHandler()
	for _, path := range []string{"/monitor/statistics", "/monitor/statistics.json", "/slave(1)/monitor/statistics", "/slave%281%29/monitor/statistics/"} {
		var s any
		get(t, h, path, &s)
		if n := len(s.([]any)); n != 1 {
			t.Fatalf("%s: %d entries for one measured container", path, n)
		}
		for key, value := range map[string]any{
			"framework_id": "F1", "executor_id": "run", "executor_name": "Command Executor (Task: run)", "source": "run",
		} {
			want(t, s, value, 0, key)
		}
		for key, value := range map[string]any{
			"timestamp": 60.5, "cpus_limit": 0.25, "cpus_user_time_secs": 2, "cpus_system_time_secs": 1, "cpus_throttled_time_secs": 0.5,
			"mem_total_bytes": 100, "mem_rss_bytes": 60, "mem_limit_bytes": 200, "processes": 2, "net_rx_bytes": 11,
		} {
			want(t, s, value, 0, "statistics", key)
		}
	}
}

func TestContainers(t *testing.T) {
	var s any
	get(t, agentHandler(), "/containers", &s)
	if n := len(s.([]any)); n != 2 {
		t.Fatalf("%d containers", n)
	}
	want(t, s, "c-run", 0, "container_id")
	want(t, s, 100, 0, "statistics", "mem_total_bytes")
	want(t, s, "10.1.1.1", 0, "status", "network_infos", 0, "ip_addresses", 0, "ip_address")
	if _, there := at(t, s, 1).(map[string]any)["statistics"]; there {
		t.Fatal("figures of a container that was not measured yet")
	}
}

func TestAgentState(t *testing.T) {
	h := agentHandler()
	for _, path := range []string{"/state", "/state.json", "/slave(1)/state", "/slave(1)/state.json/"} {
		var s any
		get(t, h, path, &s)
		for _, c := range []struct {
			value any
			path  []any
		}{
			{"S1", []any{"id"}},
			{"slave(1)@10.0.0.2:5051", []any{"pid"}},
			{50, []any{"start_time"}},
			{1.8, []any{"resources", "cpus"}},
			{"[31000-31007, 32000-32000]", []any{"resources", "ports"}},
			{1.5, []any{"reserved_resources", "ops", "cpus"}},
			{"a", []any{"attributes", "rack"}},
			{"F1", []any{"frameworks", 0, "id"}},
			{"run", []any{"frameworks", 0, "executors", 0, "id"}},
			{"c-run", []any{"frameworks", 0, "executors", 0, "container"}},
			{"/var/lib/x/run", []any{"frameworks", 0, "executors", 0, "directory"}},
			{"run", []any{"frameworks", 0, "executors", 0, "tasks", 0, "id"}},
			{"[]", []any{"frameworks", 0, "executors", 0, "queued_tasks"}},
			{"wait", []any{"frameworks", 0, "executors", 2, "queued_tasks", 0, "id"}},
			{"end", []any{"frameworks", 0, "executors", 3, "completed_tasks", 0, "id"}},
			{"F0", []any{"completed_frameworks", 0, "id"}},
			{"gone", []any{"completed_frameworks", 0, "completed_executors", 0, "id"}},
		} {
			want(t, s, c.value, c.path...)
		}
	}
}

func TestAgentCalls(t *testing.T) {
	h := agentHandler()
	for _, c := range []struct {
		line, body string
		headers    []string
		code       int
		text       string
	}{
		{"POST /api/v1", `{"type":"GET_HEALTH"}`, []string{jsonType}, 200, `"get_health":{"healthy":true}`},
		{"POST /slave(1)/api/v1", `{"type":"GET_VERSION"}`, []string{jsonType}, 200, `"version":"1.0"`},
		{"POST /api/v1/", `{"type":"GET_FLAGS"}`, []string{jsonType}, 200, `"agent_api"`},
		{"POST /api/v1", `{"type":"GET_AGENT"}`, []string{jsonType}, 200, `"hostname":"h1"`},
		{"POST /api/v1", `{"type":"GET_STATE"}`, []string{jsonType}, 200, `"launched_tasks":[`},
		{"POST /api/v1", `{"type":"GET_TASKS"}`, []string{jsonType}, 200, `"queued_tasks":[`},
		{"POST /api/v1", `{"type":"GET_FRAMEWORKS"}`, []string{jsonType}, 200, `"completed_frameworks":[`},
		{"POST /api/v1", `{"type":"GET_EXECUTORS"}`, []string{jsonType}, 200, `"get_executors":{}`},
		{"POST /api/v1", `{"type":"GET_OPERATIONS"}`, []string{jsonType}, 200, `"get_operations":{}`},
		{"POST /api/v1", `{"type":"GET_RESOURCE_PROVIDERS"}`, []string{jsonType}, 200, `"get_resource_providers":{}`},
		{"POST /api/v1", `{"type":"GET_LOGGING_LEVEL"}`, []string{jsonType}, 200, `"level":0`},
		{"POST /api/v1", `{"type":"GET_CONTAINERS"}`, []string{jsonType}, 200, `"container_id":{"value":"c-run"}`},
		{"POST /api/v1", `{"type":"GET_CONTAINERS","get_containers":{"show_nested":true}}`, []string{jsonType}, 200, `"mem_total_bytes":100`},
		{"POST /api/v1", `{"type":"GET_METRICS","get_metrics":{}}`, []string{jsonType}, 200, `"get_metrics":`},
		{"GET /api/v1", "", nil, 405, "Expecting one of { 'POST' }"},
		{"POST /api/v1", `{}`, []string{jsonType}, 400, "Failed to validate agent::Call: Expecting 'type' to be present"},
		{"POST /api/v1", `{"type":"LIST_FILES"}`, []string{jsonType}, 400, "Failed to validate agent::Call: Expecting 'list_files' to be present"},
		{"POST /api/v1", `{"type":"LIST_FILES","list_files":{"path":"/x"}}`, []string{jsonType}, 404, "not found"},
		{"POST /api/v1", `{"type":"GET_HEALTH"}`, []string{jsonType, "Accept: text/html"}, 406, "Expecting 'Accept'"},
		{"POST /api/v1", `{"type":"UNKNOWN"}`, []string{jsonType}, 501, "UNKNOWN is not supported"},
		{"POST /api/v1", `{"type":"PRUNE_IMAGES"}`, []string{jsonType}, 501, "PRUNE_IMAGES is not supported by this agent"},
		{"POST /api/v1", `{"type":"KILL_CONTAINER","kill_container":{"container_id":{"value":"c"}}}`, []string{jsonType}, 501, "KILL_CONTAINER is not supported"},
		{"POST /api/v1", `{"type":"LAUNCH_NESTED_CONTAINER_SESSION","launch_nested_container_session":{"container_id":{"value":"c"}}}`, []string{jsonType, "Accept: application/recordio", "Message-Accept: application/json"}, 501, "LAUNCH_NESTED_CONTAINER_SESSION is not supported"},
		{"POST /api/v1", "x", []string{"Content-Type: application/recordio", "Message-Content-Type: application/json"}, 501, "ATTACH_CONTAINER_INPUT is not supported"},
		{"POST /api/v1/executor", `{}`, []string{jsonType}, 501, "not supported"},
		{"POST /slave(1)/api/v1/executor", `{}`, []string{jsonType}, 501, "not supported"},
		{"GET /health", "", nil, 200, ""},
	} {
		wantSingle(t, do(h, request(c.line, c.body, c.headers...)), c.code, c.text)
	}
}

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/recordio"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
	"muster/offers/view"
)

func operate(t *testing.T, w *world, call string, code int, text string) *httptest.ResponseRecorder {
	t.Helper()
	rec := do(w.handler, request("POST /api/v1", call, jsonType))
	wantSingle(t, rec, code, text)
	return rec
}

func TestOperatorReads(t *testing.T) {
	w := newWorldWith(t, Config{}, oneSandbox{dir: t.TempDir()}).populate()
	for call, text := range map[string]string{
		"GET_HEALTH":               `"get_health":{"healthy":true}`,
		"GET_FLAGS":                `"get_flags":{"flags":[{"name":"agent_api","value":"127.0.0.1:5051"}`,
		"GET_VERSION":              `"get_version":{"version_info":{"version":"1.0"`,
		"GET_LOGGING_LEVEL":        `"get_logging_level":{"level":0}`,
		"GET_STATE":                `"get_state":{"get_tasks":{"tasks":[{`,
		"GET_AGENTS":               `"get_agents":{"agents":[{`,
		"GET_FRAMEWORKS":           `"get_frameworks":{"frameworks":[{`,
		"GET_EXECUTORS":            `"get_executors":{}`,
		"GET_TASKS":                `"get_tasks":{"tasks":[{`,
		"GET_ROLES":                `"get_roles":{"roles":[{"name":"dev","weight":1`,
		"GET_MASTER":               `"get_master":{"master_info":{"id":"M"`,
		"GET_OPERATIONS":           `"get_operations":{}`,
		"GET_WEIGHTS":              `"get_weights":{"weight_infos":[{"weight":2.5,"role":"ops"}]}`,
		"GET_QUOTA":                `"get_quota":{"status":{"infos":[{"role":"ops",`,
		"GET_MAINTENANCE_STATUS":   `"get_maintenance_status":{"status":{}}`,
		"GET_MAINTENANCE_SCHEDULE": `"get_maintenance_schedule":{"schedule":{}}`,
	} {
		rec := operate(t, w, `{"type":"`+call+`"}`, 200, text)
		if !strings.Contains(rec.Body.String(), `"type":"`+call+`"`) || !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("%s: %s", call, clip(rec.Body.String()))
		}
	}
	operate(t, w, `{"type":"GET_METRICS","get_metrics":{"timeout":{"nanoseconds":1}}}`, 200, `"name":"gateway/sessions"`)
	operate(t, w, `{"type":"LIST_FILES","list_files":{"path":"/frameworks/F/executors/E/runs/latest"}}`, 200, `"list_files":{}`)
	operate(t, w, `{"type":"LIST_FILES","list_files":{"path":"/etc"}}`, 404, "not found")
	operate(t, w, `{"type":"READ_FILE","read_file":{"path":"/master/log","offset":0}}`, 404, "is not kept in a file")
}

func TestOperatorCallsAreChecked(t *testing.T) {
	w := newWorld(t).lead().populate()
	for _, c := range []struct {
		line, body string
		headers    []string
		code       int
		text       string
	}{
		{"GET /api/v1", "", nil, 405, "Expecting one of { 'POST' }"},
		{"POST /api/v1", "{}", nil, 400, "Expecting 'Content-Type' to be present"},
		{"POST /api/v1", "{}", []string{"Content-Type: x/y"}, 415, "Expecting 'Content-Type' of"},
		{"POST /api/v1", "{", []string{jsonType}, 400, "Failed to parse body into JSON"},
		{"POST /api/v1", "[]", []string{jsonType}, 400, "Failed to convert JSON into Call protobuf"},
		{"POST /api/v1", "{}", []string{jsonType}, 400, "Failed to validate master::Call: Expecting 'type' to be present"},
		{"POST /api/v1", `{"type":"GET_METRICS"}`, []string{jsonType}, 400, "Failed to validate master::Call: Expecting 'get_metrics' to be present"},
		{"POST /api/v1", `{"type":"READ_FILE"}`, []string{jsonType}, 400, "Expecting 'read_file' to be present"},
		{"POST /api/v1", `{"type":"UPDATE_WEIGHTS"}`, []string{jsonType}, 400, "Expecting 'update_weights' to be present"},
		{"POST /api/v1", `{"type":"GET_HEALTH"}`, []string{jsonType, "Accept: text/html"}, 406, "Expecting 'Accept' to allow"},
		{"POST /api/v1", `{"type":"UNKNOWN"}`, []string{jsonType}, 501, "UNKNOWN"},
		{"POST /api/v1", `{"type":"SET_LOGGING_LEVEL","set_logging_level":{"level":1,"duration":{"nanoseconds":1}}}`, []string{jsonType}, 501, "SET_LOGGING_LEVEL is not supported"},
		{"POST /master/api/v1/", `{"type":"TEARDOWN","teardown":{"framework_id":{"value":"F"}}}`, []string{jsonType}, 200, ""},
	} {
		wantSingle(t, do(w.handler, request(c.line, c.body, c.headers...)), c.code, c.text)
	}
}

func TestOperatorReadsInProtobuf(t *testing.T) {
	w := newWorld(t).populate()
	call, err := proto.Marshal(&master.Call{Type: master.Call_GET_AGENTS.Enum()})
	if err != nil {
		t.Fatal(err)
	}
	rec := do(w.handler, request("POST /api/v1", string(call), protoType, "Accept: application/x-protobuf"))
	wantSingle(t, rec, 200, "")
	var r master.Response
	if err := proto.Unmarshal(rec.Body.Bytes(), &r); err != nil || r.GetGetAgents().GetAgents()[0].GetAgentInfo().GetHostname() != "h1" {
		t.Fatal(&r, err)
	}
}

// watching is an operator's stream in virtual time.
type watching struct {
	t    *testing.T
	rec  *httptest.ResponseRecorder
	read int
	stop func()
}

func watch(t *testing.T, w *world) *watching {
	ctx, cancel := context.WithCancel(t.Context())
	rec := httptest.NewRecorder()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.handler.ServeHTTP(rec, request("POST /api/v1", `{"type":"SUBSCRIBE"}`, jsonType).WithContext(ctx))
	}()
	return &watching{t: t, rec: rec, stop: func() { cancel(); <-ended }}
}

// next are the types of the events since the last look, heartbeats left out.
func (s *watching) next() string {
	s.t.Helper()
	synctest.Wait()
	all := s.rec.Body.String()
	records := recordio.NewReader(strings.NewReader(all[s.read:]), 0)
	s.read = len(all)
	var types []string
	for {
		b, err := records.Next()
		if err != nil {
			return strings.Join(types, " ")
		}
		var e struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(b, &e); err != nil {
			s.t.Fatal(err)
		}
		if e.Type != "HEARTBEAT" {
			types = append(types, e.Type)
		}
	}
}

func TestOperatorStreamTellsWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).populate()
		s := watch(t, w)
		defer s.stop()
		if got := s.next(); got != "SUBSCRIBED" {
			t.Fatal(got)
		}
		if s.rec.Header().Get("Content-Length") != "" || s.rec.Header().Get("Content-Type") != mediaJSON {
			t.Fatal(s.rec.Header())
		}
		status := &mesos.TaskStatus{TaskId: &mesos.TaskID{Value: proto.String("t1")}, State: mesos.TaskState_TASK_FINISHED.Enum()}
		gone := frameworkFact("F1")
		gone.Connected = proto.Bool(false)
		for _, c := range []struct {
			e    *protocol.ViewEvent
			want string
		}{
			{view.AgentEvent(agentFact("S1")), ""},
			{view.AgentEvent(agentFact("S9")), "AGENT_ADDED"},
			{view.AgentRemovedEvent("S9", true), "AGENT_REMOVED"},
			{view.AgentRemovedEvent("S9", false), ""},
			{view.FrameworkEvent(frameworkFact("F1")), ""},
			{view.FrameworkEvent(gone), "FRAMEWORK_UPDATED"},
			{view.TaskEvent(taskFact("F1", "t9", mesos.TaskState_TASK_STAGING, 1), nil, false), "TASK_ADDED"},
			{view.TaskEvent(taskFact("F1", "t1", mesos.TaskState_TASK_FINISHED, 1), status, false), "TASK_UPDATED"},
			{view.TaskRemovedEvent("F1", "t1", true), ""},
			{view.OfferRemovedEvent("O1"), ""},
			{view.FrameworkRemovedEvent("F1"), "FRAMEWORK_REMOVED"},
			{view.FrameworkRemovedEvent("F1"), ""},
		} {
			w.views.Apply(c.e)
			if got := s.next(); got != c.want {
				t.Fatalf("%v told as %q, want %q", c.e, got, c.want)
			}
		}
	})
}

func TestOperatorStreamOutlivesItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).populate()
		w.views.Apply(view.FrameworkEvent(frameworkFact("F2")))
		s := watch(t, w)
		defer s.stop()
		s.next()
		w.views.Apply(&protocol.ViewEvent{Event: &protocol.ViewEvent_Reset_{Reset_: &protocol.Reset{}}})
		pass(time.Minute) // without a leader
		if n := strings.Count(s.rec.Body.String(), "HEARTBEAT"); n < 4 {
			t.Fatalf("%d heartbeats in a minute without a leader", n)
		}
		// The new leader knows the agent from the registry, and lost a framework.
		w.views.Apply(
			view.RecoveredAgentEvent(&mesos.AgentInfo{Id: &mesos.AgentID{Value: proto.String("S1")}}),
			view.FrameworkEvent(frameworkFact("F1")),
			&protocol.ViewEvent{Event: &protocol.ViewEvent_Synced{Synced: &protocol.Synced{}}})
		if got := s.next(); got != "FRAMEWORK_REMOVED" {
			t.Fatalf("told %q", got)
		}
		// The agent is back with a task that has ended meanwhile, and with one that has not.
		w.views.Apply(view.AgentEvent(agentFact("S1")),
			view.TaskEvent(taskFact("F1", "t1", mesos.TaskState_TASK_FAILED, 1), nil, false),
			view.TaskEvent(taskFact("F1", "t2", mesos.TaskState_TASK_RUNNING, 1), nil, false))
		if got := s.next(); got != "TASK_UPDATED" {
			t.Fatalf("told %q", got)
		}
	})
}

func TestOldestOperatorStreamGivesWay(t *testing.T) {
	var s subscribers
	first, leaveFirst := s.join(t.Context())
	second, leaveSecond := s.join(t.Context())
	for range maxSubscribers - 1 {
		_, leave := s.join(t.Context())
		defer leave()
	}
	if first.Err() == nil || second.Err() != nil {
		t.Fatal("the wrong stream was evicted")
	}
	leaveFirst()
	leaveSecond()
	if len(s.list) != maxSubscribers-1 {
		t.Fatalf("%d streams are counted", len(s.list))
	}
}

func TestPanicOfAHandlerIs500(t *testing.T) {
	h := survive(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no") }), discard)
	wantSingle(t, do(h, request("GET /", "")), 500, "internal error")
}

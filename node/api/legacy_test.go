package api

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/view"
)

func want(t *testing.T, doc any, value any, path ...any) {
	t.Helper()
	if got := at(t, doc, path...); fmt.Sprint(got) != fmt.Sprint(value) {
		t.Fatalf("%v is %v, want %v", path, got, value)
	}
}

func TestStateIsWhatToolsRead(t *testing.T) {
	w := newWorld(t).populate()
	var s any
	get(t, w.handler, "/state", &s)
	for _, c := range []struct {
		value any
		path  []any
	}{
		{"1.0", []any{"version"}},
		{"M", []any{"id"}},
		{"master@10.0.0.1:5050", []any{"pid"}},
		{"master@10.0.0.1:5050", []any{"leader"}},
		{"master@10.0.0.1:5050", []any{"leader_info", "pid"}},
		{5050, []any{"leader_info", "port"}},
		{1234.5, []any{"elected_time"}},
		{100, []any{"start_time"}},
		{"c", []any{"cluster"}},
		{1, []any{"activated_slaves"}},
		{0, []any{"deactivated_slaves"}},
		{1, []any{"unreachable_slaves"}},
		{"127.0.0.1:5050", []any{"flags", "api"}},
		{"S2", []any{"recovered_slaves", 0, "id"}},
		{"slave(1)@10.0.0.2:5051", []any{"slaves", 0, "pid"}},
		{5051, []any{"slaves", 0, "port"}},
		{"a", []any{"slaves", 0, "attributes", "rack"}},
		{"<b>", []any{"slaves", 0, "attributes", "zone"}},
		{1.8, []any{"slaves", 0, "resources", "cpus"}},
		{0, []any{"slaves", 0, "resources", "mem"}},
		{2, []any{"slaves", 0, "resources", "cpus_revocable"}},
		{"[31000-31007, 32000-32000]", []any{"slaves", 0, "resources", "ports"}},
		{1.5, []any{"slaves", 0, "reserved_resources", "ops", "cpus"}},
		{"cpus", []any{"slaves", 0, "reserved_resources_full", "ops", 0, "name"}},
		{0.3, []any{"slaves", 0, "unreserved_resources", "cpus"}},
		{"[]", []any{"slaves", 0, "used_resources_full"}},
		{"MULTI_ROLE", []any{"slaves", 0, "capabilities", 0}},
		{1.5, []any{"slaves", 0, "registered_time"}},
		{true, []any{"slaves", 0, "active"}},
		{"F1", []any{"frameworks", 0, "id"}},
		{"dev", []any{"frameworks", 0, "roles", 0}},
		{0, []any{"frameworks", 0, "failover_timeout"}},
		{false, []any{"frameworks", 0, "checkpoint"}},
		{0.5, []any{"frameworks", 0, "used_resources", "cpus"}},
		{1.5, []any{"frameworks", 0, "resources", "cpus"}},
		{"O1", []any{"frameworks", 0, "offers", 0, "id"}},
		{"[]", []any{"frameworks", 0, "executors"}},
		{"t1", []any{"frameworks", 0, "tasks", 0, "id"}},
		{"", []any{"frameworks", 0, "tasks", 0, "executor_id"}},
		{"S1", []any{"frameworks", 0, "tasks", 0, "slave_id"}},
		{"dev", []any{"frameworks", 0, "tasks", 0, "role"}},
		{0.25, []any{"frameworks", 0, "tasks", 0, "resources", "cpus"}},
		{"k", []any{"frameworks", 0, "tasks", 0, "labels", 0, "key"}},
		{"10.1.1.1", []any{"frameworks", 0, "tasks", 0, "statuses", 0, "container_status", "network_infos", 0, "ip_addresses", 0, "ip_address"}},
		{"TASK_FINISHED", []any{"frameworks", 0, "completed_tasks", 0, "state"}},
		{"[]", []any{"orphan_tasks"}},
		{"[]", []any{"completed_frameworks"}},
	} {
		want(t, s, c.value, c.path...)
	}
	f := at(t, s, "frameworks", 0).(map[string]any)
	for _, absent := range []string{"pid", "role"} {
		if _, there := f[absent]; there {
			t.Fatalf("a multi-role HTTP framework has %q", absent)
		}
	}
}

func TestStateUnderAllItsNames(t *testing.T) {
	w := newWorld(t).populate()
	for _, line := range []string{
		"GET /state", "GET /state/", "GET /state.json", "GET /master/state", "GET /master/state.json", "GET /master/state/", "GET //state", "POST /state",
	} {
		wantSingle(t, do(w.handler, request(line, "")), 200, `"leader":"master@10.0.0.1:5050"`)
	}
	rec := do(w.handler, request("HEAD /state", ""))
	if rec.Code != 200 {
		t.Fatalf("HEAD: %d", rec.Code)
	}
	for _, line := range []string{"GET /nothing", "GET /master", "GET /masterstate", "GET /../state/../x"} {
		if rec := do(w.handler, request(line, "")); rec.Code != 404 {
			t.Fatalf("%s: %d", line, rec.Code)
		}
	}
}

func TestTablesOfTheState(t *testing.T) {
	w := newWorld(t).populate()
	for _, c := range []struct{ line, has, hasNot string }{
		{"GET /slaves", `"id":"S1"`, ""},
		{"POST /slaves/", `"id":"S1"`, ""},
		{"GET /slaves?slave_id=S1", `"id":"S1"`, `"id":"S2"`},
		{"GET /slaves?slave_id=nobody", `"slaves":[]`, `"id":"S1"`},
		{"GET /frameworks?framework_id=F1", `"id":"F1"`, ""},
		{"GET /frameworks?framework_id=X", `"frameworks":[]`, `"id":"F1"`},
		{"GET /tasks?task_id=t2", `"id":"t2"`, `"id":"t1"`},
		{"GET /tasks?framework_id=X", `{"tasks":[]}`, ""},
		{"POST /tasks/?limit=1", `"id":"t0"`, `"id":"t1"`},
		{"GET /tasks?order=asc&limit=1", `"id":"t2"`, `"id":"t1"`},
		{"GET /tasks?order=asc&limit=1&offset=1", `"id":"t1"`, `"id":"t2"`},
		{"GET /tasks?offset=99999999999", `{"tasks":[]}`, ""},
		{"GET /roles", `"name":"dev","weight":1,`, ""},
		{"GET /roles", `"allocated":{"cpus":0.5,`, ""},
		{"GET /state-summary", `"TASK_RUNNING":2`, `"tasks":`},
		{"GET /state-summary", `"slave_ids":["S1"]`, ""},
		{"GET /state-summary", `"framework_ids":["F1"]`, ""},
		{"GET /roles", `{"name":"ops","weight":2.5,"quota":{"role":"ops","guarantee":{"cpus":1},"limit":{"cpus":2,"mem":0},"consumed":{"cpus":1.5,`, ""},
		{"GET /quota", `{"infos":[{"role":"ops","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1.0}}]}],"configs":[{"role":"ops","guarantees":{"cpus":{"value":1.0}},"limits":{"cpus":{"value":2.0},"mem":{"value":0.0}}}]}`, ""},
		{"GET /weights", `[{"weight":2.5,"role":"ops"}]`, ""},
		{"GET /maintenance/schedule", `{}`, ""},
		{"GET /maintenance/status", `{}`, ""},
		{"GET /version", `"version":"1.0"`, ""},
		{"GET /flags", `{"flags":{"agent_api":`, ""},
		{"GET /metrics/snapshot", `"gateway/sessions":0`, ""},
	} {
		rec := do(w.handler, request(c.line, ""))
		wantSingle(t, rec, 200, c.has)
		if !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("%s: no JSON: %s", c.line, clip(rec.Body.String()))
		}
		if c.hasNot != "" && strings.Contains(rec.Body.String(), c.hasNot) {
			t.Fatalf("%s: has %s: %s", c.line, c.hasNot, rec.Body)
		}
	}
}

func TestLegacyRequestsThatAreRefused(t *testing.T) {
	w := newWorld(t).populate().lead()
	for _, c := range []struct {
		line, body string
		code       int
		text       string
	}{
		{"GET /tasks?limit=x", "", 400, "Failed to parse limit: "},
		{"GET /tasks?offset=-1", "", 400, "Failed to parse offset: "},
		{"GET /tasks?order=up", "", 400, "Failed to parse order: "},
		{"GET /state?jsonp=alert(1)", "", 400, "Failed to parse jsonp: "},
		{"GET /teardown", "", 405, "Expecting one of { 'POST' }"},
		{"POST /teardown", "", 400, "Missing 'frameworkId' query parameter"},
		{"POST /teardown", "frameworkId=%zz", 400, "Unable to decode query string"},
		{"POST /teardown", strings.Repeat("x", maxForm+1), 400, "Failed to read request body"},
		{"POST /weights", "[]", 405, "Expecting one of { 'GET', 'PUT' }"},
		{"PUT /weights", "{}", 400, "Failed to validate update weights request JSON '{}'"},
		{"PUT /weights", `[{"role":"a"}]`, 400, "Failed to validate update weights request JSON"},
		{"PUT /weights", `[{`, 400, "Failed to parse update weights request JSON '[{'"},
		{"PUT /quota", "{}", 405, "Expecting one of { 'GET', 'POST', 'DELETE' }"},
		{"POST /quota", "[]", 400, "Failed to validate set quota request JSON '[]'"},
		{"POST /quota", "", 400, "Failed to parse set quota request JSON ''"},
		{"DELETE /quota", "", 400, "name the role behind /quota/"},
		{"POST /reserve", "", 400, "Missing 'slaveId' query parameter in the request body"},
		{"POST /create-volumes", "slaveId=a&volumes=x", 400, "Error in parsing 'volumes' query parameter in the request body"},
		{"GET /machine/down", "", 405, "Expecting one of { 'POST' }"},
		{"POST /machine/down", "{}", 400, "Failed to parse the machines: expecting a JSON array"},
		{"POST /machine/up", `[{"hostname":1.5}]`, 400, "Failed to parse the machines"},
		{"PUT /maintenance/schedule", "", 405, "Expecting one of"},
		{"POST /maintenance/status", "", 405, "Expecting one of { 'GET' }"},
		{"POST /maintenance/schedule", "[]", 400, "Failed to parse the maintenance schedule"},
	} {
		wantSingle(t, do(w.handler, request(c.line, c.body)), c.code, c.text)
	}
}

func TestTeardown(t *testing.T) {
	w := newWorld(t).lead()
	for _, r := range []*http.Request{
		request("POST /teardown", "frameworkId=F1", "Content-Type: application/x-www-form-urlencoded"),
		request("POST /master/teardown/", "frameworkId=F1"), // as some scripts: without a type
	} {
		wantSingle(t, do(w.handler, r), 200, "")
		sent := w.up.take()
		if len(sent) != 1 || sent[0].GetOperate().GetCall().GetTeardown().GetFrameworkId().GetValue() != "F1" {
			t.Fatalf("sent %v", sent)
		}
	}
}

func TestMachinesAreMaintained(t *testing.T) {
	w := newWorld(t).lead()
	wantSingle(t, do(w.handler, request("POST /machine/down", `[{"hostname":"a"},{"ip":"10.0.0.1"}]`)), 200, "")
	wantSingle(t, do(w.handler, request("POST /master/machine/up", `[{"hostname":"a"}]`)), 200, "")
	wantSingle(t, do(w.handler, request("POST /maintenance/schedule",
		`{"windows":[{"machine_ids":[{"hostname":"a"}],"unavailability":{"start":{"nanoseconds":5}}}]}`)), 200, "")
	sent := w.up.take()
	if len(sent) != 3 {
		t.Fatalf("sent %v", sent)
	}
	if ids := sent[0].GetOperate().GetCall().GetStartMaintenance().GetMachines(); len(ids) != 2 || ids[1].GetIp() != "10.0.0.1" {
		t.Errorf("down: %v", ids)
	}
	if ids := sent[1].GetOperate().GetCall().GetStopMaintenance().GetMachines(); len(ids) != 1 || ids[0].GetHostname() != "a" {
		t.Errorf("up: %v", ids)
	}
	windows := sent[2].GetOperate().GetCall().GetUpdateMaintenanceSchedule().GetSchedule().GetWindows()
	if len(windows) != 1 || windows[0].GetUnavailability().GetStart().GetNanoseconds() != 5 {
		t.Errorf("schedule: %v", windows)
	}
}

func TestRedirectLeadsHere(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/redirect", "/master/redirect"} {
		rec := do(w.handler, request("GET "+path, ""))
		if l := rec.Header().Get("Location"); rec.Code != 307 || l != "//example.com" {
			t.Fatalf("%d %q", rec.Code, l)
		}
	}
}

func TestJSONP(t *testing.T) {
	w := newWorld(t)
	rec := do(w.handler, request("GET /version?jsonp=angular.callbacks._0", ""))
	wantSingle(t, rec, 200, `angular.callbacks._0({"`)
	if rec.Header().Get("Content-Type") != "text/javascript" || !strings.HasSuffix(rec.Body.String(), "});") {
		t.Fatalf("%q %s", rec.Header().Get("Content-Type"), rec.Body)
	}
}

func TestGzipIsForThoseWhoTakeIt(t *testing.T) {
	w := newWorld(t).populate()
	for header, packed := range map[string]bool{
		"": false, "gzip": true, "deflate, gzip;q=0.5": true, "gzip;q=0": false, "*": true, "identity": false, "xgzip": false,
	} {
		rec := do(w.handler, request("GET /state", "", "Accept-Encoding: "+header))
		wantSingle(t, rec, 200, "")
		if got := rec.Header().Get("Content-Encoding") == "gzip"; got != packed {
			t.Fatalf("Accept-Encoding %q: packed %t", header, got)
		}
		var text io.Reader = rec.Body
		if packed {
			z, err := gzip.NewReader(rec.Body)
			if err != nil {
				t.Fatal(err)
			}
			text = z
		}
		if b, err := io.ReadAll(text); err != nil || !json.Valid(b) {
			t.Fatalf("Accept-Encoding %q: %v", header, err)
		}
	}
	if rec := do(w.handler, request("GET /version", "", "Accept-Encoding: gzip")); rec.Header().Get("Content-Encoding") != "" {
		t.Fatal("a few bytes were packed")
	}
}

func TestPrometheusMetrics(t *testing.T) {
	rec := do(newWorld(t).handler, request("GET /metrics", ""))
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), "muster_gateway_sessions 0") {
		t.Fatalf("%d %s", rec.Code, clip(rec.Body.String()))
	}
}

func TestStringsAreQuotedWhateverTheyHold(t *testing.T) {
	for _, s := range []string{"", "plain", `q"uo\te`, "<script>&", "nul\x00 bell\a", "ümläut 漢", "bad \xff utf8", "line\u2028sep", "\x7f"} {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var ref string
		if err := json.Unmarshal(b, &ref); err != nil || got != ref {
			t.Fatalf("%q came back as %q, %v", s, got, err)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\x00\"<é")
	f.Fuzz(func(t *testing.T, s string) {
		if b := appendString(nil, s); !json.Valid(b) {
			t.Fatalf("%q became %s", s, b)
		}
	})
}

// A state of the size that large clusters have, for the time it takes.
func BenchmarkState(b *testing.B) {
	v := view.New()
	for i := range 4000 {
		v.Apply(view.AgentEvent(agentFact(fmt.Sprint("S", i))))
	}
	for i := range 10 {
		id := fmt.Sprint("F", i)
		v.Apply(view.FrameworkEvent(frameworkFact(id)))
		for j := range 4000 {
			v.Apply(view.TaskEvent(taskFact(id, fmt.Sprint("t", j), mesos.TaskState_TASK_RUNNING, 1), nil, false))
		}
	}
	v.Apply(view.MasterEvent(&protocol.ViewEvent_Master{Info: &mesos.MasterInfo{Id: proto.String("M")}}))
	m := &masterAPI{}
	r := httptest.NewRequest("GET", "/state", nil)
	b.Run("state", func(b *testing.B) {
		for b.Loop() {
			var out writer
			if err := m.state(&out, r, v); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size(out.chunks())))
		}
	})
	for _, c := range []codec{jsonCodec, protobufCodec} {
		b.Run("GET_STATE "+c.media, func(b *testing.B) {
			for b.Loop() {
				t := newTree(c, nil)
				writeState(t, v)
				body, err := t.body()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(size(body)))
			}
		})
	}
}

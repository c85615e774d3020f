package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/node/link"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/view"
	"muster/telemetry/metrics"
)

// views is a cluster's view that the test writes.
type views struct{ *link.Replica }

func (v views) Watch(ctx context.Context) (*link.Watch, func(), error) {
	w, err := v.Replica.Watch(ctx)
	if err != nil {
		return nil, nil, err
	}
	return w, w.Close, nil
}

// world is a node's master API with a leader that the test plays.
type world struct {
	t       *testing.T
	handler http.Handler
	gateway *Gateway
	up      *uplink
	views   views
}

func newWorld(t *testing.T) *world { return newWorldWith(t, Config{}, nil) }

func newWorldWith(t *testing.T, cfg Config, s Sandboxes) *world {
	cfg.Version = &mesos.VersionInfo{Version: proto.String("1.0")}
	cfg.Started = 100
	cfg.Flags = map[string]string{"api": "127.0.0.1:5050", "agent_api": "127.0.0.1:5051"}
	w := &world{t: t, up: &uplink{}, views: views{link.NewReplica()}}
	w.gateway = NewGateway(w.up, nil)
	w.handler = survive(Master(cfg, w.gateway, w.views, NewFiles(s, ""), metrics.New(), nil), discard)
	return w
}

// lead lets the gateway have a leader that answers calls by a table of its own:
// framework "F" is subscribed with the stream "S".
func (w *world) lead() *world {
	w.up.answer = func(m *protocol.GatewayToMaster) {
		switch m := m.GetMessage().(type) {
		case *protocol.GatewayToMaster_Call:
			code, text := coreAnswer(m.Call)
			w.reply(&protocol.Reply{CallId: m.Call.CallId, Code: &code, Message: &text})
		case *protocol.GatewayToMaster_Operate:
			code, text := uint32(200), ""
			switch t := m.Operate.GetCall().GetType(); t {
			case master.Call_TEARDOWN, master.Call_START_MAINTENANCE, master.Call_STOP_MAINTENANCE, master.Call_UPDATE_MAINTENANCE_SCHEDULE:
			default:
				code, text = 501, t.String()+" is not supported"
			}
			w.reply(&protocol.Reply{CallId: m.Operate.CallId, Code: &code, Message: &text})
		case *protocol.GatewayToMaster_Subscribe:
			event := subscribedEvent("F")
			if m.Subscribe.GetCall().GetSubscribe().GetFrameworkInfo().GetName() == "bad" {
				event = errorEvent("Framework has been removed")
			}
			w.hear(&protocol.MasterToGateway{Message: &protocol.MasterToGateway_Event{Event: &protocol.Event{SessionId: m.Subscribe.SessionId, Event: event}}})
			if event.Error != nil {
				w.hear(&protocol.MasterToGateway{Message: &protocol.MasterToGateway_Closed{Closed: &protocol.Closed{SessionId: m.Subscribe.SessionId}}})
			}
		}
	}
	w.gateway.Connected(1)
	return w
}

func (w *world) hear(m *protocol.MasterToGateway) {
	if err := w.gateway.Receive(m); err != nil {
		w.t.Error(err)
	}
}

func (w *world) reply(r *protocol.Reply) {
	w.hear(&protocol.MasterToGateway{Message: &protocol.MasterToGateway_Reply{Reply: r}})
}

func coreAnswer(c *protocol.Call) (uint32, string) {
	switch {
	case c.GetCall().GetFrameworkId().GetValue() != "F":
		return 400, "Framework cannot be found"
	case c.SessionId == nil:
		return 400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header"
	case c.GetSessionId() != "S":
		return 400, "The stream ID '" + c.GetSessionId() + "' included in this request didn't match the stream ID currently associated with framework ID F"
	case c.GetCall().GetType() == scheduler.Call_UPDATE_FRAMEWORK:
		return 200, ""
	case c.GetCall().GetType() == scheduler.Call_UNKNOWN:
		return 501, "UNKNOWN is not supported"
	}
	return 202, ""
}

// request is one request as a table writes it: "METHOD path", headers as "Name: value".
func request(line, body string, headers ...string) *http.Request {
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

const (
	jsonType  = "Content-Type: application/json"
	protoType = "Content-Type: application/x-protobuf"
)

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// wantSingle checks what holds for every answer that is no stream.
func wantSingle(t *testing.T, rec *httptest.ResponseRecorder, code int, text string) {
	t.Helper()
	if rec.Code != code || !strings.Contains(rec.Body.String(), text) {
		t.Fatalf("got %d %q, want %d %q", rec.Code, clip(rec.Body.String()), code, text)
	}
	if rec.Header().Get("Content-Length") == "" {
		t.Fatal("an answer that is no stream has no Content-Length")
	}
	if code == http.StatusAccepted && rec.Body.Len() != 0 {
		t.Fatalf("202 with a body %q", rec.Body)
	}
}

func clip(s string) string { return s[:min(len(s), 300)] }

// get reads a JSON document.
func get(t *testing.T, h http.Handler, target string, into any) {
	t.Helper()
	rec := do(h, request("GET "+target, ""))
	wantSingle(t, rec, 200, "")
	if ct := rec.Header().Get("Content-Type"); ct != "application/json" {
		t.Fatalf("GET %s: Content-Type %q", target, ct)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), into); err != nil {
		t.Fatalf("GET %s: %v in %s", target, err, clip(rec.Body.String()))
	}
}

// at finds a value in a JSON document; numbers are indices.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for i, p := range path {
		switch p := p.(type) {
		case string:
			o, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("%v: no object at %v", path, path[:i])
			}
			if v, ok = o[p]; !ok {
				t.Fatalf("%v: nothing at %v in %v", path, path[:i+1], o)
			}
		case int:
			a, ok := v.([]any)
			if !ok || len(a) <= p {
				t.Fatalf("%v: no such element at %v", path, path[:i])
			}
			v = a[p]
		}
	}
	return v
}

func scalarOf(name string, v float64) *mesos.Resource {
	return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &v},
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String("dev")}}
}

func portsOf(ranges ...uint64) *mesos.Resource {
	r := &mesos.Resource{Name: proto.String("ports"), Type: mesos.Value_RANGES.Enum(), Ranges: &mesos.Value_Ranges{}}
	for i := 0; i < len(ranges); i += 2 {
		r.Ranges.Range = append(r.Ranges.Range, &mesos.Value_Range{Begin: &ranges[i], End: &ranges[i+1]})
	}
	return r
}

// populate gives the view a small cluster.
func (w *world) populate() *world {
	w.views.Apply(
		view.MasterEvent(&protocol.ViewEvent_Master{
			Info: &mesos.MasterInfo{Id: proto.String("M"), Ip: proto.Uint32(1), Port: proto.Uint32(5050), Pid: proto.String("master@10.0.0.1:5050"),
				Hostname: proto.String("m1"), Version: proto.String("1.0")},
			Term: proto.Uint64(3), ElectedTime: proto.Float64(1234.5), Cluster: proto.String("c"),
		}),
		view.AgentEvent(agentFact("S1")),
		view.RecoveredAgentEvent(&mesos.AgentInfo{Id: &mesos.AgentID{Value: proto.String("S2")}, Hostname: proto.String("h2")}),
		view.AgentRemovedEvent("S3", true),
		view.FrameworkEvent(frameworkFact("F1")),
		view.TaskEvent(taskFact("F1", "t1", mesos.TaskState_TASK_RUNNING, 20), nil, false),
		view.TaskEvent(taskFact("F1", "t2", mesos.TaskState_TASK_RUNNING, 10), nil, false),
		view.TaskEvent(taskFact("F1", "t0", mesos.TaskState_TASK_FINISHED, 30), nil, false),
		view.TaskRemovedEvent("F1", "t0", true),
		view.OfferEvent(&mesos.Offer{Id: &mesos.OfferID{Value: proto.String("O1")}, FrameworkId: frameworkID("F1"),
			AgentId: &mesos.AgentID{Value: proto.String("S1")}, Hostname: proto.String("h1"), Resources: []*mesos.Resource{scalarOf("cpus", 1)}}),
		view.WeightEvent(&mesos.WeightInfo{Role: proto.String("ops"), Weight: proto.Float64(2.5)}),
		view.QuotaEvent(&quota.QuotaConfig{Role: proto.String("ops"), Guarantees: map[string]*mesos.Value_Scalar{"cpus": scalarOf("cpus", 1).Scalar},
			Limits: map[string]*mesos.Value_Scalar{"cpus": scalarOf("cpus", 2).Scalar, "mem": scalarOf("mem", 0).Scalar}}),
		&protocol.ViewEvent{Event: &protocol.ViewEvent_Synced{Synced: &protocol.Synced{}}},
	)
	return w
}

func agentFact(id string) *master.Response_GetAgents_Agent {
	reserved := scalarOf("cpus", 1.5)
	reserved.AllocationInfo = nil
	reserved.Reservations = []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: proto.String("ops")}}
	revocable := scalarOf("cpus", 2)
	revocable.Revocable = &mesos.Resource_RevocableInfo{}
	text := func(name, v string) *mesos.Attribute {
		return &mesos.Attribute{Name: &name, Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: &v}}
	}
	return &master.Response_GetAgents_Agent{
		AgentInfo: &mesos.AgentInfo{Id: &mesos.AgentID{Value: &id}, Hostname: proto.String("h1"), Port: proto.Int32(5051),
			Attributes: []*mesos.Attribute{text("rack", "a"), text("zone", "<b>")}},
		Active: proto.Bool(true), Version: proto.String("1.0"), Pid: proto.String("slave(1)@10.0.0.2:5051"),
		RegisteredTime: &mesos.TimeInfo{Nanoseconds: proto.Int64(1500000000)},
		TotalResources: []*mesos.Resource{scalarOf("cpus", 0.1), scalarOf("cpus", 0.2), reserved, revocable, portsOf(31000, 31005, 32000, 32000, 31006, 31007)},
		Capabilities:   []*mesos.AgentInfo_Capability{{Type: mesos.AgentInfo_Capability_MULTI_ROLE.Enum()}},
	}
}

func frameworkFact(id string) *master.Response_GetFrameworks_Framework {
	return &master.Response_GetFrameworks_Framework{
		FrameworkInfo: &mesos.FrameworkInfo{Id: frameworkID(id), Name: proto.String("n"), User: proto.String("u"), Roles: []string{"dev"},
			Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}},
		Active: proto.Bool(true), Connected: proto.Bool(true), Recovered: proto.Bool(false),
		RegisteredTime:     &mesos.TimeInfo{Nanoseconds: proto.Int64(2e9)},
		AllocatedResources: []*mesos.Resource{scalarOf("cpus", 0.5)}, OfferedResources: []*mesos.Resource{scalarOf("cpus", 1)},
	}
}

func taskFact(framework, id string, state mesos.TaskState, at float64) *mesos.Task {
	return &mesos.Task{
		Name: proto.String("n-" + id), TaskId: &mesos.TaskID{Value: &id}, FrameworkId: frameworkID(framework),
		AgentId: &mesos.AgentID{Value: proto.String("S1")}, State: state.Enum(), Resources: []*mesos.Resource{scalarOf("cpus", 0.25)},
		Labels: &mesos.Labels{Labels: []*mesos.Label{{Key: proto.String("k"), Value: proto.String("v")}}},
		Statuses: []*mesos.TaskStatus{{TaskId: &mesos.TaskID{Value: &id}, State: state.Enum(), Timestamp: &at,
			ContainerStatus: &mesos.ContainerStatus{NetworkInfos: []*mesos.NetworkInfo{{IpAddresses: []*mesos.NetworkInfo_IPAddress{{IpAddress: proto.String("10.1.1.1")}}}}}}},
	}
}

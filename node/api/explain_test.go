package api

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/view"
)

// explaining lets the leader answer Explain.
func (w *world) explaining() *world {
	w.up.answer = func(m *protocol.GatewayToMaster) {
		e := m.GetExplain()
		r := &protocol.Reply{CallId: e.CallId, Code: proto.Uint32(200)}
		switch e.GetFramework() {
		case "F1":
			r.Explanation = &protocol.Explanation{Agents: proto.Uint32(1), Roles: []*protocol.Explanation_Role{{
				Role: e.Role, Verdict: proto.String("about " + e.GetAgent() + " to " + e.GetPrincipal()),
			}}}
		case "":
			r.Explanation = &protocol.Explanation{Frameworks: []*protocol.Explanation_Framework{{Id: proto.String("F1"), SuppressedRoles: []string{"dev"}}}}
		case "busy":
			r.Code, r.Message, r.RetryAfter = proto.Uint32(429), proto.String("try again"), proto.Uint32(1)
		default:
			r.Code, r.Message = proto.Uint32(404), proto.String("framework: none")
		}
		w.reply(r)
	}
	w.gateway.Connected(1)
	return w
}

func TestExplain(t *testing.T) {
	w := newWorld(t).populate().explaining()
	for _, test := range []struct {
		query string
		code  int
		text  string
	}{
		{"?framework=F1&role=dev&agent=S1", 200, `{"roles":[{"role":"dev","verdict":"about S1 to "}],"agents":1}`},
		{"", 200, `{"frameworks":[{"id":"F1","suppressed_roles":["dev"]}]}`},
		{"?framework=F9", 404, "framework: none"},
		{"?framework=busy", 429, "try again"},
		{"?role=dev", 400, "framework: role and agent are of one framework's explanation: name it"},
		{"?framwork=F1", 400, "framwork: unknown parameter; framework, role and agent are known"},
	} {
		got := do(w.handler, request("GET /muster/v1/explain"+test.query, ""))
		if got.Code != test.code || got.Body.String() != test.text {
			t.Errorf("%s: %d %s", test.query, got.Code, got.Body)
		}
		if (got.Header().Get("Retry-After") != "") != (test.code == http.StatusTooManyRequests) {
			t.Errorf("%s: Retry-After %q", test.query, got.Header().Get("Retry-After"))
		}
	}
}

func TestOfferConstraintsDebug(t *testing.T) {
	w := newWorld(t).populate().explaining()
	f := frameworkFact("F1")
	f.OfferConstraints = &scheduler.OfferConstraints{}
	if err := mesos.UnmarshalJSON([]byte(`{"role_constraints":{"dev":{"groups":[{"attribute_constraints":[
		{"selector":{"attribute_name":"rack"},"predicate":{"text_matches":{"regex":"`+strings.Repeat("b", 5000)+`"}}}]}]}}}`), f.OfferConstraints); err != nil {
		t.Fatal(err)
	}
	w.views.Apply(view.FrameworkEvent(f))
	got := do(w.handler, request("GET /hierarchical-allocator(1)/offer_constraints_debug", ""))
	want := `{"frameworks":{"F1":{"suppressed_roles":["dev"],"excluded_by_attribute_constraints":{"dev":["S1"]}}}}`
	if got.Code != 200 || got.Body.String() != want {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

package api

import (
	"strings"
	"testing"
	"time"

	"muster/offers"
	"muster/offers/protocol"
	"muster/offers/registry"
)

// govern lets the gateway have a real core as its leader, with a registry that
// takes what it is proposed.
func (w *world) govern() *world {
	facts := registry.NewState()
	core := offers.New(offers.Config{MasterID: "m"}, facts.Clone())
	inputs := make(chan offers.Input)
	step := func(in offers.Input) {
		for later := []offers.Input{in}; len(later) > 0; later = later[1:] {
			for _, e := range core.Step(time.Now(), later[0]) {
				switch e := e.(type) {
				case offers.ToGateway:
					w.hear(e.Message)
				case offers.Propose:
					later = append(later, offers.Committed{Op: e.Op, Err: facts.Apply(e.Op)})
				case offers.Publish:
					w.views.Apply(e.Event)
				}
			}
		}
	}
	go func() {
		for in := range inputs {
			step(in)
		}
	}()
	w.t.Cleanup(func() { close(inputs) })
	inputs <- offers.Start{}
	inputs <- offers.GatewayConnected{Link: 1, Peer: "p"}
	w.up.answer = func(m *protocol.GatewayToMaster) { inputs <- offers.FromGateway{Link: 1, Message: m} }
	w.gateway.Connected(1)
	w.views.Apply(&protocol.ViewEvent{Event: &protocol.ViewEvent_Synced{Synced: &protocol.Synced{}}})
	return w
}

// TestQuotasAndWeightsBySeveralNames: what one endpoint sets the others show.
func TestQuotasAndWeightsBySeveralNames(t *testing.T) {
	w := newWorld(t).govern()
	for _, c := range []struct {
		line, body string
		code       int
		text       string
	}{
		{"GET /quota", "", 200, `{}`},
		{"GET /weights", "", 200, `[]`},
		{"GET /roles", "", 200, `{"roles":[]}`},
		{"PUT /weights", `[{"role":"a","weight":0}]`, 400, "Weights must be positive"},
		{"PUT /weights", `[{"role":"a","weight":2.5},{"role":"b","weight":1}]`, 200, ""},
		{"GET /weights", "", 200, `[{"weight":2.5,"role":"a"},{"weight":1.0,"role":"b"}]`},
		{"POST /api/v1", `{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"b","weight":4}]}}`, 200, ""},
		{"POST /api/v1", `{"type":"GET_WEIGHTS"}`, 200, `"get_weights":{"weight_infos":[{"weight":2.5,"role":"a"},{"weight":4.0,"role":"b"}]}`},
		{"POST /quota", `{"role":"a","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]}`, 409, "use 'force' to bypass"},
		{"POST /quota", `{"role":"a","force":true,"guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]}`, 200, ""},
		{"POST /api/v1", `{"type":"GET_QUOTA"}`, 200, `"get_quota":{"status":{"infos":[{"role":"a","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1.0}}]}],` +
			`"configs":[{"role":"a","guarantees":{"cpus":{"value":1.0}},"limits":{"cpus":{"value":1.0}}}]}}`},
		{"POST /api/v1", `{"type":"UPDATE_QUOTA","update_quota":{"quota_configs":[{"role":"b","guarantees":{"cpus":{"value":1000}}}]}}`, 400, "exceed cluster capacity"},
		{"POST /api/v1", `{"type":"UPDATE_QUOTA","update_quota":{"quota_configs":[{"role":"a/b","limits":{"cpus":{"value":0},"mem":{"value":64}}}]}}`, 400, "exceed cluster capacity"},
		{"POST /api/v1", `{"type":"UPDATE_QUOTA","update_quota":{"force":true,"quota_configs":[{"role":"a/b","limits":{"cpus":{"value":0},"mem":{"value":64}}}]}}`, 200, ""},
		{"GET /roles", "", 200, `{"name":"a/b","weight":1,"quota":{"role":"a/b","guarantee":{},"limit":{"cpus":0,"mem":64},"consumed":{"cpus":0,"gpus":0,"mem":0,"disk":0}},`},
		{"DELETE /quota/a%2Fb", "", 200, ""},
		{"DELETE /master/quota/a", "", 200, ""},
		{"DELETE /quota/a", "", 400, "Role 'a' has no quota set"},
		{"GET /quota", "", 200, `{}`},
	} {
		headers := []string(nil)
		if strings.HasSuffix(c.line, "/api/v1") {
			headers = []string{jsonType}
		}
		rec := do(w.handler, request(c.line, c.body, headers...))
		wantSingle(t, rec, c.code, c.text)
		if strings.HasPrefix(c.text, "[") || c.text == `{}` || strings.HasPrefix(c.text, `{"roles":[]`) {
			if rec.Body.String() != c.text {
				t.Fatalf("%s: got %s, want %s", c.line, rec.Body, c.text)
			}
		}
	}
}

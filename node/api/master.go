package api

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"

	"google.golang.org/protobuf/proto"

	"muster/node/api/ui"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/view"
	"muster/telemetry/metrics"
)

// Config is what the endpoints tell of this daemon.
type Config struct {
	Version *mesos.VersionInfo
	Started float64           // seconds since the epoch
	Flags   map[string]string // the daemon's settings, none of them secret
	Auth    Authenticator     // nil: everybody may call, nobody has a name
}

// masterAPI serves the master's side of a node: the whole cluster's API.
type masterAPI struct {
	cfg     Config
	gateway *Gateway
	views   Views
	answers *answers
}

// Master returns the handler of the cluster's API, which every node serves.
// extra adds muster's own endpoints by pattern. It declares the gateway's
// metrics in set, so a set may be given once.
func Master(cfg Config, g *Gateway, v Views, files *Files, set *metrics.Set, extra map[string]http.Handler) http.Handler {
	whole := newAnswers()
	m := &masterAPI{cfg: cfg, gateway: g, views: v, answers: whole}
	mux := newMux()
	mux.Handle("/api/v1/scheduler", &schedulerAPI{gateway: g})
	mux.Handle("/api/v1", &operatorAPI{gateway: g, views: v, files: files, metrics: set, cfg: cfg, answers: whole})
	mux.handle("/state", m.read("/state", m.state))
	mux.handle("/state-summary", m.read("", m.summary))
	mux.handle("/slaves", m.read("/slaves", m.slaves))
	mux.handle("/frameworks", m.read("/frameworks", m.frameworks))
	mux.handle("/tasks", m.read("", m.tasks))
	mux.handle("/roles", m.read("", m.roles))
	mux.handle("/redirect", m.redirect)
	mux.handle("/teardown", m.teardown)
	mux.handle("/quota", m.quota)
	mux.handle("/quota/{role...}", m.quota)
	mux.handle("/weights", m.weights)
	mux.handle("/maintenance/schedule", m.maintenanceSchedule)
	mux.handle("/maintenance/status", m.maintenanceStatus)
	mux.handle("/machine/down", m.machineDown)
	mux.handle("/machine/up", m.machineUp)
	for path, call := range conversions {
		mux.handle(path, m.convert(call))
	}
	mux.handle("GET /muster/v1/explain", m.explain)
	mux.handle("GET /hierarchical-allocator(1)/offer_constraints_debug", m.constraintsDebug)
	common(mux, cfg, files, set, extra)
	mux.Handle("/", ui.Handler())
	g.measure(set)
	return alias("/master", guard(cfg.Auth, "mesos-master-readwrite", mux))
}

// read answers with what build writes of the cluster's view. kind names the answers of
// which the parts are kept for the next one, "" none; one to a query keeps none either.
func (m *masterAPI) read(kind string, build func(*writer, *http.Request, *view.View) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		kind := kind
		if r.URL.RawQuery != "" {
			kind = ""
		}
		body, err := m.answers.ofView(r.Context(), m.views, kind, func(e *encoding, v *view.View) ([][]byte, error) {
			out := writer{enc: e}
			err := build(&out, r, v)
			return out.chunks(), err
		})
		if err != nil {
			return err
		}
		return writeEncoded(w, r, body...)
	}
}

// snapshot returns a view of the cluster as it is now.
func snapshot(ctx context.Context, v Views) (*view.View, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readWait, ErrNoLeader)
	defer cancel()
	return v.Snapshot(ctx)
}

// redirect answers with this very node: every peer serves everything.
func (m *masterAPI) redirect(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Location", "//"+cmp.Or(r.Host, m.cfg.Flags["api"]))
	writeBody(w, http.StatusTemporaryRedirect, textPlain, nil)
	return nil
}

// maxForm is the largest form that is read, in bytes.
const maxForm = 64 << 10

// teardown removes a framework: POST frameworkId=…, whatever the body's type.
func (m *masterAPI) teardown(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	id := cmp.Or(form.Get("frameworkId"), r.URL.Query().Get("frameworkId"))
	if id == "" {
		return refuse(http.StatusBadRequest, "Missing 'frameworkId' query parameter")
	}
	call := &master.Call{Type: master.Call_TEARDOWN.Enum(), Teardown: &master.Call_Teardown{FrameworkId: &mesos.FrameworkID{Value: proto.String(id)}}}
	return m.operate(w, r, call)
}

// operate carries a change to the leader; what v1 answers 202 the older endpoints
// answer 200.
func (m *masterAPI) operate(w http.ResponseWriter, r *http.Request, call *master.Call) error {
	reply, err := m.gateway.Operate(r.Context(), principal(r), call)
	if err != nil {
		return err
	}
	if reply.Code/100 == 2 {
		reply.Code = http.StatusOK
	}
	writeReply(w, reply)
	return nil
}

// readForm reads the form of a POST, whatever its body's type.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if err := only(w, r, http.MethodPost); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "Failed to read request body: %v", err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "Unable to decode query string: %v", err)
	}
	return form, nil
}

// common adds what master and agent both serve.
func common(mux *mux, cfg Config, files *Files, set *metrics.Set, extra map[string]http.Handler) {
	mux.handle("/health", func(w http.ResponseWriter, _ *http.Request) error {
		writeEmpty(w, http.StatusOK)
		return nil
	})
	mux.handle("/version", func(w http.ResponseWriter, r *http.Request) error {
		var out writer
		out.message(cfg.Version)
		return writeEncoded(w, r, out.chunks()...)
	})
	mux.handle("/flags", func(w http.ResponseWriter, r *http.Request) error {
		return writeJSON(w, r, map[string]any{"flags": cfg.Flags})
	})
	mux.handle("/metrics/snapshot", func(w http.ResponseWriter, r *http.Request) error {
		return writeJSON(w, r, set.Snapshot())
	})
	mux.Handle("/metrics", set.Handler())
	files.routes(mux.handle)
	for pattern, h := range extra {
		mux.Handle(pattern, h)
	}
}

// measure declares what the gateway counts.
func (g *Gateway) measure(set *metrics.Set) {
	set.Gauges(func(emit metrics.Emit) {
		c := g.Counts()
		emit("gateway/sessions", float64(c.Sessions))
		emit("gateway/calls", float64(c.Calls))
		emit("gateway/calls_throttled", float64(c.Throttled))
		emit("gateway/calls_waiting", float64(c.Waiting))
		emit("gateway/leaders_lost", float64(c.LeadersLost))
		emit("gateway/slow_clients", float64(c.SlowClients))
		emit("gateway/bytes_waiting", float64(g.memory.used.Load()))
	})
}

package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"

	"google.golang.org/protobuf/proto"

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

// Authenticator checks a request's credentials.
type Authenticator interface {
	// Authenticate returns the principal; ok is false if the credentials are wrong or missing.
	Authenticate(r *http.Request) (principal string, ok bool)
}

// masterAPI serves the master's side of a node: the whole cluster's API.
type masterAPI struct {
	cfg     Config
	gateway *Gateway
	views   Views
	metrics *metrics.Set
}

// Master returns the handler of the cluster's API, which every node serves.
// extra adds muster's own endpoints by pattern.
func Master(cfg Config, g *Gateway, v Views, files *Files, set *metrics.Set, extra map[string]http.Handler, log *slog.Logger) http.Handler {
	m := &masterAPI{cfg: cfg, gateway: g, views: v, metrics: set}
	mux := newMux(log)
	mux.Handle("/api/v1/scheduler", &schedulerAPI{gateway: g, principal: principal})
	mux.Handle("/api/v1", &operatorAPI{gateway: g, views: v, files: files, metrics: set, flags: cfg.Flags, version: cfg.Version, principal: principal})
	mux.handle("/state", m.state)
	mux.handle("/state-summary", m.summary)
	mux.handle("/slaves", m.slaves)
	mux.handle("/frameworks", m.frameworks)
	mux.handle("/tasks", m.tasks)
	mux.handle("/roles", m.roles)
	mux.handle("/redirect", m.redirect)
	mux.handle("/teardown", m.teardown)
	common(mux, cfg, files, set)
	for pattern, h := range extra {
		mux.Handle(pattern, h)
	}
	return guard(cfg.Auth, "mesos-master-readwrite", alias("/master", mux))
}

// read answers with what build makes of the cluster's view.
func (m *masterAPI) read(w http.ResponseWriter, r *http.Request, build func(*view.View) (any, error)) error {
	ctx, cancel := context.WithTimeoutCause(r.Context(), readWait, ErrNoLeader)
	defer cancel()
	v, err := m.views.Snapshot(ctx)
	if err != nil {
		return err
	}
	o, err := build(v)
	if err != nil {
		return err
	}
	return writeJSON(w, r, o)
}

// redirect answers with this very node: every peer serves everything.
func (m *masterAPI) redirect(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Location", "//"+r.Host)
	writeBody(w, http.StatusTemporaryRedirect, "text/plain; charset=utf-8", nil)
	return nil
}

// teardown removes a framework: POST frameworkId=…
func (m *masterAPI) teardown(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return refuse(http.StatusMethodNotAllowed, "Expecting one of { 'POST' }, but received '%s'", r.Method)
	}
	id := r.PostFormValue("frameworkId")
	if id == "" {
		return refuse(http.StatusBadRequest, "Missing 'frameworkId' query parameter")
	}
	call := &master.Call{Type: master.Call_TEARDOWN.Enum(), Teardown: &master.Call_Teardown{FrameworkId: &mesos.FrameworkID{Value: proto.String(id)}}}
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

// common adds what master and agent both serve.
func common(mux *mux, cfg Config, files *Files, set *metrics.Set) {
	mux.handle("/health", func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
		return nil
	})
	mux.handle("/version", func(w http.ResponseWriter, r *http.Request) error {
		return writeJSON(w, r, json.RawMessage(raw(cfg.Version)))
	})
	mux.handle("/flags", func(w http.ResponseWriter, r *http.Request) error {
		return writeJSON(w, r, object{"flags": cfg.Flags})
	})
	mux.handle("/metrics/snapshot", func(w http.ResponseWriter, r *http.Request) error {
		return writeJSON(w, r, set.Snapshot())
	})
	mux.Handle("/metrics", set.Handler())
	files.routes(mux.handle)
}

// alias serves prefix/… like /…, as C++ clients and old tools ask, and a path
// with a trailing slash or with .json at its end like the path itself.
func alias(prefix string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := strings.TrimSuffix(r.URL.Path, "/")
		if rest, ok := strings.CutPrefix(p, prefix); ok && strings.HasPrefix(rest, "/") {
			p = rest
		}
		p = strings.TrimSuffix(p, ".json")
		if p == "" {
			p = "/"
		}
		if p != r.URL.Path {
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = p, ""
		}
		h.ServeHTTP(w, r)
	})
}

package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/api"
	"muster/node/link"
	"muster/offers"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/telemetry/metrics"
)

// Read is one read of a cluster's whole state over HTTP, without the network.
type Read struct {
	Name, Method, Path, Type, Body string
}

// Reads are those that tools make most: the operator API's in both formats, and the
// legacy one.
var Reads = []Read{
	{"GET_STATE as protobuf", "POST", "/api/v1", "application/x-protobuf", "\x08\x09"},
	{"GET_STATE as JSON", "POST", "/api/v1", "application/json", `{"type":"GET_STATE"}`},
	{"/state", "GET", "/state", "", ""},
}

// Do makes the read and returns the size of the answer.
func (r Read) Do(h http.Handler) (int, error) {
	req := httptest.NewRequest(r.Method, r.Path, strings.NewReader(r.Body))
	if r.Type != "" {
		req.Header.Set("Content-Type", r.Type)
		req.Header.Set("Accept", r.Type)
	}
	w := &sink{header: http.Header{}, code: http.StatusOK}
	h.ServeHTTP(w, req)
	if w.code != http.StatusOK {
		return 0, fmt.Errorf("%s: %d %s", r.Name, w.code, w.text.String())
	}
	return w.size, nil
}

// sink counts what a reader would get.
type sink struct {
	header http.Header
	code   int
	size   int
	text   bytes.Buffer // of an error
}

func (s *sink) Header() http.Header  { return s.header }
func (s *sink) WriteHeader(code int) { s.code = code }

func (s *sink) Write(b []byte) (int, error) {
	s.size += len(b)
	if s.code != http.StatusOK {
		s.text.Write(b)
	}
	return len(b), nil
}

// views serves the API's reads from one view.
type views struct{ *link.Replica }

func (v views) Watch(ctx context.Context) (*link.Watch, func(), error) {
	w, err := v.Replica.Watch(ctx)
	if err != nil {
		return nil, nil, err
	}
	return w, w.Close, nil
}

// nobody is the uplink of a gateway that only reads.
type nobody struct{}

func (nobody) Send(*protocol.GatewayToMaster) error { return errors.New("nobody leads") }

// reader is the API of a node whose view is v.
func reader(v api.Views) http.Handler {
	cfg := api.Config{Version: &mesos.VersionInfo{Version: proto.String("sim")}}
	return api.Master(cfg, api.NewGateway(nobody{}, nil), v, api.NewFiles(nil, ""), metrics.New(), nil)
}

// State is a cluster that is read while it changes.
type State struct {
	Failover
	Every time.Duration // a read comes at the earliest after the last [0]
}

// StateRun is a cluster all of whose agents are there.
type StateRun struct {
	run     *failoverRun
	replica *link.Replica
	handler http.Handler
	every   time.Duration
	links   int // that came since
}

// Start lets all agents come back and their view be whole.
func (w State) Start() (*StateRun, error) {
	s := &StateRun{replica: link.NewReplica(), every: w.Every}
	r, err := w.start(func(e *protocol.ViewEvent) { s.replica.Apply(e) })
	if err != nil {
		return nil, err
	}
	s.run = r
	s.replica.Apply(&protocol.ViewEvent{Event: &protocol.ViewEvent_Synced{Synced: &protocol.Synced{}}})
	for i := range w.Agents {
		r.back(offers.Link(i+1), r.registration(i))
	}
	r.step(offers.Tick{})
	if r.registered != w.Agents {
		return nil, fmt.Errorf("%d of %d agents are there", r.registered, w.Agents)
	}
	s.handler = reader(views{s.replica})
	return s, nil
}

// Read returns how long one read takes after an agent has come anew, and how large
// the answer is.
func (s *StateRun) Read(r Read) (took time.Duration, size int, err error) {
	time.Sleep(s.every)
	last := s.run.workload.Agents
	s.links++
	s.run.back(offers.Link(last+s.links), s.run.registration(last-1))
	s.run.step(offers.Tick{})
	took = elapsed(func() { size, err = r.Do(s.handler) })
	return took, size, err
}

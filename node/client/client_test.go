package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/node/recordio"
	"muster/offers/mesos"
	"muster/offers/mesos/agent"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a node's HTTP API and returns a Client of it.
func serve(t *testing.T, cfg client.Config, h http.Handler) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	cfg.Address = s.URL
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// read decodes a request as its header says.
func read(r *http.Request, m proto.Message) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.Header.Get("Content-Type") == string(client.JSON) {
		return mesos.UnmarshalJSON(body, m)
	}
	return mesos.Unmarshal(body, m)
}

// write encodes a response as the request's header says.
func write(w io.Writer, r *http.Request, m proto.Message) error {
	body, err := proto.Marshal(m)
	if r.Header.Get("Accept") == string(client.JSON) {
		body, err = mesos.MarshalJSON(m)
	}
	if err != nil {
		return err
	}
	_, err = w.Write(body)
	return err
}

func formats(t *testing.T, test func(t *testing.T, format client.Format)) {
	for _, format := range []client.Format{client.Protobuf, client.JSON} {
		t.Run(string(format), func(t *testing.T) { test(t, format) })
	}
}

func TestAnOperatorsCallIsAnswered(t *testing.T) {
	formats(t, func(t *testing.T, format client.Format) {
		c := serve(t, client.Config{Format: format, Principal: "p", Secret: "s"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var call master.Call
			who, secret, _ := r.BasicAuth()
			if err := read(r, &call); err != nil || call.GetType() != master.Call_GET_HEALTH || who != "p" || secret != "s" || r.URL.Path != "/api/v1" {
				t.Errorf("%v %v %s:%s %s", err, &call, who, secret, r.URL)
			}
			w.Header().Set("Content-Type", string(format))
			if err := write(w, r, &master.Response{Type: master.Response_GET_HEALTH.Enum(), GetHealth: &master.Response_GetHealth{Healthy: proto.Bool(true)}}); err != nil {
				t.Error(err)
			}
		}))
		reply, err := c.Get(t.Context(), master.Call_GET_HEALTH)
		if err != nil || !reply.GetGetHealth().GetHealthy() {
			t.Errorf("%v, %v", reply, err)
		}
	})
}

func TestAnErrorCarriesStatusAndText(t *testing.T) {
	c := serve(t, client.Config{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no leader elected", http.StatusServiceUnavailable)
	}))
	_, err := c.Get(t.Context(), master.Call_GET_STATE)
	var status *client.StatusError
	if !errors.As(err, &status) || status.Code != 503 || status.Text != "no leader elected" || !client.Temporary(err) {
		t.Errorf("%v", err)
	}
	if !strings.HasSuffix(err.Error(), ": 503 Service Unavailable: no leader elected") || !strings.HasPrefix(err.Error(), "GET_STATE: POST http://") {
		t.Errorf("%v", err)
	}
}

func TestErrorsOfTheConnectionAreMarked(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	c, err := client.New(client.Config{Address: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), master.Call_GET_STATE); !errors.Is(err, client.ErrDisconnected) || !client.Temporary(err) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := c.Get(ctx, master.Call_GET_STATE); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
}

func TestACallWithoutRequiredFieldsIsNotSent(t *testing.T) {
	c := serve(t, client.Config{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }))
	_, err := c.Master(t.Context(), &master.Call{Type: master.Call_TEARDOWN.Enum(), Teardown: &master.Call_Teardown{}})
	if !errors.Is(err, mesos.ErrMissingRequired) {
		t.Errorf("%v", err)
	}
}

func TestAddressesAreCheckedAndCompleted(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1": "http://10.0.0.1:5050", "node:80": "http://node:80", "https://node": "https://node",
		"http://[::1]": "http://[::1]:5050", "": "", "ftp://node": "", "http://": "", "a b": "",
	} {
		c, err := client.New(client.Config{Address: address})
		if (err == nil) != (want != "") || err == nil && c.Address() != want {
			t.Errorf("%q: %v, %v", address, c, err)
		}
	}
}

func TestJSONAndFilesAreRead(t *testing.T) {
	content := []byte("out\x00\xff put")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /muster/v1/nodes", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"nodes":3}`)) })
	mux.HandleFunc("GET /files/browse", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`[{"path":"` + r.URL.Query().Get("path") + `/a","size":5,"mode":"drwxr-xr-x","mtime":1.5}]`))
	})
	mux.HandleFunc("GET /files/download", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	mux.HandleFunc("POST /api/v1", func(w http.ResponseWriter, r *http.Request) {
		var call agent.Call
		if err := read(r, &call); err != nil {
			t.Error(err)
		}
		from := min(call.GetReadFile().GetOffset(), uint64(len(content)))
		to := min(from+3, uint64(len(content))) // fewer bytes than were asked for
		w.Header().Set("Content-Type", string(client.Protobuf))
		if err := write(w, r, &agent.Response{ReadFile: &agent.Response_ReadFile{Size: proto.Uint64(uint64(len(content))), Data: content[from:to:to]}}); err != nil {
			t.Error(err)
		}
	})
	c := serve(t, client.Config{}, mux)
	var nodes struct{ Nodes int }
	if err := c.GetJSON(t.Context(), "/muster/v1/nodes", &nodes); err != nil || nodes.Nodes != 3 {
		t.Errorf("%v, %v", nodes, err)
	}
	infos, err := c.Browse(t.Context(), "/x y")
	if err != nil || len(infos) != 1 || infos[0].Path != "/x y/a" || !infos[0].IsDir() {
		t.Errorf("%v, %v", infos, err)
	}
	body, err := c.DownloadFile(t.Context(), "/f")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err != nil || string(got) != string(content) || body.Close() != nil {
		t.Errorf("%q, %v", got, err)
	}
	var out strings.Builder
	done := make(chan struct{})
	close(done)
	if at, err := c.Follow(t.Context(), "/f", 1, &out, time.Hour, done); err != nil || out.String() != string(content[1:]) || at != uint64(len(content)) {
		t.Errorf("%q at %d, %v", out.String(), at, err)
	}
}

// streaming answers with a session's header, the events, and then what rest does.
func streaming(t *testing.T, rest func(r *http.Request), events ...*scheduler.Event) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var call scheduler.Call
		if err := read(r, &call); err != nil {
			t.Error(err)
		}
		format := r.Header.Get("Accept")
		w.Header().Set("Content-Type", format)
		w.Header().Set(client.StreamHeader, "5f0f3c1e-0000-4000-8000-000000000000")
		w.WriteHeader(http.StatusOK)
		records := recordio.NewWriter(w)
		for _, e := range events {
			if err := write(record(records.Write), r, e); err != nil {
				t.Error(err)
			}
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		rest(r)
	}
}

type record func([]byte) error

func (w record) Write(p []byte) (int, error) { return len(p), w(p) }

func subscribed() *scheduler.Event {
	return &scheduler.Event{
		Type:       scheduler.Event_SUBSCRIBED.Enum(),
		Subscribed: &scheduler.Event_Subscribed{FrameworkId: &mesos.FrameworkID{Value: proto.String("f-0")}},
	}
}

func info() *mesos.FrameworkInfo {
	return &mesos.FrameworkInfo{User: proto.String("root"), Name: proto.String("test")}
}

func TestASessionHasEventsAndMakesCalls(t *testing.T) {
	formats(t, func(t *testing.T, format client.Format) {
		calls := make(chan *scheduler.Call, 1)
		end := make(chan struct{})
		subscribe := streaming(t, func(*http.Request) { <-end }, subscribed(), &scheduler.Event{Type: scheduler.Event_HEARTBEAT.Enum()})
		c := serve(t, client.Config{Format: format}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(client.StreamHeader) == "" {
				subscribe(w, r)
				return
			}
			var call scheduler.Call
			if err := read(r, &call); err != nil {
				t.Error(err)
			}
			calls <- &call
			w.WriteHeader(http.StatusAccepted)
		}))
		s, err := c.Subscribe(t.Context(), &scheduler.Call_Subscribe{FrameworkInfo: info()})
		if err != nil {
			t.Fatal(err)
		}
		if s.FrameworkID() != nil || s.ID() == "" {
			t.Errorf("before SUBSCRIBED: %v, %q", s.FrameworkID(), s.ID())
		}
		for _, want := range []scheduler.Event_Type{scheduler.Event_SUBSCRIBED, scheduler.Event_HEARTBEAT} {
			if e, err := s.Next(); err != nil || e.GetType() != want {
				t.Fatalf("%v, %v", e, err)
			}
		}
		if err := s.Accept(t.Context(), 60, []*mesos.OfferID{{Value: proto.String("o")}}, client.Launch()); err != nil {
			t.Fatal(err)
		}
		call := <-calls
		if call.GetFrameworkId().GetValue() != "f-0" || call.GetAccept().GetFilters().GetRefuseSeconds() != 60 {
			t.Errorf("%v", call)
		}
		close(end)
		if _, err := s.Next(); !errors.Is(err, client.ErrDisconnected) {
			t.Errorf("after its end: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAStreamEndsBySilenceCloseAndContext(t *testing.T) {
	hold := func(r *http.Request) { <-r.Context().Done() }
	enough := errors.New("enough")
	for name, c := range map[string]struct {
		silence time.Duration
		end     func(s *client.Session, cancel context.CancelCauseFunc)
		want    error
	}{
		"silence": {time.Millisecond, func(*client.Session, context.CancelCauseFunc) {}, client.ErrSilent},
		"close":   {0, func(s *client.Session, _ context.CancelCauseFunc) { _ = s.Close() }, client.ErrClosed},
		"context": {0, func(_ *client.Session, cancel context.CancelCauseFunc) { cancel(enough) }, enough},
	} {
		t.Run(name, func(t *testing.T) {
			node := serve(t, client.Config{Silence: c.silence}, streaming(t, hold))
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			s, err := node.Subscribe(ctx, &scheduler.Call_Subscribe{FrameworkInfo: info()})
			if err == nil {
				c.end(s, cancel)
				_, err = s.Next()
				_ = s.Close()
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

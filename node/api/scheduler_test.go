package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"muster/node/auth"
	"muster/node/recordio"
	"muster/offers/mesos/scheduler"
)

const revive = `{"framework_id":{"value":"F"},"type":"REVIVE"}`

// The rows of Mesos's checks, in their order: a request that fails several is
// told of the first.
func TestSchedulerCallsAreCheckedAsInMesos(t *testing.T) {
	w := newWorld(t).lead()
	const stream = "Mesos-Stream-Id: S"
	for name, c := range map[string]struct {
		line, body string
		headers    []string
		code       int
		text       string
	}{
		"a method that is not POST":     {"GET /api/v1/scheduler", "", nil, 405, "Expecting one of { 'POST' }, but received 'GET'"},
		"HEAD":                          {"HEAD /api/v1/scheduler", "", nil, 405, ""},
		"no content type":               {"POST /api/v1/scheduler", "nonsense", nil, 400, "Expecting 'Content-Type' to be present"},
		"another content type":          {"POST /api/v1/scheduler", "nonsense", []string{"Content-Type: text/plain"}, 415, "Expecting 'Content-Type' of application/json or application/x-protobuf"},
		"what is no JSON":               {"POST /api/v1/scheduler", "nonsense", []string{jsonType}, 400, "Failed to parse body into JSON: "},
		"an empty body":                 {"POST /api/v1/scheduler", "", []string{jsonType}, 400, "Failed to parse body into JSON: "},
		"JSON that is no call":          {"POST /api/v1/scheduler", `{"type":["REVIVE"]}`, []string{jsonType}, 400, "Failed to convert JSON into Call protobuf: "},
		"JSON that lacks a field":       {"POST /api/v1/scheduler", `{"type":"KILL","framework_id":{"value":"F"},"kill":{}}`, []string{jsonType}, 400, "Failed to convert JSON into Call protobuf: Missing required fields: "},
		"what is no protobuf":           {"POST /api/v1/scheduler", "\xff\xff", []string{protoType}, 400, "Failed to parse body into Call protobuf"},
		"no type":                       {"POST /api/v1/scheduler", `{}`, []string{jsonType}, 400, "Failed to validate scheduler::Call: Expecting 'type' to be present"},
		"a type that there is not":      {"POST /api/v1/scheduler", `{"type":"FOO"}`, []string{jsonType}, 400, "Failed to validate scheduler::Call: Expecting 'type' to be present"},
		"no framework ID":               {"POST /api/v1/scheduler", `{"type":"REVIVE"}`, []string{jsonType}, 400, "Failed to validate scheduler::Call: Expecting 'framework_id' to be present"},
		"no payload":                    {"POST /api/v1/scheduler", `{"type":"KILL","framework_id":{"value":"F"}}`, []string{jsonType}, 400, "Failed to validate scheduler::Call: Expecting 'kill' to be present"},
		"IDs of SUBSCRIBE that differ":  {"POST /api/v1/scheduler", `{"type":"SUBSCRIBE","framework_id":{"value":"F"},"subscribe":{"framework_info":{"user":"u","name":"n"}}}`, []string{jsonType}, 400, "'framework_id' differs from 'subscribe.framework_info.id'"},
		"SUBSCRIBE, no usable Accept":   {"POST /api/v1/scheduler", subscribeJSON, []string{jsonType, "Accept: text/html", stream}, 406, "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"},
		"SUBSCRIBE with a stream ID":    {"POST /api/v1/scheduler", subscribeJSON, []string{jsonType, stream}, 400, "Subscribe calls should not include the 'Mesos-Stream-Id' header"},
		"RECONCILE_OPERATIONS, Accept":  {"POST /api/v1/scheduler", `{"type":"RECONCILE_OPERATIONS","framework_id":{"value":"F"},"reconcile_operations":{}}`, []string{jsonType, "Accept: text/html", stream}, 406, "Expecting 'Accept'"},
		"other calls whatever Accept":   {"POST /api/v1/scheduler", revive, []string{jsonType, "Accept: text/html", stream}, 202, ""},
		"an unknown framework":          {"POST /api/v1/scheduler", `{"framework_id":{"value":"X"},"type":"REVIVE"}`, []string{jsonType}, 400, "Framework cannot be found"},
		"no stream ID":                  {"POST /api/v1/scheduler", revive, []string{jsonType}, 400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header"},
		"another stream ID":             {"POST /api/v1/scheduler", revive, []string{jsonType, "Mesos-Stream-Id: X"}, 400, "didn't match the stream ID currently associated"},
		"a stream ID that is no UUID":   {"POST /api/v1/scheduler", revive, []string{jsonType, "Mesos-Stream-Id: " + strings.Repeat("%", 300)}, 400, "didn't match"},
		"an empty stream ID":            {"POST /api/v1/scheduler", revive, []string{jsonType, "Mesos-Stream-Id: "}, 400, "didn't match"},
		"UNKNOWN":                       {"POST /api/v1/scheduler", `{"framework_id":{"value":"F"},"type":"UNKNOWN"}`, []string{jsonType, stream}, 501, "UNKNOWN is not supported"},
		"success":                       {"POST /api/v1/scheduler", revive, []string{jsonType, stream}, 202, ""},
		"UPDATE_FRAMEWORK":              {"POST /api/v1/scheduler", `{"type":"UPDATE_FRAMEWORK","framework_id":{"value":"F"},"update_framework":{"framework_info":{"user":"u","name":"n","id":{"value":"F"}}}}`, []string{jsonType, stream}, 200, ""},
		"a charset":                     {"POST /api/v1/scheduler", revive, []string{"Content-Type: application/json; charset=utf-8", stream}, 202, ""},
		"the prefix of C++ clients":     {"POST /master/api/v1/scheduler", revive, []string{jsonType, stream}, 202, ""},
		"a trailing slash":              {"POST /api/v1/scheduler/", revive, []string{jsonType, stream}, 202, ""},
		"doubled slashes":               {"POST //api//v1/scheduler", revive, []string{jsonType, stream}, 202, ""},
		"credentials nobody asks for":   {"POST /api/v1/scheduler", revive, []string{jsonType, stream, "Authorization: Basic Og=="}, 202, ""},
		"nulls, quoted numbers, extras": {"POST /api/v1/scheduler", `{"framework_id":{"value":"F","x":[1,{}]},"type":"DECLINE","decline":{"offer_ids":[{"value":"O"}],"filters":{"refuse_seconds":"5.5"}},"accept":null}`, []string{jsonType, stream}, 202, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rec := do(w.handler, request(c.line, c.body, c.headers...))
			wantSingle(t, rec, c.code, c.text)
			if c.code >= 400 && rec.Header().Get("Content-Type") != textPlain {
				t.Fatalf("an error as %q", rec.Header().Get("Content-Type"))
			}
			if c.code == 405 && rec.Header().Get("Allow") != "POST" {
				t.Fatal("405 without Allow")
			}
		})
	}
}

func TestCredentialsAreCheckedFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(file, []byte("p s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := auth.FromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldWith(t, Config{Auth: b}, nil).lead()
	for _, headers := range [][]string{nil, {"Authorization: Basic Og=="}, {"Authorization: Bearer x"}} {
		rec := do(w.handler, request("GET /api/v1/scheduler", "", headers...))
		wantSingle(t, rec, 401, "Authentication is required")
		if rec.Header().Get("WWW-Authenticate") == "" {
			t.Fatal("401 without WWW-Authenticate")
		}
	}
	r := request("POST /api/v1/scheduler", revive, jsonType, "Mesos-Stream-Id: S")
	r.SetBasicAuth("p", "s")
	wantSingle(t, do(w.handler, r), 202, "")
	if p := w.up.take()[0].GetCall().GetPrincipal(); p != "p" {
		t.Fatalf("the leader was told of principal %q", p)
	}
	for _, path := range []string{"/health", "/master/health", "/health/"} {
		wantSingle(t, do(w.handler, request("GET "+path, "")), 200, "")
	}
}

func TestCallWithoutALeaderIs503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		wantSingle(t, do(w.handler, request("POST /api/v1/scheduler", revive, jsonType, "Mesos-Stream-Id: S")), 503, "no leader elected")
		wantSingle(t, do(w.handler, request("POST /api/v1/scheduler", subscribeJSON, jsonType)), 503, "no leader elected")
		wantSingle(t, do(w.handler, request("GET /state", "")), 503, "no leader elected")
		wantSingle(t, do(w.handler, request("POST /api/v1", `{"type":"GET_STATE"}`, jsonType)), 503, "no leader elected")
	})
}

const subscribeJSON = `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n","roles":["a"],"capabilities":[{"type":"MULTI_ROLE"}]}}}`

// open subscribes over a real connection.
func open(t *testing.T, w *world, body string, headers ...string) (*http.Response, *recordio.Reader, func()) {
	t.Helper()
	srv := httptest.NewServer(w.handler)
	ctx, cancel := context.WithCancel(t.Context())
	r := request("POST /api/v1/scheduler", body, headers...)
	r, err := http.NewRequestWithContext(ctx, r.Method, srv.URL+r.URL.Path, r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp, recordio.NewReader(resp.Body, 0), func() { cancel(); resp.Body.Close(); srv.Close() }
}

func TestSubscribeIsAStream(t *testing.T) {
	call, err := proto.Marshal(subscribeCall("", "a"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body, accept, media string
		headers             []string
		decode              func([]byte, *scheduler.Event) error
	}{
		"JSON by default":       {subscribeJSON, "", "application/json", []string{jsonType}, decodeJSON},
		"JSON if both":          {string(call), "", "application/json", []string{protoType, "Accept: application/x-protobuf", "Accept: application/json"}, decodeJSON},
		"protobuf":              {string(call), "", "application/x-protobuf", []string{protoType, "Accept: application/x-protobuf"}, decodeProto},
		"JSON without protobuf": {subscribeJSON, "", "application/json", []string{jsonType, "Accept: */*;q=0.5, application/x-protobuf;q=0"}, decodeJSON},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).lead()
			resp, records, stop := open(t, w, c.body, c.headers...)
			defer stop()
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != c.media {
				t.Fatalf("%d %q", resp.StatusCode, resp.Header.Get("Content-Type"))
			}
			if resp.ContentLength >= 0 || len(resp.TransferEncoding) != 1 || resp.TransferEncoding[0] != "chunked" {
				t.Fatalf("a stream of %d bytes, encoded %v", resp.ContentLength, resp.TransferEncoding)
			}
			if _, err := uuid.Parse(resp.Header.Get("Mesos-Stream-Id")); err != nil {
				t.Fatal(err)
			}
			for _, want := range []scheduler.Event_Type{scheduler.Event_SUBSCRIBED, scheduler.Event_HEARTBEAT} {
				b, err := records.Next()
				if err != nil {
					t.Fatal(err)
				}
				var e scheduler.Event
				if err := c.decode(b, &e); err != nil || e.GetType() != want {
					t.Fatalf("%v, %v, want %v", &e, err, want)
				}
				if c.media == mediaJSON && bytes.ContainsAny(b, "\n\r") {
					t.Fatalf("a JSON record of several lines: %q", b)
				}
			}
		})
	}
}

func decodeProto(b []byte, e *scheduler.Event) error { return proto.Unmarshal(b, e) }

// decodeJSON decodes strictly, as some clients do.
func decodeJSON(b []byte, e *scheduler.Event) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var v struct {
		Type       string `json:"type"`
		Subscribed any    `json:"subscribed"`
		Error      any    `json:"error"`
	}
	if err := d.Decode(&v); err != nil {
		return err
	}
	e.Type = scheduler.Event_Type(scheduler.Event_Type_value[v.Type]).Enum()
	return nil
}

func TestErrorOfASubscribeIs200AndAnEvent(t *testing.T) {
	w := newWorld(t).lead()
	resp, records, stop := open(t, w, strings.Replace(subscribeJSON, `"n"`, `"bad"`, 1), jsonType)
	defer stop()
	b, err := records.Next()
	if resp.StatusCode != 200 || err != nil || !strings.Contains(string(b), `"Framework has been removed"`) {
		t.Fatalf("%d %s %v", resp.StatusCode, b, err)
	}
	if b, err := records.Next(); err == nil {
		t.Fatalf("the stream goes on with %s", b)
	}
}

func TestClientThatDisconnectsEndsItsSession(t *testing.T) {
	w := newWorld(t).lead()
	resp, _, stop := open(t, w, subscribeJSON, jsonType)
	id := resp.Header.Get("Mesos-Stream-Id")
	stop()
	for deadline := time.Now().Add(10 * time.Second); ; {
		for _, m := range w.up.take() {
			if m.GetClosed().GetSessionId() == id {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the leader was not told")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestStreamHasHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).lead()
		ctx, cancel := context.WithCancel(t.Context())
		rec := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.handler.ServeHTTP(rec, request("POST /api/v1/scheduler", subscribeJSON, jsonType).WithContext(ctx))
		}()
		time.Sleep(4*heartbeatInterval + time.Second)
		synctest.Wait()
		cancel()
		<-done
		if n := strings.Count(rec.Body.String(), `"HEARTBEAT"`); n != 5 {
			t.Fatalf("%d heartbeats in a minute, want one at once and 4 more", n)
		}
	})
}

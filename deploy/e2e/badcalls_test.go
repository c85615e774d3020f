package e2e

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// badCall is a request and what is said of it.
type badCall struct {
	name   string
	method string // POST
	header map[string]string
	body   string
	code   int
	text   string // within the answer; "" for an empty one
}

const mediaJSON, mediaProtobuf, streamHeader = "application/json", "application/x-protobuf", "Mesos-Stream-Id"

// with makes a header of JSON's media type and pairs.
func with(pairs ...string) map[string]string {
	h := map[string]string{"Content-Type": mediaJSON}
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = pairs[i+1]
	}
	return h
}

// Mesos: src/master/http.cpp, Master::Http::scheduler, for the order and texts.
func badCalls(t *testing.T, d *daemon) {
	url := "http://" + d.API() + "/api/v1/scheduler"
	next, stream := subscribeByHand(t, url, plainSubscribe)
	framework := value(next()["subscribed"].(map[string]any)["framework_id"])
	own := func(rest string) string { return `{"framework_id":{"value":"` + framework + `"},` + rest + `}` }
	subscribe := `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"x"}}}`
	rows := []badCall{
		{"wrong method", http.MethodGet, nil, "", 405, "Expecting one of { 'POST' }, but received 'GET'"},
		{"another wrong method", http.MethodPut, with(), subscribe, 405, "but received 'PUT'"},
		{"no media type", "", nil, subscribe, 400, "Expecting 'Content-Type' to be present"},
		{"unknown media type", "", map[string]string{"Content-Type": "text/plain"}, subscribe, 415, "Expecting 'Content-Type' of application/json or application/x-protobuf"},
		{"nothing", "", with(), "", 400, "Failed to parse body into JSON: "},
		{"truncated JSON", "", with(), subscribe[:40], 400, "Failed to parse body into JSON: "},
		{"more than one value", "", with(), subscribe + subscribe, 400, "Failed to parse body into JSON: "},
		{"deep JSON", "", with(), strings.Repeat(`{"x":`, 1<<20), 400, "Failed to "},
		{"an array", "", with(), "[" + subscribe + "]", 400, "Failed to convert JSON into Call protobuf: "},
		{"a text for a message", "", with(), `{"type":"SUBSCRIBE","subscribe":"x"}`, 400, "Failed to convert JSON into Call protobuf: "},
		{"an array for one value", "", with(), own(`"type":["TEARDOWN"]`), 400, "Failed to convert JSON into Call protobuf: "},
		{"an object for a text", "", with(), `{"type":"TEARDOWN","framework_id":{"value":{}}}`, 400, "Failed to convert JSON into Call protobuf: "},
		{"required fields missing", "", with(), `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"name":"x"}}}`, 400, "Missing required fields: "},
		{"no protobuf", "", map[string]string{"Content-Type": mediaProtobuf}, subscribe, 400, "Failed to parse body into Call protobuf"},
		{"truncated protobuf", "", map[string]string{"Content-Type": mediaProtobuf}, "\x08\x01\x1a\x7f\x0a", 400, "Failed to parse body into Call protobuf"},
		{"an unknown type", "", with(), own(`"type":"FOO"`), 400, "Failed to validate scheduler::Call: Expecting 'type' to be present"},
		{"no type", "", with(), `{}`, 400, "Failed to validate scheduler::Call: Expecting 'type' to be present"},
		{"no framework", "", with(), `{"type":"TEARDOWN"}`, 400, "Failed to validate scheduler::Call: Expecting 'framework_id' to be present"},
		{"no subscription", "", with(), `{"type":"SUBSCRIBE"}`, 400, "Failed to validate scheduler::Call: Expecting 'subscribe' to be present"},
		{"two IDs", "", with(), own(`"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"x"}}`), 400,
			"'framework_id' differs from 'subscribe.framework_info.id'"},
		{"a short UUID", "", with(streamHeader, stream), own(`"type":"ACKNOWLEDGE","acknowledge":{"agent_id":{"value":"a"},"task_id":{"value":"t"},"uuid":"AAAA"}`), 400, "UUID"},
		{"a type to come", "", with(streamHeader, stream), own(`"type":"UNKNOWN"`), 501, ""},
		{"wrong Accept", "", with("Accept", "text/html"), subscribe, 406, "Expecting 'Accept' to allow "},
		{"Accept of no interest", "", with("Accept", "text/html", streamHeader, stream), own(`"type":"REVIVE"`), 202, ""},
		{"SUBSCRIBE on a stream", "", with(streamHeader, stream), subscribe, 400, "Subscribe calls should not include the 'Mesos-Stream-Id' header"},
		{"unknown framework", "", with(streamHeader, stream), `{"type":"TEARDOWN","framework_id":{"value":"nobody"}}`, 400, "Framework cannot be found"},
		{"no stream", "", with(), own(`"type":"REVIVE"`), 400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header"},
		{"wrong stream", "", with(streamHeader, "5f7a2e0c-0000-4000-8000-000000000000"), own(`"type":"REVIVE"`), 400, "didn't match the stream ID currently associated with framework ID"},
		{"a stream of no UUID", "", with(streamHeader, strings.Repeat("x", 4096)), own(`"type":"REVIVE"`), 400, "didn't match"},
		{"a media type with parameters", "", with("Content-Type", "application/json; charset=utf-8", streamHeader, stream), own(`"type":"REVIVE"`), 202, ""},
		{"leniency", "", with(streamHeader, stream), own(`"type":"DECLINE","unheard":{"of":[1]},"subscribe":null,"decline":{"offer_ids":[{"value":"o"}],"filters":{"refuse_seconds":"0.5"}}`), 202, ""},
		{"20 MB", "", with(), `{"type":"` + strings.Repeat("x", 20<<20), 413, "larger than"},
	}
	for call, field := range map[string]string{
		"ACCEPT": "accept", "DECLINE": "decline", "KILL": "kill", "SHUTDOWN": "shutdown", "ACKNOWLEDGE": "acknowledge", "RECONCILE": "reconcile",
		"MESSAGE": "message", "REQUEST": "request", "UPDATE_FRAMEWORK": "update_framework", "RECONCILE_OPERATIONS": "reconcile_operations",
	} {
		rows = append(rows, badCall{call + " of nothing", "", with(streamHeader, stream), own(`"type":"` + call + `"`), 400,
			"Failed to validate scheduler::Call: Expecting '" + field + "' to be present"})
	}
	refused(t, url, rows)

	_, gone := subscribeByHand(t, url, plainSubscribe)
	if gone == stream || len(gone) != 36 {
		t.Errorf("stream %q after %q", gone, stream)
	}
	notSubscribed(t, url)
	garbage(t, d)
	if code, text := post(t, url, stream, own(`"type":"TEARDOWN"`)); code != http.StatusAccepted {
		t.Errorf("TEARDOWN after all that: %d %s", code, text)
	}
}

func refused(t *testing.T, url string, rows []badCall) {
	t.Helper()
	for _, row := range rows {
		method := row.method
		if method == "" {
			method = http.MethodPost
		}
		code, header, text := send(t, method, url, row.header, strings.NewReader(row.body))
		if code != row.code || !strings.Contains(text, row.text) || row.code == http.StatusAccepted && text != "" {
			t.Errorf("%s: %d %.300q, want %d %q", row.name, code, text, row.code, row.text)
		}
		if header.Get("Content-Length") == "" {
			t.Errorf("%s: the answer has no length", row.name)
		}
	}
}

// notSubscribed: a framework whose stream has ended is known, but may not call.
func notSubscribed(t *testing.T, url string) {
	t.Helper()
	r, err := http.Post(url, mediaJSON, strings.NewReader(
		`{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"brief","failover_timeout":30}}}`))
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := io.ReadAtLeast(r.Body, line, 100)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(line[:n]), `"framework_id":{"value":"`)
	framework, _, _ := strings.Cut(rest, `"`)
	r.Body.Close()
	await(t, "the end of a stream", func() bool {
		code, text := post(t, url, r.Header.Get(streamHeader), `{"framework_id":{"value":"`+framework+`"},"type":"REVIVE"}`)
		return code == http.StatusForbidden && text == "Framework is not subscribed"
	})
	if code, text := post(t, strings.TrimSuffix(url, "/scheduler"), "", `{"type":"TEARDOWN","teardown":{"framework_id":{"value":"`+framework+`"}}}`); code != http.StatusOK && code != http.StatusAccepted {
		t.Errorf("an operator's TEARDOWN: %d %s", code, text)
	}
}

// garbage speaks no HTTP.
func garbage(t *testing.T, d *daemon) {
	t.Helper()
	for name, text := range map[string]string{
		"noise":         "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"a huge header": "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 200<<10) + "\r\n\r\n",
		"a huge line":   "GET /" + strings.Repeat("x", 200<<10) + " HTTP/1.1\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", d.API())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = conn.Write([]byte(text)) // it may be cut short
		if r, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil && r.StatusCode/100 != 4 {
			t.Errorf("%s: %s", name, r.Status)
		}
		conn.Close()
	}
}

// Mesos tells a framework what is wrong with its subscription by an ERROR event
// on a stream that was answered 200, and closes it.
func badSubscriptions(t *testing.T, d *daemon) {
	url := "http://" + d.API() + "/api/v1/scheduler"
	info := func(rest string) string { return `{"user":"root","name":"x"` + rest + `}` }
	for name, row := range map[string]struct{ body, text string }{
		"a role with a slash at its end": {`{"framework_info":` + info(`,"role":"a/"`) + `}`, "/"},
		"a role that goes up":            {`{"framework_info":` + info(`,"role":"a/../b"`) + `}`, ".."},
		"roles without MULTI_ROLE":       {`{"framework_info":` + info(`,"roles":["a"]`) + `}`, "roles"},
		"a role and MULTI_ROLE":          {`{"framework_info":` + info(`,"role":"a","capabilities":[{"type":"MULTI_ROLE"}]`) + `}`, "role"},
		"a role twice":                   {`{"framework_info":` + info(`,"roles":["a","a"],"capabilities":[{"type":"MULTI_ROLE"}]`) + `}`, "uplicate"},
		"a role of another suppressed":   {`{"framework_info":` + info(`,"role":"a"`) + `,"suppressed_roles":["b"]}`, "b"},
	} {
		r, err := http.Post(url, mediaJSON, strings.NewReader(`{"type":"SUBSCRIBE","subscribe":`+row.body+`}`))
		if err != nil {
			t.Fatal(err)
		}
		end := time.AfterFunc(patience, func() { r.Body.Close() })
		b, err := io.ReadAll(r.Body) // to the end: the stream is closed
		end.Stop()
		r.Body.Close()
		if r.StatusCode != http.StatusOK || err != nil || !bytes.Contains(b, []byte(`"type":"ERROR"`)) || !bytes.Contains(b, []byte(row.text)) {
			t.Errorf("%s: %s, %v, %s", name, r.Status, err, b)
		}
	}
}

func badOperatorCalls(t *testing.T, d *daemon) {
	for _, api := range []string{d.API(), d.AgentAPI()} {
		refused(t, "http://"+api+"/api/v1", []badCall{
			{"wrong method", http.MethodGet, nil, "", 405, "Expecting one of { 'POST' }"},
			{"no media type", "", nil, `{"type":"GET_HEALTH"}`, 400, "Expecting 'Content-Type' to be present"},
			{"unknown media type", "", map[string]string{"Content-Type": "text/xml"}, `{"type":"GET_HEALTH"}`, 415, "Expecting 'Content-Type' of"},
			{"truncated", "", with(), `{"type":`, 400, "Failed to parse body into JSON"},
			{"wrong type", "", with(), `{"type":"READ_FILE","read_file":7}`, 400, "Failed to convert JSON into Call protobuf"},
			{"unknown type", "", with(), `{"type":"GET_RICH"}`, 400, "Expecting 'type' to be present"},
			{"wrong Accept", "", with("Accept", "text/html"), `{"type":"GET_HEALTH"}`, 406, "Expecting 'Accept'"},
			{"a good one", "", with(), `{"type":"GET_HEALTH"}`, 200, `{"type":"GET_HEALTH","get_health":{"healthy":true}}`},
			{"a file that is not there", "", with(), `{"type":"READ_FILE","read_file":{"path":"/etc/passwd","offset":0}}`, 404, "not found"},
			{"a huge one", "", with(), `{"type":"` + strings.Repeat("x", 20<<20), 413, "larger than"},
		})
	}
}

// unknownTasks is a RECONCILE of n tasks that nobody knows: it is answered by n updates.
func unknownTasks(n int) *scheduler.Call {
	list := make([]*scheduler.Call_Reconcile_Task, n)
	for i := range list {
		list[i] = &scheduler.Call_Reconcile_Task{TaskId: &mesos.TaskID{Value: proto.String(strings.Repeat("x", 200))}}
	}
	return &scheduler.Call{Type: scheduler.Call_RECONCILE.Enum(), Reconcile: &scheduler.Call_Reconcile{Tasks: list}}
}

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestThirdPartyFrameworkRunsThroughEveryPeer(t *testing.T) {
	c := newCluster(t, 3)
	watched := watch(t, c.nodes[1])
	// The watcher tells nothing until something happens: not that it listens.
	await(t, "the first event in the operator's stream", func() bool {
		msh(t, c.nodes[0])
		return watched.String() != ""
	})
	before := strings.Count(watched.String(), "TASK_FINISHED")
	for _, d := range c.nodes {
		msh(t, d)
	}
	await(t, "the tasks in the operator's event stream", func() bool { return strings.Count(watched.String(), "TASK_FINISHED") >= before+3 })
}

// msh runs a task by a third-party framework, which is to succeed.
func msh(t *testing.T, d *daemon) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(clients, "msh"), "-silent", "-master", d.API(), "--", "/bin/true").CombinedOutput()
	if err != nil {
		t.Errorf("msh through %s: %v\n%s", d.Name, err, out)
	}
}

func TestThirdPartyFrameworkHearsOfAFailure(t *testing.T) {
	c := newCluster(t, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, filepath.Join(clients, "msh"), "-silent", "-master", c.nodes[0].API(), "--", "/bin/false").CombinedOutput(); err == nil {
		t.Errorf("msh takes a failed task for a success\n%s", out)
	}
}

// A framework of mesos-go alone reserves, makes a volume and launches in one ACCEPT, is
// offered the volume when its task has ended, reads from it what that has written, and
// is asked to leave when the machine is to be maintained.
func TestThirdPartyPipeline(t *testing.T) {
	c := newCluster(t, 1)
	d := c.nodes[0]
	out := &buffer{}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(clients, "pipeline"), "-master", d.API(), "-role", "keeper")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the second task", func() bool { return strings.Contains(out.String(), "the second task runs") })
	if code, text := get(t, "http://"+d.API()+"/slaves"); code != http.StatusOK || !strings.Contains(text, `"persistence":{"id":"pipeline"`) {
		t.Errorf("/slaves: %d %s", code, text)
	}
	d.muster("maintenance", "schedule", d.IP, "--at", "1h", "--for", "30m", "--api", d.API())
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "asked to leave") {
		t.Errorf("pipeline: %v\n%s", err, out)
	}
}

// buffer may be written and read at once.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// watch follows the operator's event stream with a third-party client.
func watch(t *testing.T, d *daemon) *buffer {
	t.Helper()
	out := &buffer{}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(clients, "mwatch"), "-master", d.IP, "-port", "5050")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
	})
	return out
}

// The protocol by hand, as curl would speak it: JSON both ways.
func TestJSONByHand(t *testing.T) {
	c := newCluster(t, 2)
	url := "http://" + c.other(c.settled()).API() + "/api/v1/scheduler"
	stream, id := subscribeByHand(t, url, plainSubscribe)
	framework, agent := "", ""
	var offer map[string]any
	for framework == "" || offer == nil {
		e := stream()
		switch e["type"] {
		case "SUBSCRIBED":
			framework = value(e["subscribed"].(map[string]any)["framework_id"])
		case "OFFERS":
			offer = e["offers"].(map[string]any)["offers"].([]any)[0].(map[string]any)
			agent = value(offer["agent_id"])
		}
	}
	if offer["allocation_info"] != nil {
		t.Errorf("a framework without MULTI_ROLE is told of an allocation: %v", offer["allocation_info"])
	}
	accept := `{"framework_id":{"value":"` + framework + `"},"type":"ACCEPT","accept":{"offer_ids":[{"value":"` + value(offer["id"]) + `"}],
	 "operations":[{"type":"LAUNCH","launch":{"task_infos":[{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"` + agent + `"},
	 "command":{"value":"echo $GREETING","environment":{"variables":[{"name":"GREETING","value":"hello"}]}},
	 "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}},{"name":"mem","type":"SCALAR","scalar":{"value":32}}]}]}}]}}`
	if code, text := post(t, url, id, accept); code != http.StatusAccepted || text != "" {
		t.Fatalf("ACCEPT: %d %s", code, text)
	}
	for {
		e := stream()
		if e["type"] != "UPDATE" {
			continue
		}
		status := e["update"].(map[string]any)["status"].(map[string]any)
		ack := `{"framework_id":{"value":"` + framework + `"},"type":"ACKNOWLEDGE","acknowledge":{"agent_id":{"value":"` + agent + `"},
		 "task_id":{"value":"t"},"uuid":"` + status["uuid"].(string) + `"}}`
		if code, text := post(t, url, id, ack); code != http.StatusAccepted {
			t.Fatalf("ACKNOWLEDGE: %d %s", code, text)
		}
		if status["state"] == "TASK_FINISHED" {
			break
		}
		if status["state"] != "TASK_STARTING" && status["state"] != "TASK_RUNNING" {
			t.Fatalf("the task is %v: %v", status["state"], status["message"])
		}
	}
	if code, _ := post(t, url, id, `{"framework_id":{"value":"`+framework+`"},"type":"TEARDOWN"}`); code != http.StatusAccepted {
		t.Errorf("TEARDOWN: %d", code)
	}
}

func value(id any) string { return id.(map[string]any)["value"].(string) }

const plainSubscribe = `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"by hand","failover_timeout":600}}}`

// subscribeByHand returns a reader of events and the stream's ID.
func subscribeByHand(t *testing.T, url, call string) (next func() map[string]any, id string) {
	t.Helper()
	r, err := http.Post(url, "application/json", strings.NewReader(call))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	if r.StatusCode != http.StatusOK || r.ContentLength >= 0 || r.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("SUBSCRIBE: %s, length %d, %s", r.Status, r.ContentLength, r.Header.Get("Content-Type"))
	}
	body := bufio.NewReader(r.Body)
	expire := time.AfterFunc(2*patience, func() { r.Body.Close() })
	t.Cleanup(func() { expire.Stop() })
	return func() map[string]any {
		t.Helper()
		line, err := body.ReadString('\n')
		if err != nil {
			t.Fatalf("read a record's length: %v", err)
		}
		size, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		record := make([]byte, size)
		if _, err := io.ReadFull(body, record); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(record, '\n') {
			t.Errorf("a record of several lines: %s", record)
		}
		var e map[string]any
		if err := json.Unmarshal(record, &e); err != nil {
			t.Fatalf("%v in %s", err, record)
		}
		return e
	}, r.Header.Get("Mesos-Stream-Id")
}

func post(t *testing.T, url, stream, body string) (code int, text string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if stream != "" {
		r.Header.Set("Mesos-Stream-Id", stream)
	}
	h := http.Client{Timeout: patience}
	got, err := h.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got.StatusCode, string(b)
}

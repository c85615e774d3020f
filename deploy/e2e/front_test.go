package e2e

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/node/client"
	"muster/offers/mesos"
)

// What one node shows and refuses at its front door. The cases share its cluster,
// and come one after the other: each has the node's offers for itself.
func TestFrontDoor(t *testing.T) {
	c := newCluster(t, 1)
	d := c.nodes[0]
	pid := d.PID()
	silent := neverRead(t, d)
	for _, one := range []struct {
		name string
		test func(*testing.T, *daemon)
	}{
		{"bad calls are refused as Mesos does", badCalls},
		{"errors of a subscription come as events", badSubscriptions},
		{"bad calls of operators are refused", badOperatorCalls},
		{"old endpoints answer under every name", oldEndpoints},
		{"the agent shows its tasks", agentEndpoints},
		{"files do not lead out of a sandbox", confinement},
		{"tasks have their user and environment", userAndEnvironment},
		{"a task over its memory limit fails", outOfMemory},
		{"a kill gives the grace it was told", killing},
		{"a teardown ends the tasks", teardown},
		{"CPU time is the kernel's", measured},
		{"run tells how its tasks end", runEnds},
		{"run follows what its tasks write", runFollows},
		{"run kills its tasks on Ctrl-C", runInterrupted},
		{"logs follow a task to its end", logsFollow},
		{"every output in JSON parses", outputs},
		{"a crowd of connections and slow readers is borne", flood},
	} {
		t.Run(one.name, func(t *testing.T) {
			own := *d // its failures are this case's
			own.t = t
			one.test(t, &own)
		})
	}
	t.Run("who does not read is cut off", func(t *testing.T) {
		await(t, "the end of streams that are not read", func() bool {
			return !slices.ContainsFunc(silent, func(c net.Conn) bool { return established(t, c) })
		})
	})
	if !d.Running() || d.PID() != pid {
		t.Error("the daemon did not live through it")
	}
}

// send makes one HTTP request as it is told, without compression.
func send(t *testing.T, method, url string, header map[string]string, body io.Reader) (code int, got http.Header, text string) {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	h := http.Client{Timeout: patience, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	resp, err := h.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func get(t *testing.T, url string) (code int, text string) {
	t.Helper()
	code, _, text = send(t, http.MethodGet, url, nil, nil)
	return code, text
}

// sandbox is where a task of d works.
func (d *daemon) sandbox(framework, task string) string {
	d.t.Helper()
	found, err := filepath.Glob(filepath.Join(d.Dir, "agent", "slaves", "*", "frameworks", framework, "executors", task, "runs", "latest"))
	if err != nil || len(found) != 1 {
		d.t.Fatalf("sandboxes of %s: %v %v", task, found, err)
	}
	return found[0]
}

// touch makes a file in the sandbox of a task.
func (d *daemon) touch(framework, task, name string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.sandbox(framework, task), name), nil, 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// wrote waits until a task's file holds all of the texts, and returns what it holds.
func (d *daemon) wrote(framework, task, name string, texts ...string) string {
	d.t.Helper()
	file := filepath.Join(d.sandbox(framework, task), name)
	var all string
	await(d.t, name+" of "+task, func() bool {
		b, err := os.ReadFile(file)
		all = string(b)
		for _, text := range texts {
			if err != nil || !strings.Contains(all, text) {
				return false
			}
		}
		return true
	})
	return all
}

// begin launches one task and waits until it runs.
func (f *framework) begin(id, command string, mend ...func(*mesos.TaskInfo)) {
	f.t.Helper()
	f.launchOne(id, command, mend...)
	f.in(mesos.TaskState_TASK_RUNNING, id)
}

func (f *framework) launchOne(id, command string, mend ...func(*mesos.TaskInfo)) {
	f.t.Helper()
	o := f.offer("")
	info := task(o, id, command)
	for _, m := range mend {
		m(info)
	}
	if err := f.session.Accept(f.t.Context(), 0, []*mesos.OfferID{o.GetId()}, client.Launch(info)); err != nil {
		f.t.Fatalf("accept: %v", err)
	}
}

// id is the framework's.
func (f *framework) id() string { return f.session.FrameworkID().GetValue() }

// saw is the states that a task went through.
func (f *framework) saw(id string) []mesos.TaskState {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []mesos.TaskState
	for _, s := range f.states[id] {
		if len(out) == 0 || out[len(out)-1] != s { // an update may come again
			out = append(out, s)
		}
	}
	return out
}

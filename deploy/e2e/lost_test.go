package e2e

import (
	"net/http"
	"testing"

	"golang.org/x/sys/unix"

	"muster/node/client"
	"muster/offers/mesos"
)

// An agent that is lost takes its offers with it, and comes back with its tasks.
func TestLostAgentReturnsWithItsTasks(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.settled()
	gateway := c.other(leader)
	var lost *daemon
	for _, d := range c.nodes {
		if d != leader && d != gateway {
			lost = d
		}
	}
	f := subscribe(t, gateway, client.Protobuf, nil)
	ids := f.launch(lost.IP, "stays", 2, "sleep 1000")
	f.in(mesos.TaskState_TASK_RUNNING, ids...)
	before := tasksOf(t, lost, ids...)

	for name, how := range map[string]struct{ lose, find func() }{
		"killed": {lost.Kill, lost.start},
		"frozen": {func() { lost.signal(unix.SIGSTOP) }, func() { lost.signal(unix.SIGCONT) }},
	} {
		f.offered(lost.IP, true)
		how.lose()
		f.offered(lost.IP, false)
		if s := f.status(ids[0]).GetState(); s != mesos.TaskState_TASK_RUNNING {
			t.Errorf("%s: a task is %v at once", name, s)
		}
		how.find()
		f.offered(lost.IP, true)
		after := tasksOf(t, lost, ids...)
		for _, id := range ids {
			if before[id].PID != after[id].PID || unix.Kill(after[id].PID, 0) != nil {
				t.Errorf("%s: %s is process %d, was %d", name, id, after[id].PID, before[id].PID)
			}
		}
		reconciles(t, f, ids...)
	}
	if err := f.session.Kill(t.Context(), &mesos.TaskID{Value: &ids[0]}, nil); err != nil {
		t.Fatal(err)
	}
	f.in(mesos.TaskState_TASK_KILLED, ids[0])
}

func (d *daemon) signal(s unix.Signal) {
	d.t.Helper()
	if err := d.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// offered waits until the framework holds an offer of host, or none.
func (f *framework) offered(host string, want bool) {
	f.t.Helper()
	await(f.t, map[bool]string{true: "an offer of ", false: "the end of the offers of "}[want]+host, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, o := range f.offers {
			if o.GetHostname() == host {
				return want
			}
		}
		return !want
	})
}

// Without a majority nothing is decided and nothing is lost: calls are told so,
// tasks run on, and one voter that returns is enough.
func TestMajorityLost(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.settled()
	last := c.other(leader)
	f := subscribe(t, last, client.Protobuf, nil)
	ids := f.launch(last.IP, "runs", 2, "sleep 1000")
	f.in(mesos.TaskState_TASK_RUNNING, ids...)
	before := tasksOf(t, last, ids...)
	for _, d := range c.nodes {
		if d != last {
			d.Kill()
		}
	}
	await(t, "a call that finds no leader", func() bool {
		code, text := post(t, "http://"+last.API()+"/api/v1/scheduler", f.session.ID(), `{"framework_id":{"value":"`+f.id()+`"},"type":"REVIVE"}`)
		return code == http.StatusServiceUnavailable && text != ""
	})
	for path, want := range map[string]int{"/state": http.StatusServiceUnavailable, "/health": http.StatusOK, "/metrics/snapshot": http.StatusOK, "/muster/v1/nodes": http.StatusOK} {
		if code, text := get(t, "http://"+last.API()+path); code != want {
			t.Errorf("%s: %d %.200s", path, code, text)
		}
	}
	leader.start()
	c.settled()
	more := f.launch(last.IP, "more", 1, "true")
	f.in(mesos.TaskState_TASK_FINISHED, more...)
	for id, u := range tasksOf(t, last, ids...) {
		if u.PID != before[id].PID {
			t.Errorf("%s is process %d, was %d", id, u.PID, before[id].PID)
		}
	}
	if n := f.count(func() int { return f.subscribed }); n != 1 {
		t.Errorf("SUBSCRIBED came %d times", n)
	}
}

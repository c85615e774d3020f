package e2e

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

func TestFrameworkKeepsItsStreamWhenTheLeaderIsKilled(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.settled()
	gateway := c.other(leader)
	f := subscribe(t, gateway, client.Protobuf, nil)
	before := f.launch(gateway.IP, "before", 3, "sleep 1000")
	f.in(mesos.TaskState_TASK_RUNNING, before...)
	held := f.offer("") // is to be rescinded
	f.mu.Lock()
	f.offers[held.GetId().GetValue()] = held
	rescinds := f.rescinded
	f.mu.Unlock()

	leader.Kill()
	now := c.settled()
	if now == leader {
		t.Fatal("the killed leader leads")
	}
	await(t, "RESCIND of the dead leader's offers", func() bool { return f.count(func() int { return f.rescinded }) > rescinds })
	after := f.launch(gateway.IP, "after", 2, "exit 0")
	f.in(mesos.TaskState_TASK_FINISHED, after...)
	if n := f.count(func() int { return f.subscribed }); n != 1 {
		t.Errorf("SUBSCRIBED came %d times", n)
	}
	select {
	case <-f.ended:
		t.Fatal("the stream did not survive")
	default:
	}
	for _, id := range before {
		if s := f.status(id).GetState(); s != mesos.TaskState_TASK_RUNNING {
			t.Errorf("%s is %v after the change of leader", id, s)
		}
	}
	reconciles(t, f, before...)
}

// reconciles asks for tasks that run, explicitly, and wants that answered.
func reconciles(t *testing.T, f *framework, ids ...string) {
	t.Helper()
	answers := func() int {
		n := 0
		for _, id := range ids {
			if s := f.last[id]; s.GetReason() == mesos.TaskStatus_REASON_RECONCILIATION && s.GetState() == mesos.TaskState_TASK_RUNNING {
				n++
			}
		}
		return n
	}
	var tasks []*scheduler.Call_Reconcile_Task
	for _, id := range ids {
		tasks = append(tasks, &scheduler.Call_Reconcile_Task{TaskId: &mesos.TaskID{Value: &id}})
	}
	if err := f.session.Reconcile(context.Background(), tasks...); err != nil {
		t.Fatalf("reconcile: %v", err)
	}
	await(t, "the answers to a reconciliation", func() bool { return f.count(answers) == len(ids) })
}

// A leader that dies right after its 202 may not have told the agent of the task.
// Whatever happened, the framework hears of every task.
func TestEveryTaskAcceptedAroundAKillGetsAStatus(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.settled()
	f := subscribe(t, c.other(leader), client.JSON, nil)
	var ids []string
	for len(ids) < 20 {
		o := f.offer("")
		id := fmt.Sprintf("task-%d", len(ids))
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := f.session.Accept(ctx, 0, []*mesos.OfferID{o.GetId()}, client.Launch(task(o, id, "exit 0")))
		cancel()
		if err != nil {
			t.Logf("%s: %v", id, err) // it may have been taken or not: the framework was not told
			if len(ids) < 10 {
				t.Fatal("before the kill")
			}
			continue
		}
		if ids = append(ids, id); len(ids) == 10 {
			leader.Kill()
		}
	}
	t.Logf("%d tasks were accepted", len(ids))
	leader.start() // some of the tasks are its agent's
	c.settled()
	f.end(ids...)
}

func TestTasksSurviveTheirDaemon(t *testing.T) {
	c := newCluster(t, 1)
	d := c.nodes[0]
	f := subscribe(t, d, client.Protobuf, nil)
	long := f.launch(d.IP, "long", 45, "sleep 1000")
	brief := f.launch(d.IP, "brief", 5, "until test -e /mnt/mesos/sandbox/go; do sleep 0.1; done; exit 3")
	f.in(mesos.TaskState_TASK_RUNNING, slices.Concat(long, brief)...)
	before := pids(t, d)
	if len(before) != 50 {
		t.Fatalf("%d containers", len(before))
	}
	id := f.session.FrameworkID()

	d.Kill()
	for _, pid := range before {
		if syscall.Kill(pid, 0) != nil {
			t.Fatalf("process %d died with the daemon", pid)
		}
	}
	for _, task := range brief { // they end while no daemon runs
		d.touch(id.GetValue(), task, "go")
	}
	await(t, "the brief tasks' end", func() bool {
		alive := 0
		for _, pid := range before {
			if syscall.Kill(pid, 0) == nil {
				alive++
			}
		}
		return alive == len(long)
	})
	d.start()
	c.settled()
	again := subscribe(t, d, client.Protobuf, func(info *mesos.FrameworkInfo) { info.Id = id })
	again.in(mesos.TaskState_TASK_FAILED, brief...)
	after := pids(t, d)
	for _, task := range long {
		if before[task] != after[task] || after[task] == 0 {
			t.Errorf("%s: process %d, was %d", task, after[task], before[task])
		}
	}
	reconciles(t, again, long...)
}

// pids are the processes of a daemon's running tasks, by task.
func pids(t *testing.T, d *daemon) map[string]int {
	t.Helper()
	out := map[string]int{}
	await(t, "usage of the tasks", func() bool {
		var view struct {
			Tasks []struct {
				TaskID string `json:"task_id"`
				PID    int
			}
		}
		clear(out)
		if d.JSON(t.Context(), "/muster/v1/usage", &view) != nil {
			return false
		}
		for _, u := range view.Tasks {
			out[u.TaskID] = u.PID
		}
		return len(out) >= 45
	})
	return out
}

func TestDeadVoterIsReplaced(t *testing.T) {
	c := newCluster(t, 4)
	leader := c.settled()
	voters := func() map[string]string {
		m, err := leader.Members(t.Context())
		if err != nil {
			return nil
		}
		roles := map[string]string{}
		for _, n := range m.Nodes {
			roles[n.Name] = n.Role
		}
		return roles
	}
	var victim *daemon
	roles := voters()
	for _, d := range c.nodes {
		if roles[d.Name] == "voter" {
			victim = d
		}
	}
	victim.Kill()
	await(t, "a voter in the dead one's place", func() bool {
		n, roles := 0, voters()
		for _, d := range c.nodes {
			if r := roles[d.Name]; d != victim && (r == "voter" || r == "leader") {
				n++
			}
		}
		return n == 3 && roles[victim.Name] != "voter"
	})
}

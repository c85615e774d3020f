package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/isolate/isolatetest"
	"muster/offers/mesos"
	"muster/offers/protocol"
)

func TestTasksOutliveTheirAgent(t *testing.T) {
	for _, how := range []string{"stopped", "killed"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil).ready()
				defer func() { r.end() }()
				r.launch(frameworkInfo(), command("a"), command("b"))
				a, b := r.container("a"), r.container("b")
				if how == "stopped" {
					r.end()
				} else {
					r.kill()
				}
				if len(r.driver.Running()) != 2 {
					t.Fatal("tasks did not outlive the agent")
				}
				if err := r.driver.Exit(b, isolate.Exit{Code: 4}); err != nil { // while nobody looks
					t.Fatal(err)
				}
				r.ready()
				r.wantStates("a", begins, runs)
				r.wantStates("b", begins, runs, failed)
				if m := r.last("b").GetMessage(); m != "Command exited with status 4" {
					t.Errorf("message %q", m)
				}
				if r.driver.Starts(a) != 1 {
					t.Errorf("a was started %d times", r.driver.Starts(a))
				}
				r.launch(frameworkInfo(), needs(command("c"), "cpus:4"))
				r.wantStates("c", lost)
				r.exit("a", isolate.Exit{})
				r.wantStates("a", begins, runs, finished)
				if n := len(r.agent.State().Completed); n != 2 {
					t.Errorf("%d completed tasks are remembered", n)
				}
			})
		})
	}
}

func TestContainersWithoutTasksAreDestroyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		if _, err := r.driver.Start(t.Context(), isolate.Spec{ID: "stray"}); err != nil {
			t.Fatal(err)
		}
		r.ready()
		defer r.end()
		if !r.driver.Destroyed("stray") {
			t.Error("it is still there")
		}
	})
}

func TestVanishedContainerFailsItsTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer func() { r.end() }()
		r.launch(frameworkInfo(), command("a"))
		id := r.container("a")
		r.kill()
		if err := r.driver.Destroy(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		r.ready()
		r.wantStates("a", begins, runs, failed)
		if s := r.last("a"); s.GetReason() != mesos.TaskStatus_REASON_EXECUTOR_TERMINATED || !strings.Contains(s.GetMessage(), "gone") {
			t.Errorf("status %v", s)
		}
	})
}

func TestReboot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer func() { r.end() }()
		r.launch(frameworkInfo(), command("a"))
		r.kill()
		r.driver = isolatetest.NewDriver(nil)
		r.cfg.bootID = func() (string, error) { return "boot-2", nil }
		r.ready()
		r.wantStates("a", begins, runs, failed)
		if s := r.last("a"); s.GetReason() != mesos.TaskStatus_REASON_AGENT_RESTARTED {
			t.Errorf("status %v", s)
		}
		if len(r.driver.Running()) != 0 {
			t.Error("it was run again")
		}
	})
}

func TestKillGoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stubborn).ready()
		defer func() { r.end() }()
		r.launch(frameworkInfo(), command("a"))
		r.killTask("a", policy(10*time.Second))
		time.Sleep(4 * time.Second)
		r.kill()
		r.ready()
		time.Sleep(5 * time.Second)
		r.settle()
		r.wantStates("a", begins, runs)
		time.Sleep(time.Second)
		r.settle()
		r.wantStates("a", begins, runs, wasKilled)
	})
}

func TestShutDownOfAFrameworkGoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stubborn).ready()
		defer func() { r.end() }()
		r.launch(frameworkInfo(), command("a"))
		r.shutdown("f")
		r.kill()
		r.ready()
		time.Sleep(4 * time.Second)
		r.settle()
		if n := len(r.agent.State().Tasks); n != 0 || len(r.driver.Running()) != 0 {
			t.Errorf("%d tasks are left, %v run", n, r.driver.Running())
		}
	})
}

func TestFullDiskLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.launch(frameworkInfo(), command("a"))
		r.world.fillDisk(syscall.ENOSPC)
		r.launch(frameworkInfo(), command("b"))
		r.wantStates("b", lost)
		if m := r.last("b").GetMessage(); !strings.Contains(m, "no space left on device") {
			t.Errorf("message %q", m)
		}
		r.exit("a", isolate.Exit{})
		time.Sleep(time.Minute)
		r.settle()
		r.wantStates("a", begins, runs)
		if len(r.agent.State().Tasks) != 1 {
			t.Error("the task was let go")
		}
		r.world.fillDisk(nil)
		time.Sleep(2 * time.Second)
		r.settle()
		r.wantStates("a", begins, runs, finished)
		r.launch(frameworkInfo(), command("c"))
		r.wantStates("c", begins, runs)
	})
}

// TestKilledAtAnyPoint kills the agent before every single effect it has on disk,
// containers and link, lets the next one carry on, and checks what must hold:
// no task runs twice, no terminal status is lost, updates come in order.
func TestKilledAtAnyPoint(t *testing.T) {
	for at := 1; ; at++ {
		complete := false
		t.Run(fmt.Sprint("effect ", at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { complete = crashAndRecover(t, at) })
		})
		if complete || t.Failed() {
			if at < 30 {
				t.Errorf("the scenario has only %d effects", at)
			}
			return
		}
	}
}

// crashAndRecover runs one scenario with a crash and reports whether it was over before.
func crashAndRecover(t *testing.T, at int) (complete bool) {
	ran := make(map[string]map[isolate.ID]bool)
	r := newRig(t, func(s isolate.Spec) isolatetest.Behaviour {
		i := slices.IndexFunc(s.Env, func(v string) bool { return strings.HasPrefix(v, "MESOS_TASK_ID=") })
		task := strings.TrimPrefix(s.Env[i], "MESOS_TASK_ID=")
		if ran[task] == nil {
			ran[task] = make(map[isolate.ID]bool)
		}
		ran[task][s.ID] = true
		switch task {
		case "ends":
			return isolatetest.Behaviour{Exit: &isolate.Exit{}}
		case "fails":
			return isolatetest.Behaviour{Exit: &isolate.Exit{Code: 1}}
		}
		return isolatetest.Behaviour{IgnoreTerm: true}
	})
	r.cfg.Concurrency = 1
	f := frameworkInfo(mesos.FrameworkInfo_Capability_TASK_KILLING_STATE)
	launched := make(map[string]bool)
	round := func() {
		r.agent.Connected(r.leader.term)
		r.settle()
		if !r.agent.State().Registered {
			return
		}
		for _, id := range []string{"ends", "fails", "killed"} {
			if !launched[id] && !r.world.dead() {
				launched[id] = true
				info := command(id)
				info.AgentId = r.agent.State().Agent.GetId() // a new one, if the first was not written
				r.launch(f, info)
			}
		}
		r.killTask("killed", nil)
		time.Sleep(4 * time.Second)
		r.settle()
	}
	r.start(at)
	round()
	complete = !r.world.dead()
	r.kill()
	r.start(0)
	round()
	r.reconcileAll(launched)
	r.end()
	r.check(launched, ran)
	return complete
}

// reconcileAll asks for all tasks that the leader believes to be unfinished.
func (r *rig) reconcileAll(launched map[string]bool) {
	var asked []*protocol.Reconcile_Task
	for id := range launched {
		asked = append(asked, &protocol.Reconcile_Task{FrameworkId: &mesos.FrameworkID{Value: proto.String("f")}, TaskId: &mesos.TaskID{Value: &id}})
	}
	r.say(&protocol.MasterToAgent{Message: &protocol.MasterToAgent_Reconcile{Reconcile: &protocol.Reconcile{Tasks: asked}}})
	r.settle()
}

func (r *rig) check(launched map[string]bool, ran map[string]map[isolate.ID]bool) {
	r.t.Helper()
	want := map[string]mesos.TaskState{"ends": finished, "fails": failed, "killed": wasKilled}
	rank := map[mesos.TaskState]int{begins: 1, runs: 2, killing: 3}
	unknown := make(map[string]bool)
	all := r.leader.reconciled()
	for _, task := range all[len(all)-1].GetUnknown() {
		unknown[task.GetTaskId().GetValue()] = true
	}
	for id := range launched {
		states := r.states(id)
		if len(ran[id]) > 1 {
			r.t.Errorf("task %s ran %d times", id, len(ran[id]))
		}
		for i := 1; i < len(states); i++ {
			if from, to := rank[states[i-1]], rank[states[i]]; from == 0 || to != 0 && to <= from {
				r.t.Errorf("task %s went through %v", id, states)
			}
		}
		if !unknown[id] {
			r.t.Errorf("task %s is not over: %v", id, states)
		}
		if len(ran[id]) == 0 && len(states) == 0 {
			continue // its launch never came to disk: the leader learns that it is unknown
		}
		if len(states) == 0 || states[len(states)-1] != want[id] {
			r.t.Errorf("task %s went through %v, want %v at last", id, states, want[id])
		}
	}
	if ids, err := r.driver.List(); err != nil || len(ids) != 0 {
		r.t.Errorf("containers are left: %v, %v", ids, err)
	}
}

func TestSecondAgentOnOneDirectoryIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		if _, err := New(r.cfg, r.driver, nil, r.leader, nil); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("second agent: %v", err)
		}
		if !errors.Is(r.agent.Receive(&protocol.MasterToAgent{}), ErrStaleTerm) {
			t.Error("a message without a term was taken")
		}
	})
}

package agent

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/isolate/isolatetest"
	"muster/offers/mesos"
	"muster/offers/protocol"
)

func stubborn(isolate.Spec) isolatetest.Behaviour { return isolatetest.Behaviour{IgnoreTerm: true} }

func policy(grace time.Duration) *mesos.KillPolicy {
	return &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(grace))}}
}

func TestKilledTaskEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.launch(frameworkInfo(), command("t1"))
		r.launch(frameworkInfo(mesos.FrameworkInfo_Capability_TASK_KILLING_STATE), command("t2"))
		r.killTask("t1", nil)
		r.wantStates("t1", begins, runs, killing, wasKilled) // the framework has the capability by now
		r.killTask("t2", nil)
		r.wantStates("t2", begins, runs, killing, wasKilled)
		if m := r.last("t2").GetMessage(); m != "Command terminated with signal SIGTERM" {
			t.Errorf("message %q", m)
		}
	})
}

func TestKillingStateNeedsItsCapability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.launch(frameworkInfo(), command("t1"))
		r.killTask("t1", nil)
		r.wantStates("t1", begins, runs, wasKilled)
	})
}

func TestGracePeriod(t *testing.T) {
	for _, c := range []struct {
		name     string
		of       *mesos.KillPolicy // the task's
		override *mesos.KillPolicy // the kill's
		after    time.Duration     // when SIGKILL is sent
	}{
		{"default", nil, nil, 3 * time.Second},
		{"of the task", policy(20 * time.Second), nil, 20 * time.Second},
		{"of the kill", policy(20 * time.Second), policy(5 * time.Second), 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, stubborn).ready()
				defer r.end()
				info := command("t1")
				info.KillPolicy = c.of
				r.launch(frameworkInfo(), info)
				id := r.container("t1")
				r.killTask("t1", c.override)
				time.Sleep(c.after - time.Millisecond)
				r.settle()
				if got := r.driver.Signals(id); !slices.Equal(got, []int{15}) {
					t.Fatalf("signals %v before the grace period ended", got)
				}
				time.Sleep(time.Millisecond)
				r.settle()
				r.wantStates("t1", begins, runs, wasKilled)
			})
		})
	}
}

func TestSecondKillOnlyHastens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stubborn).ready()
		defer r.end()
		r.launch(frameworkInfo(), command("t1"))
		r.killTask("t1", policy(20*time.Second))
		r.killTask("t1", policy(60*time.Second))
		time.Sleep(2 * time.Second)
		r.killTask("t1", policy(5*time.Second))
		time.Sleep(2 * time.Second)
		r.settle()
		r.wantStates("t1", begins, runs)
		time.Sleep(time.Second)
		r.settle()
		r.wantStates("t1", begins, runs, wasKilled)
	})
}

func TestKillWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		r := newRig(t, func(isolate.Spec) isolatetest.Behaviour { return isolatetest.Behaviour{Hold: hold} }).ready()
		defer r.end()
		r.launch(frameworkInfo(), command("t1"))
		r.wantStates("t1", begins)
		r.killTask("t1", nil)
		r.wantStates("t1", begins, wasKilled)
		if reason := r.last("t1").GetReason(); reason != mesos.TaskStatus_REASON_TASK_KILLED_DURING_LAUNCH {
			t.Errorf("reason %v", reason)
		}
		if ids, _ := r.driver.List(); len(ids) != 0 {
			t.Errorf("containers %v", ids)
		}
	})
}

func TestKillInTheSameBreathAsLaunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.say(&protocol.MasterToAgent{Message: &protocol.MasterToAgent_RunTask{RunTask: &protocol.RunTask{
			Framework: frameworkInfo(), Tasks: []*mesos.TaskInfo{command("t1")}}}})
		r.killTask("t1", nil)
		if got := r.states("t1"); got[len(got)-1] != wasKilled {
			t.Errorf("states %v", got)
		}
		if len(r.driver.Running()) != 0 {
			t.Error("it runs")
		}
	})
}

func TestKillOfUnknownTaskReconciles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.killTask("nobody", nil)
		got := r.leader.reconciled()
		if len(got) != 1 || len(got[0].GetUnknown()) != 1 || got[0].GetUnknown()[0].GetTaskId().GetValue() != "nobody" {
			t.Errorf("reconciled %v", got)
		}
	})
}

func TestReconcileNamesUnknownTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.leader.acks = false
		r.launch(frameworkInfo(), command("t1"))
		before := len(r.leader.updates("t1"))
		asked := func(id string) *protocol.Reconcile_Task {
			return &protocol.Reconcile_Task{FrameworkId: &mesos.FrameworkID{Value: proto.String("f")}, TaskId: &mesos.TaskID{Value: &id}}
		}
		r.say(&protocol.MasterToAgent{Message: &protocol.MasterToAgent_Reconcile{Reconcile: &protocol.Reconcile{
			Tasks: []*protocol.Reconcile_Task{asked("t1"), asked("t2")}}}})
		r.settle()
		got := r.leader.reconciled()
		if len(got) != 1 || len(got[0].GetUnknown()) != 1 || got[0].GetUnknown()[0].GetTaskId().GetValue() != "t2" {
			t.Errorf("reconciled %v", got)
		}
		if n := len(r.leader.updates("t1")); n != before+1 {
			t.Errorf("the unacknowledged update of the known task was sent %d times", n)
		}
	})
}

func TestShutDownFrameworkEndsItsTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stubborn).ready()
		defer r.end()
		other := frameworkInfo()
		other.Id = &mesos.FrameworkID{Value: proto.String("g")}
		r.launch(frameworkInfo(), needs(command("a"), "cpus:3"))
		r.leader.acks = false
		r.shutdown("f")
		// Its resources are offered again at once: who gets them waits for them here.
		r.launch(other, needs(command("b"), "cpus:4"))
		r.leader.acks = true
		r.launch(other, needs(command("c"), "cpus:1"))
		r.wantStates("c", lost)
		time.Sleep(4 * time.Second)
		r.settle()
		r.wantStates("a", begins, runs, wasKilled)
		if s := r.agent.State(); len(s.Tasks) != 1 {
			t.Errorf("%d tasks", len(s.Tasks))
		}
		time.Sleep(time.Hour) // what was not acknowledged is sent again
		r.settle()
		r.wantStates("b", begins, runs)
	})
}

func (r *rig) shutdown(framework string) {
	r.t.Helper()
	r.say(&protocol.MasterToAgent{Message: &protocol.MasterToAgent_ShutdownFramework{ShutdownFramework: &protocol.ShutdownFramework{
		FrameworkId: &mesos.FrameworkID{Value: &framework}}}})
	r.settle()
}

func TestShutDownExecutorEndsItsCommandTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.launch(frameworkInfo(), command("a"), command("b"))
		r.say(&protocol.MasterToAgent{Message: &protocol.MasterToAgent_ShutdownExecutor{ShutdownExecutor: &protocol.ShutdownExecutor{
			FrameworkId: &mesos.FrameworkID{Value: proto.String("f")}, ExecutorId: &mesos.ExecutorID{Value: proto.String("a")}}}})
		r.settle()
		r.wantStates("a", begins, runs, wasKilled)
		r.wantStates("b", begins, runs)
	})
}

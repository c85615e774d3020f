package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/isolate/isolatetest"
	"muster/offers/mesos"
	"muster/offers/protocol"
)

const (
	begins    = mesos.TaskState_TASK_STARTING
	runs      = mesos.TaskState_TASK_RUNNING
	killing   = mesos.TaskState_TASK_KILLING
	finished  = mesos.TaskState_TASK_FINISHED
	failed    = mesos.TaskState_TASK_FAILED
	wasKilled = mesos.TaskState_TASK_KILLED
	lost      = mesos.TaskState_TASK_LOST
	drop      = mesos.TaskState_TASK_DROPPED
	erroneous = mesos.TaskState_TASK_ERROR
)

func TestTaskRunsToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.launch(frameworkInfo(), command("t1"))
		r.wantStates("t1", begins, runs)
		s := r.last("t1")
		if len(s.GetUuid()) != 16 || s.GetAgentId().GetValue() != "S0" || s.GetExecutorId().GetValue() != "t1" || s.GetTimestamp() == 0 {
			t.Errorf("incomplete status %v", s)
		}
		c := s.GetContainerStatus()
		if c.GetExecutorPid() == 0 || c.GetContainerId().GetValue() == "" || c.GetNetworkInfos()[0].GetIpAddresses()[0].GetIpAddress() != "10.0.0.7" {
			t.Errorf("incomplete container status %v", c)
		}
		id := r.container("t1")
		r.exit("t1", isolate.Exit{})
		r.wantStates("t1", begins, runs, finished)
		if m := r.last("t1").GetMessage(); m != "Command exited with status 0" {
			t.Errorf("message %q", m)
		}
		if !r.driver.Destroyed(id) {
			t.Error("container was not destroyed")
		}
		state := r.agent.State()
		if len(state.Tasks) != 0 || len(state.Completed) != 1 || state.Completed[0].Task.GetState() != finished {
			t.Errorf("tasks %v, completed %v", state.Tasks, state.Completed)
		}
		if state.Counts.Updates[finished] != 1 || state.Counts.Launches != 1 {
			t.Errorf("counts %+v", state.Counts)
		}
		if !exists(filepath.Join(state.Completed[0].Directory, "stdout")) {
			t.Error("sandbox is gone")
		}
	})
}

func TestSandboxAndEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		task := command("t1")
		task.Limits = map[string]*mesos.Value_Scalar{"mem": {Value: proto.Float64(64)}}
		task.Command.Environment = &mesos.Environment{Variables: []*mesos.Environment_Variable{
			{Name: proto.String("PATH"), Value: proto.String("/mine")}, {Name: proto.String("X"), Value: proto.String("y")},
		}}
		r.launch(frameworkInfo(), task)
		id := r.container("t1")
		spec, _ := r.driver.Spec(id)
		runs := filepath.Join(r.cfg.Dir, "slaves/S0/frameworks/f/executors/t1/runs")
		if spec.Sandbox != filepath.Join(runs, string(id)) {
			t.Errorf("sandbox %s", spec.Sandbox)
		}
		if to, err := os.Readlink(filepath.Join(runs, "latest")); err != nil || to != string(id) {
			t.Errorf("latest is %q, %v", to, err)
		}
		for _, want := range []string{"PATH=/mine", "X=y", "MESOS_SANDBOX=/mnt/mesos/sandbox", "MESOS_TASK_ID=t1", "MESOS_FRAMEWORK_ID=f",
			"MESOS_EXECUTOR_ID=t1", "MESOS_AGENT_ID=S0", "MESOS_ALLOCATION_ROLE=*", "MESOS_AGENT_ENDPOINT=10.0.0.7:5051"} {
			if !slices.Contains(spec.Env, want) {
				t.Errorf("%s is not in %v", want, spec.Env)
			}
		}
		if spec.Limits["mem"] != 64 || spec.Resources.Scalar("mem") != 32000 {
			t.Errorf("limits %v of %v", spec.Limits, spec.Resources)
		}
		for _, run := range []string{"latest", string(id)} {
			if dir, err := r.agent.Sandbox("f", "t1", run); err != nil || dir != spec.Sandbox {
				t.Errorf("Sandbox(%s) is %q, %v", run, dir, err)
			}
		}
		if _, err := r.agent.Sandbox("f", "..", "latest"); !errors.Is(err, ErrNoSandbox) {
			t.Errorf("a path got out: %v", err)
		}
	})
}

func TestExitsBecomeStates(t *testing.T) {
	launchFailed, memory, gone := mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED, mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY, mesos.TaskStatus_REASON_EXECUTOR_TERMINATED
	for _, c := range []struct {
		name    string
		exit    isolate.Exit
		state   mesos.TaskState
		reason  *mesos.TaskStatus_Reason
		message string
	}{
		{"clean", isolate.Exit{}, finished, nil, "Command exited with status 0"},
		{"code", isolate.Exit{Code: 3}, failed, nil, "Command exited with status 3"},
		{"signal", isolate.Exit{Signal: 11}, failed, nil, "Command terminated with signal SIGSEGV"},
		{"out of memory", isolate.Exit{Signal: 9, OOM: true, PeakMem: 32 << 20}, failed, &memory, "Memory limit of 32 MB exceeded"},
		{"a child out of memory", isolate.Exit{OOM: true}, finished, nil, "Command exited with status 0"},
		{"lost", isolate.Exit{Lost: true, Message: "shim died"}, failed, &gone, "shim died"},
		{"not started", isolate.Exit{Code: 127, Message: "no such file"}, failed, &launchFailed, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(isolate.Spec) isolatetest.Behaviour { return isolatetest.Behaviour{Exit: &c.exit} }).ready()
				defer r.end()
				r.launch(frameworkInfo(), command("t1"))
				r.wantStates("t1", begins, runs, c.state)
				s := r.last("t1")
				if (s.Reason == nil) != (c.reason == nil) || c.reason != nil && *s.Reason != *c.reason || !strings.Contains(s.GetMessage(), c.message) {
					t.Errorf("reason %v, message %q", s.Reason, s.GetMessage())
				}
				if c.reason == &memory && s.GetLimitation().GetResources()[0].GetName() != "mem" {
					t.Errorf("limitation %v", s.GetLimitation())
				}
			})
		})
	}
}

func TestFailedStartFailsTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(isolate.Spec) isolatetest.Behaviour {
			return isolatetest.Behaviour{StartErr: fmt.Errorf("%w: no such command", isolate.ErrStart)}
		}).ready()
		defer r.end()
		r.launch(frameworkInfo(), command("t1"))
		r.wantStates("t1", begins, failed)
		if s := r.last("t1"); s.GetReason() != mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED || !strings.Contains(s.GetMessage(), "no such command") {
			t.Errorf("status %v", s)
		}
		r.launch(frameworkInfo(), needs(command("t2"), "cpus:4;mem:4096"))
		r.wantStates("t2", begins, failed)
	})
}

func TestUnknownUserFailsTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		yes := true
		r.cfg.SwitchUser = &yes
		r.cfg.lookup = func(name string) (int, int, error) {
			if name == "me" {
				return os.Getuid(), os.Getgid(), nil
			}
			return 0, 0, errors.New("no such user")
		}
		r.ready()
		defer r.end()
		mine := command("t2")
		mine.Command.User = proto.String("me")
		r.launch(frameworkInfo(), command("t1"), mine)
		r.wantStates("t1", begins, failed)
		if m := r.last("t1").GetMessage(); !strings.Contains(m, `user "nobody" is not known`) {
			t.Errorf("message %q", m)
		}
		r.wantStates("t2", begins, runs)
		if spec, _ := r.driver.Spec(r.container("t2")); spec.User != "me" {
			t.Errorf("runs as %q", spec.User)
		}
	})
}

func TestRefusals(t *testing.T) {
	group := &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: proto.String("e")}}
	aware := mesos.FrameworkInfo_Capability_PARTITION_AWARE
	for _, c := range []struct {
		name      string
		framework *mesos.FrameworkInfo
		change    func(*mesos.TaskInfo)
		executor  *mesos.ExecutorInfo
		state     mesos.TaskState
		message   string
	}{
		{"too much", frameworkInfo(), func(i *mesos.TaskInfo) { needs(i, "cpus:5") }, nil, lost, "already use"},
		{"too much, partition aware", frameworkInfo(aware), func(i *mesos.TaskInfo) { needs(i, "ports:[1-2]") }, nil, drop, "already use"},
		{"another agent", frameworkInfo(), func(i *mesos.TaskInfo) { i.AgentId = &mesos.AgentID{Value: proto.String("S9")} }, nil, lost, "S9"},
		{"group", frameworkInfo(), func(*mesos.TaskInfo) {}, group, erroneous, "task groups"},
		{"executor", frameworkInfo(), func(i *mesos.TaskInfo) { i.Executor, i.Command = group, nil }, nil, erroneous, "executors"},
		{"nothing to run", frameworkInfo(), func(i *mesos.TaskInfo) { i.Command = nil }, nil, erroneous, "neither"},
		{"URIs", frameworkInfo(), func(i *mesos.TaskInfo) { i.Command.Uris = []*mesos.CommandInfo_URI{{Value: proto.String("http://x")}} }, nil, erroneous, "URIs"},
		{"health check", frameworkInfo(), func(i *mesos.TaskInfo) { i.HealthCheck = &mesos.HealthCheck{} }, nil, erroneous, "health checks"},
		{"check", frameworkInfo(), func(i *mesos.TaskInfo) { i.Check = &mesos.CheckInfo{} }, nil, erroneous, "checks"},
		{"path as ID", frameworkInfo(), func(i *mesos.TaskInfo) { i.TaskId = &mesos.TaskID{Value: proto.String("../t1")} }, nil, erroneous, "directory"},
		{"secret", frameworkInfo(), func(i *mesos.TaskInfo) {
			i.Command.Environment = &mesos.Environment{Variables: []*mesos.Environment_Variable{{Name: proto.String("S"), Type: mesos.Environment_Variable_SECRET.Enum()}}}
		}, nil, erroneous, "secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil).ready()
				defer r.end()
				info := command("t1")
				c.change(info)
				r.say(&protocol.MasterToAgent{Message: &protocol.MasterToAgent_RunTask{RunTask: &protocol.RunTask{
					Framework: c.framework, Tasks: []*mesos.TaskInfo{info}, Executor: c.executor,
				}}})
				r.settle()
				id := info.GetTaskId().GetValue()
				r.wantStates(id, c.state)
				if m := r.last(id).GetMessage(); !strings.Contains(m, c.message) {
					t.Errorf("message %q", m)
				}
				if ids, _ := r.driver.List(); len(ids) != 0 {
					t.Errorf("containers %v", ids)
				}
				if n := len(r.agent.State().Tasks); n != 0 {
					t.Errorf("%d tasks are left", n)
				}
			})
		})
	}
}

func TestKnownTaskIsNotRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.launch(frameworkInfo(), command("t1"))
		id := r.container("t1")
		r.launch(frameworkInfo(), command("t1"))
		r.wantStates("t1", begins, runs)
		if ids, _ := r.driver.List(); len(ids) != 1 || r.driver.Starts(id) != 1 {
			t.Errorf("containers %v, started %d times", ids, r.driver.Starts(id))
		}
	})
}

func TestResourcesAreClaimedAndGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.launch(frameworkInfo(), needs(command("a"), "cpus:3;ports:[31000-31001]"))
		r.launch(frameworkInfo(), needs(command("b"), "cpus:2"))
		r.wantStates("b", lost)
		r.launch(frameworkInfo(), needs(command("c"), "cpus:1;ports:[31001-31001]"))
		r.wantStates("c", lost)
		r.exit("a", isolate.Exit{})
		r.launch(frameworkInfo(), needs(command("d"), "cpus:4;ports:[31001-31001]"))
		r.wantStates("d", begins, runs)
	})
}

func TestTooLongTaskIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		info := command("t1")
		info.MaxCompletionTime = &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(time.Minute))}
		r.launch(frameworkInfo(), info)
		time.Sleep(59 * time.Second)
		r.settle()
		r.wantStates("t1", begins, runs)
		time.Sleep(2 * time.Second)
		r.settle()
		r.wantStates("t1", begins, runs, failed)
		if reason := r.last("t1").GetReason(); reason != mesos.TaskStatus_REASON_MAX_COMPLETION_TIME_REACHED {
			t.Errorf("reason %v", reason)
		}
	})
}

func TestThousandTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.cfg.Resources = "cpus:1000;mem:100000;disk:0;ports:[31000-32000]"
		r.ready()
		defer r.end()
		var tasks []*mesos.TaskInfo
		for i := range 1000 {
			tasks = append(tasks, command(fmt.Sprintf("t%d", i)))
		}
		r.launch(frameworkInfo(), tasks...)
		if n := len(r.driver.Running()); n != 1000 {
			t.Fatalf("%d run", n)
		}
		for _, id := range r.driver.Running() {
			if err := r.driver.Exit(id, isolate.Exit{}); err != nil {
				t.Fatal(err)
			}
		}
		r.settle()
		if n := r.agent.State().Counts.Updates[finished]; n != 1000 {
			t.Errorf("%d finished", n)
		}
		if ids, _ := r.driver.List(); len(ids) != 0 {
			t.Errorf("%d containers are left", len(ids))
		}
	})
}

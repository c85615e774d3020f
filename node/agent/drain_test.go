package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/protocol"
)

const (
	goneByOperator = mesos.TaskState_TASK_GONE_BY_OPERATOR
	drainingReason = mesos.TaskStatus_REASON_AGENT_DRAINING
)

func (r *rig) drain(most time.Duration, gone bool) {
	r.t.Helper()
	config := &mesos.DrainConfig{MarkGone: proto.Bool(gone)}
	if most > 0 {
		config.MaxGracePeriod = &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(most))}
	}
	r.say(&protocol.MasterToAgent{Message: &protocol.MasterToAgent_Drain{Drain: &protocol.Drain{Config: config}}})
	r.settle()
}

func TestDrainingEndsAllTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.launch(frameworkInfo(mesos.FrameworkInfo_Capability_TASK_KILLING_STATE), command("t1"))
		r.drain(0, false)
		r.wantStates("t1", begins, runs, killing, wasKilled)
		for _, s := range r.leader.statuses("t1")[2:] {
			if s.GetReason() != drainingReason {
				t.Errorf("%s has reason %s", s.GetState(), s.GetReason())
			}
		}
		if s := r.agent.State(); s.Drain != nil || len(s.Tasks) != 0 {
			t.Errorf("it still drains: %+v", s)
		}
	})
}

func TestDrainingToBeGoneSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		aware := frameworkInfo(mesos.FrameworkInfo_Capability_TASK_KILLING_STATE, mesos.FrameworkInfo_Capability_PARTITION_AWARE)
		r.launch(aware, command("t1"))
		r.drain(0, true)
		r.wantStates("t1", begins, runs, killing, goneByOperator)
		if reason := r.last("t1").GetReason(); reason != drainingReason {
			t.Errorf("reason %s", reason)
		}
		r.launch(frameworkInfo(), command("t2"))
		r.drain(0, true)
		r.wantStates("t2", begins, runs, wasKilled) // it does not know the other state
	})
}

func TestDrainingBoundsTheGracePeriod(t *testing.T) {
	for _, c := range []struct {
		name  string
		of    *mesos.KillPolicy // the task's
		most  time.Duration     // 0: no bound
		after time.Duration     // when SIGKILL is sent
	}{
		{"neither", nil, 0, 3 * time.Second},
		{"the task's alone", policy(20 * time.Second), 0, 20 * time.Second},
		{"the bound alone", nil, 10 * time.Second, 10 * time.Second},
		{"the task's below the bound", policy(5 * time.Second), 10 * time.Second, 5 * time.Second},
		{"the task's above the bound", policy(20 * time.Second), 10 * time.Second, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, stubborn).ready()
				defer r.end()
				info := command("t1")
				info.KillPolicy = c.of
				r.launch(frameworkInfo(), info)
				r.drain(c.most, false)
				time.Sleep(c.after - time.Millisecond)
				r.settle()
				r.wantStates("t1", begins, runs)
				time.Sleep(2 * time.Millisecond)
				r.settle()
				r.wantStates("t1", begins, runs, wasKilled)
			})
		})
	}
}

func TestADrainingAgentTakesUpNoTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stubborn).ready()
		defer r.end()
		r.launch(frameworkInfo(), command("t1"))
		r.drain(time.Minute, false)
		aware := frameworkInfo(mesos.FrameworkInfo_Capability_PARTITION_AWARE)
		r.launch(aware, command("t2"))
		r.wantStates("t2", mesos.TaskState_TASK_DROPPED)
		if s := r.last("t2"); s.GetReason() != drainingReason || s.GetMessage() != "Task was received while agent was already draining" {
			t.Errorf("refused with %v", s)
		}
		time.Sleep(time.Minute)
		r.settle()
		r.launch(aware, command("t3"))
		r.wantStates("t3", begins, runs)
	})
}

func TestDrainingEndsWithTheLastAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.launch(frameworkInfo(), command("t1"))
		r.leader.acks = false
		r.drain(0, false)
		if s := r.agent.State(); s.Drain == nil || s.DrainStart.IsZero() || len(s.Tasks) != 1 {
			t.Errorf("it does not drain: %+v", s)
		}
		r.leader.acks = true
		time.Sleep(r.agent.cfg.RetryMin)
		r.settle()
		if s := r.agent.State(); s.Drain != nil || len(s.Tasks) != 0 {
			t.Errorf("it still drains: %+v", s)
		}
	})
}

func TestDrainingSurvivesTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stubborn).ready()
		defer func() { r.end() }()
		aware := frameworkInfo(mesos.FrameworkInfo_Capability_PARTITION_AWARE)
		r.launch(aware, command("t1"))
		r.drain(time.Minute, true)
		began := r.agent.State().DrainStart
		time.Sleep(20 * time.Second)
		r.kill()
		r.ready()
		if s := r.agent.State(); !s.Drain.GetMarkGone() || !s.DrainStart.Equal(began) {
			t.Errorf("it no longer drains: %+v", s)
		}
		r.launch(aware, command("t2"))
		r.wantStates("t2", mesos.TaskState_TASK_DROPPED)
		r.drain(time.Minute, true) // told again at the registration
		time.Sleep(40*time.Second - time.Millisecond)
		r.settle()
		r.wantStates("t1", begins, runs)
		time.Sleep(2 * time.Millisecond)
		r.settle()
		r.wantStates("t1", begins, runs, goneByOperator)
	})
}

func TestAnEmptyAgentHasNothingToDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.drain(0, false)
		if s := r.agent.State(); s.Drain != nil {
			t.Errorf("it drains: %+v", s)
		}
		r.launch(frameworkInfo(), command("t1"))
		r.wantStates("t1", begins, runs)
	})
}

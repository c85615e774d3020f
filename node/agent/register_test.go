package agent

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/protocol"
)

func TestRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer func() { r.end() }()
		m := r.leader.registers()[0]
		if m.GetAgent().GetId() != nil || m.GetAgent().GetHostname() != "host" || m.GetHttpAddress() != "10.0.0.7:5051" ||
			m.GetVersion() != "1.2.3" || m.GetIncarnation() == "" || len(m.GetCapabilities()) == 0 {
			t.Errorf("register %v", m)
		}
		if len(m.GetAgent().GetResources()) != 4 || m.GetAgent().GetAttributes()[0].GetText().GetValue() != "a" {
			t.Errorf("agent %v", m.GetAgent())
		}
		if s := r.agent.State(); !s.Registered || s.Agent.GetId().GetValue() != "S0" || s.Term != 1 {
			t.Errorf("state %+v", s)
		}
		r.leader.acks = false
		r.launch(frameworkInfo(), command("t1"))
		r.kill()
		r.ready()
		again := r.leader.registers()[1]
		if again.GetAgent().GetId().GetValue() != "S0" || again.GetIncarnation() == m.GetIncarnation() {
			t.Errorf("registered again as %v", again)
		}
		if len(again.GetTasks()) != 1 || len(again.GetFrameworks()) != 1 {
			t.Fatalf("tasks %v, frameworks %v", again.GetTasks(), again.GetFrameworks())
		}
		task := again.GetTasks()[0]
		if task.GetState() != runs || len(task.GetStatuses()) != 2 || task.GetStatusUpdateState() != begins ||
			string(task.GetStatusUpdateUuid()) != string(task.GetStatuses()[0].GetUuid()) {
			t.Errorf("task %v", task)
		}
	})
}

func TestHeartbeatsGoOutWhileRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.start(0)
		defer r.end()
		beats := func() (n int) {
			r.leader.mu.Lock()
			defer r.leader.mu.Unlock()
			for _, m := range r.leader.heard {
				if m.GetHeartbeat() != nil {
					n++
				}
			}
			return n
		}
		r.agent.Connected(1)
		registered := &protocol.MasterToAgent{Message: &protocol.MasterToAgent_Registered{Registered: &protocol.Registered{
			AgentId: &mesos.AgentID{Value: proto.String("S0")}, HeartbeatIntervalSeconds: proto.Float64(15)}}}
		r.say(registered)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if n := beats(); n != 4 {
			t.Errorf("%d heartbeats in a minute", n)
		}
		r.agent.Disconnected()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := beats(); n != 4 {
			t.Errorf("%d heartbeats without a link", n-4)
		}
	})
}

func TestDeposedLeadersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer func() { r.end() }()
		old := &protocol.MasterToAgent{Term: proto.Uint64(6), Message: &protocol.MasterToAgent_RunTask{RunTask: &protocol.RunTask{
			Framework: frameworkInfo(), Tasks: []*mesos.TaskInfo{command("t1")}}}}
		r.agent.Disconnected()
		r.leader.term = 7
		r.connect()
		if err := r.agent.Receive(old); !errors.Is(err, ErrStaleTerm) {
			t.Errorf("a lower term: %v", err)
		}
		r.kill()
		r.start(0)
		if err := r.agent.Receive(old); !errors.Is(err, ErrStaleTerm) {
			t.Errorf("a lower term after a restart: %v", err)
		}
		n := len(r.leader.registers())
		r.agent.Connected(6)
		r.settle()
		if len(r.leader.registers()) != n {
			t.Error("registered with a leader of a past term")
		}
		if len(r.driver.Running()) != 0 {
			t.Error("a deposed leader launched a task")
		}
	})
}

func TestRefusalIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.leader.refuses = "wrong"
		r.ready()
		defer r.end()
		if s := r.agent.State(); s.Registered || s.Refused != "go away" {
			t.Errorf("state %+v", s)
		}
		r.agent.Disconnected()
		r.leader.refuses = ""
		r.connect()
		if s := r.agent.State(); !s.Registered || s.Refused != "" {
			t.Errorf("state %+v", s)
		}
	})
}

func TestGoneAgentEndsItsTasksAndComesBackAsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stubborn).ready()
		defer func() { r.end() }()
		r.launch(frameworkInfo(), command("t1"))
		r.agent.Disconnected()
		r.leader.gone = true
		r.connect()
		if len(r.driver.Running()) != 1 {
			t.Fatal("no grace period")
		}
		if n := len(r.leader.registers()); n != 2 {
			t.Errorf("registered %d times while tasks ran", n)
		}
		time.Sleep(4 * time.Second)
		r.settle()
		if ids, _ := r.driver.List(); len(ids) != 0 {
			t.Errorf("containers %v", ids)
		}
		all := r.leader.registers()
		if last := all[len(all)-1]; last.GetAgent().GetId() != nil || len(last.GetTasks()) != 0 {
			t.Errorf("came back as %v", last)
		}
		if id := r.agent.State().Agent.GetId().GetValue(); id != "S1" {
			t.Errorf("is %s", id)
		}
		r.kill()
		r.leader.gone = false
		r.ready()
		if id := r.agent.State().Agent.GetId().GetValue(); id != "S1" {
			t.Errorf("is %s after a restart", id)
		}
	})
}

package offers

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// update takes in a status update of an agent: it goes to the framework, which
// acknowledges it, and the task is as its latest state says. An update that finds
// no stream is dropped: its agent repeats it.
// Mesos: src/master/master.cpp, Master::statusUpdate.
func (m *Master) update(a *agent, msg *protocol.Update) {
	s := msg.GetStatus()
	if s.GetTaskId().GetValue() == "" {
		return
	}
	fid := msg.GetFrameworkId().GetValue()
	t := a.tasks.get(taskKey{fid, s.GetTaskId().GetValue()})
	f := m.frameworks[fid]
	if f == nil {
		if m.wasRemoved(fid) {
			m.shutdownFramework(a, fid)
		}
		return
	}
	s = m.complete(s, a, t)
	latest := s.GetState()
	if msg.LatestState != nil {
		latest = msg.GetLatestState()
	}
	if t != nil && t.duplicate {
		m.updateDuplicate(a, t, s, latest)
		return
	}
	if f.begun() {
		if t != nil && len(s.GetUuid()) > 0 {
			t.setSeen(s)
		}
		m.tell(f, s)
	}
	if t != nil {
		m.setState(t, s, latest)
	}
}

// updateDuplicate deals with a task that runs on another agent too: the framework
// hears of the other one only.
func (m *Master) updateDuplicate(a *agent, t *task, s *mesos.TaskStatus, latest mesos.TaskState) {
	m.setState(t, s, latest)
	if len(s.GetUuid()) > 0 {
		m.sendAcknowledgement(a, t.framework, t.id, s.GetUuid())
	}
	if s.GetState().Terminal() {
		m.removeTask(t)
	}
}

// complete fills in what a status has to say and its agent has left out.
func (m *Master) complete(s *mesos.TaskStatus, a *agent, t *task) *mesos.TaskStatus {
	needExecutor := s.ExecutorId == nil && t != nil && t.executorID != ""
	badUUID := s.Uuid != nil && validateUUID(s.Uuid) != nil
	if s.AgentId != nil && s.Timestamp != nil && s.State != nil && !needExecutor && !badUUID {
		return s
	}
	s = copyStatus(s)
	if badUUID {
		s.Uuid = nil // a framework acknowledges what has one, and it could not be passed on
	}
	if s.State == nil {
		s.State = mesos.TaskState_TASK_UNKNOWN.Enum()
	}
	if s.AgentId == nil {
		s.AgentId = a.info.GetId()
	}
	if s.Timestamp == nil {
		s.Timestamp = proto.Float64(seconds(m.now))
	}
	if needExecutor {
		s.ExecutorId = executorID(t.executorID)
	}
	return s
}

// acknowledge passes on that a framework has taken in a status. A terminal one
// acknowledged is the end of its task.
// Mesos: src/master/master.cpp, Master::acknowledge.
func (m *Master) acknowledge(f *framework, call *scheduler.Call_Acknowledge) {
	a := m.agents[call.GetAgentId().GetValue()]
	if a == nil || a.link == nil {
		return
	}
	id := call.GetTaskId().GetValue()
	if t := a.tasks.get(taskKey{f.id, id}); t != nil && !t.duplicate {
		if t.msg.StatusUpdateState == nil {
			return // this leader has sent no update of it
		}
		if t.msg.GetStatusUpdateState().Terminal() && string(t.msg.GetStatusUpdateUuid()) == string(call.GetUuid()) {
			m.removeTask(t)
			f.done.add(id)
		}
	}
	m.sendAcknowledgement(a, f.id, id, call.GetUuid())
}

func (m *Master) sendAcknowledgement(a *agent, framework, task string, uuid []byte) {
	m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_Acknowledge{Acknowledge: &protocol.Acknowledge{
		FrameworkId: frameworkID(framework), TaskId: taskID(task), Uuid: uuid,
	}}})
}

// frameworkMessage passes a message to an executor, if its agent is there.
func (m *Master) frameworkMessage(f *framework, call *scheduler.Call_Message) {
	if a := m.agents[call.GetAgentId().GetValue()]; a != nil {
		m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_FrameworkMessage{
			FrameworkMessage: &protocol.FrameworkMessage{
				FrameworkId: f.info.GetId(), ExecutorId: call.GetExecutorId(), Data: call.GetData(),
			},
		}})
	}
}

// executorMessage passes a message to a framework, if it is there.
func (m *Master) executorMessage(a *agent, msg *protocol.ExecutorMessage) {
	f := m.frameworks[msg.GetFrameworkId().GetValue()]
	if f == nil {
		return
	}
	data := msg.GetData()
	if data == nil {
		data = []byte{}
	}
	m.event(f, &scheduler.Event{
		Type: scheduler.Event_MESSAGE.Enum(),
		Message: &scheduler.Event_Message{
			AgentId: a.info.GetId(), ExecutorId: executorID(msg.GetExecutorId().GetValue()), Data: data,
		},
	})
}

// executorExited takes in the end of an executor and tells its framework.
func (m *Master) executorExited(a *agent, msg *protocol.ExecutorExited) {
	fid, id := msg.GetFrameworkId().GetValue(), msg.GetExecutorId().GetValue()
	if !m.removeExecutor(a, fid, id) {
		return
	}
	if f := m.frameworks[fid]; f != nil {
		m.event(f, &scheduler.Event{
			Type: scheduler.Event_FAILURE.Enum(),
			Failure: &scheduler.Event_Failure{
				AgentId: a.info.GetId(), ExecutorId: executorID(id), Status: proto.Int32(msg.GetStatus()),
			},
		})
	}
}

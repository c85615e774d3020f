package offers

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// status makes a status of the master's own: it has no UUID, for nobody repeats it
// until it is acknowledged. An empty agent or executor stays unset.
func (m *Master) status(task, agent, executor string, s mesos.TaskState, r mesos.TaskStatus_Reason, text string) *mesos.TaskStatus {
	st := &mesos.TaskStatus{
		TaskId:    taskID(task),
		State:     s.Enum(),
		Message:   proto.String(clip(text)),
		Source:    mesos.TaskStatus_SOURCE_MASTER.Enum(),
		Reason:    r.Enum(),
		Timestamp: proto.Float64(seconds(m.now)),
	}
	if agent != "" {
		st.AgentId = agentID(agent)
	}
	if executor != "" {
		st.ExecutorId = executorID(executor)
	}
	return st
}

// maxText bounds what is said of one task or operation, in bytes: a text may quote what
// a framework sent, and be that of each of thousands of tasks.
const maxText = 4096

func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "..."
}

// tell sends a framework a status.
func (m *Master) tell(f *framework, s *mesos.TaskStatus) {
	m.event(f, &scheduler.Event{
		Type: scheduler.Event_UPDATE.Enum(), Update: &scheduler.Event_Update{Status: f.readsStatus(s)},
	})
	m.answered(f, s.GetTaskId().GetValue())
}

// copyStatus returns a status that may be changed; what it refers to is shared.
func copyStatus(s *mesos.TaskStatus) *mesos.TaskStatus {
	return &mesos.TaskStatus{
		TaskId: s.TaskId, State: s.State, Message: s.Message, Source: s.Source, Reason: s.Reason, Data: s.Data,
		AgentId: s.AgentId, ExecutorId: s.ExecutorId, Timestamp: s.Timestamp, Uuid: s.Uuid, Healthy: s.Healthy,
		CheckStatus: s.CheckStatus, Labels: s.Labels, ContainerStatus: s.ContainerStatus,
		UnreachableTime: s.UnreachableTime, Limitation: s.Limitation,
	}
}

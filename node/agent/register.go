package agent

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/protocol"
)

// The leader says how often it wants to hear of the agent, between these, in seconds.
const minHeartbeat, maxHeartbeat = 0.1, 3600.

// link is what the agent knows of its link to the leader.
type link struct {
	up         bool
	registered bool
	serial     uint64 // of the link: timers of earlier ones do nothing
	refused    string // why the leader did not want us
}

func (a *Agent) connected() {
	a.saveTerm()
	a.link = link{up: true, serial: a.link.serial + 1}
	if !a.purging {
		a.register()
	}
	a.board.linked(a.link, a.info())
}

func (a *Agent) disconnected() {
	a.link.up, a.link.registered = false, false
	a.link.serial++
	a.board.linked(a.link, a.info())
}

// register announces the agent with all it holds.
func (a *Agent) register() {
	m := &protocol.Register{
		Agent:          a.info(),
		Version:        &a.cfg.Version,
		Capabilities:   capabilities(),
		Incarnation:    &a.incarnation,
		HttpAddress:    proto.String(net.JoinHostPort(a.cfg.IP, strconv.Itoa(a.cfg.Port))),
		Oversubscribed: a.pool.Proto(),
	}
	m.Operations = a.operationMessages()
	told := make(map[string]bool)
	for _, t := range a.sorted() {
		m.Tasks = append(m.Tasks, a.taskProto(t))
		if !told[t.framework.id] {
			told[t.framework.id] = true
			m.Frameworks = append(m.Frameworks, t.framework.info)
		}
	}
	for _, t := range a.board.ended() {
		m.Ended = append(m.Ended, &protocol.Reconcile_Task{FrameworkId: t.Framework.GetId(), TaskId: t.Task.GetTaskId()})
	}
	a.send(&protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{Register: m}})
}

// info describes the agent as offers tell it.
func (a *Agent) info() *mesos.AgentInfo {
	info := &mesos.AgentInfo{
		Hostname:   proto.String(a.cfg.Hostname),
		Port:       proto.Int32(int32(a.cfg.Port)),
		Resources:  a.settled.Proto(),
		Attributes: a.attributes,
		Domain:     a.cfg.Domain,
	}
	if a.id != "" {
		info.Id = &mesos.AgentID{Value: proto.String(a.id)}
	}
	return info
}

func capabilities() []*mesos.AgentInfo_Capability {
	var cs []*mesos.AgentInfo_Capability
	for _, c := range []mesos.AgentInfo_Capability_Type{
		mesos.AgentInfo_Capability_MULTI_ROLE, mesos.AgentInfo_Capability_HIERARCHICAL_ROLE,
		mesos.AgentInfo_Capability_RESERVATION_REFINEMENT, mesos.AgentInfo_Capability_TASK_RESOURCE_LIMITS, mesos.AgentInfo_Capability_AGENT_DRAINING,
		mesos.AgentInfo_Capability_RESIZE_VOLUME, mesos.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK,
		// There is none; but clients look for it before they ask for feedback, as Mesos does.
		mesos.AgentInfo_Capability_RESOURCE_PROVIDER,
	} {
		cs = append(cs, &mesos.AgentInfo_Capability{Type: c.Enum()})
	}
	return cs
}

// registered begins the exchange on this link: whatever the framework has not
// acknowledged is sent again at once.
func (a *Agent) registered(m *protocol.Registered) {
	if a.purging || !a.link.up {
		return
	}
	id := m.GetAgentId().GetValue()
	if !fileName(id) {
		a.log.Error("leader gave the agent an ID that it cannot bear", "agent_id", id)
		return
	}
	if id != a.id {
		if a.id != "" {
			a.log.Warn("leader gave the agent another ID", "agent_id", id, "before", a.id)
		}
		a.id = id
		a.saveAgent()
	}
	first := !a.link.registered
	a.link.registered = true
	a.log.Info("registered", "agent_id", a.id, "term", a.savedTerm, "tasks", len(a.tasks))
	a.board.linked(a.link, a.info())
	if first {
		// Bounded both ways, so that no figure makes the agent busy or mute.
		every := min(m.GetHeartbeatIntervalSeconds(), maxHeartbeat)
		if !(every >= minHeartbeat) { // not a number is neither
			every = minHeartbeat
		}
		a.heartbeat(time.Duration(every*float64(time.Second)), a.link.serial)
	}
	for _, t := range a.sorted() {
		a.resend(t)
	}
	for _, o := range a.sortedOperations() {
		o.sending.delay = 0
		a.deliverOperation(o)
	}
}

// heartbeat tells the leader regularly that the agent lives.
func (a *Agent) heartbeat(every time.Duration, serial uint64) {
	a.after(every, func() {
		if a.link.serial != serial {
			return
		}
		a.send(&protocol.AgentToMaster{Message: &protocol.AgentToMaster_Heartbeat{Heartbeat: &protocol.Heartbeat{}}})
		a.heartbeat(every, serial)
	})
}

// refused: the leader does not want this agent, for now or ever.
func (a *Agent) refused(m *protocol.Refused) {
	a.link.registered = false
	a.link.refused = m.GetMessage()
	if !m.GetGone() {
		a.log.Error("leader refused this agent", "agent_id", a.id, "err", m.GetMessage())
		a.board.linked(a.link, a.info())
		return
	}
	a.log.Error("this agent was marked gone: its tasks are ended and its ID is forgotten", "agent_id", a.id, "err", m.GetMessage())
	a.board.linked(a.link, a.info())
	a.purging = true
	for _, t := range a.sorted() {
		a.kill(t, kill{grace: a.cfg.KillGrace})
	}
	a.settle()
	a.purged()
}

// purged forgets the agent's ID when its last task has ended.
func (a *Agent) purged() {
	if !a.purging || len(a.tasks) > 0 {
		return
	}
	a.purging = false
	a.disownOperations()
	a.id = ""
	a.setDrain(nil)
	a.saveAgent()
	if a.link.up {
		a.register()
	}
}

// send hands m to the link. What is not taken is said again after the next registration.
func (a *Agent) send(m *protocol.AgentToMaster) bool {
	if !a.link.up {
		return false
	}
	if err := a.uplink.Send(m); err != nil {
		a.log.Debug("message not taken by the link", "type", fmt.Sprintf("%T", m.GetMessage()), "err", err)
		return false
	}
	return true
}

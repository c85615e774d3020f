package offers

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// session is one framework's event stream, carried by a gateway. It outlives its
// gateway's link for a while: the gateway announces it again.
type session struct {
	id        string
	framework *framework
	link      *link  // nil while its gateway is away
	grace     *timer // armed while its gateway is away
	begun     bool   // the registry has it: its calls are served
	outbox    []*scheduler.Event
	missed    bool // more was to be kept than may be: it ends at the next Tick
}

// openSession gives a framework a session that comes in over a link.
func (m *Master) openSession(l *link, id string, f *framework) *session {
	s := &session{id: id, framework: f, link: l}
	m.sessions[id] = s
	l.sessions[id] = s
	f.session = s
	return s
}

// send gives an event to a session, or keeps it until the session has begun and
// its gateway is there.
func (m *Master) send(s *session, e *scheduler.Event) {
	switch {
	case s.missed:
	case s.link != nil && s.begun:
		m.toSession(s.link.id, s.id, e)
	case len(s.outbox) < m.cfg.MaxOutbox:
		s.outbox = append(s.outbox, e)
	default:
		m.overflow(s)
	}
}

// overflow ends a session that cannot be told everything (I6): its framework
// subscribes anew and reconciles, instead of waiting for what is not coming. It ends
// at the next Tick, for whoever sends may be in the midst of its framework's tasks.
func (m *Master) overflow(s *session) {
	s.missed, s.outbox = true, nil
	m.timers.set(m.now, func() {
		if m.sessions[s.id] != s {
			return
		}
		s.framework.missed = s.id
		if s.link != nil {
			m.closeStream(s.link.id, s.id)
		}
		m.sessionLost(s)
	})
}

func (m *Master) toSession(l Link, session string, e *scheduler.Event) {
	m.toGateway(l, &protocol.MasterToGateway{Message: &protocol.MasterToGateway_Event{
		Event: &protocol.Event{SessionId: proto.String(session), Event: e},
	}})
}

// closeSession forgets a session and tells its gateway that the stream ends.
func (m *Master) closeSession(s *session) {
	if s.link != nil {
		m.closeStream(s.link.id, s.id)
	}
	m.forgetSession(s)
}

func (m *Master) closeStream(l Link, session string) {
	m.toGateway(l, &protocol.MasterToGateway{Message: &protocol.MasterToGateway_Closed{
		Closed: &protocol.Closed{SessionId: proto.String(session)},
	}})
}

// refuseStream ends a stream that is no session, with the reason as its last event.
func (m *Master) refuseStream(l *link, session, reason string) {
	m.toSession(l.id, session, errorEvent(reason))
	m.closeStream(l.id, session)
}

func errorEvent(message string) *scheduler.Event {
	return &scheduler.Event{
		Type:  scheduler.Event_ERROR.Enum(),
		Error: &scheduler.Event_Error{Message: proto.String(message)},
	}
}

func (m *Master) forgetSession(s *session) {
	m.timers.stop(s.grace)
	s.grace = nil
	if m.sessions[s.id] == s {
		delete(m.sessions, s.id)
	}
	if s.link != nil {
		delete(s.link.sessions, s.id)
		s.link = nil
	}
	if s.framework.session == s {
		s.framework.session = nil
		m.dirty.framework(s.framework)
	}
}

// sessionAway keeps a session whose gateway's link broke: its framework is offered
// nothing, and gone if the gateway does not come back in time.
func (m *Master) sessionAway(s *session) {
	m.timers.stop(s.grace)
	if s.link != nil {
		delete(s.link.sessions, s.id)
		s.link = nil
	}
	s.grace = m.timers.set(m.now.Add(m.cfg.GatewayGrace), func() { m.sessionLost(s) })
	m.deactivate(s.framework)
}

// sessionBack takes a session up again over a link, and tells it what it missed.
func (m *Master) sessionBack(s *session, l *link) {
	m.timers.stop(s.grace)
	s.grace = nil
	if s.link != nil {
		delete(s.link.sessions, s.id)
	}
	s.link = l
	l.sessions[s.id] = s
	m.flush(s)
	m.activate(s.framework)
}

// flush sends what a session could not be sent before.
func (m *Master) flush(s *session) {
	missed := s.outbox
	s.outbox = nil
	for _, e := range missed {
		m.send(s, e)
	}
}

// closed takes in that a stream has ended at its gateway.
func (m *Master) closed(id string) {
	if s := m.sessions[id]; s != nil {
		m.sessionLost(s)
	}
}

// sessionLost gives a session up; its framework may come back until its failover
// timeout is over.
func (m *Master) sessionLost(s *session) {
	f := s.framework
	m.forgetSession(s)
	if f.admitted {
		m.disconnected(f)
	}
}

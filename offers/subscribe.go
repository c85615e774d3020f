package offers

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/registry"
)

// subscribe takes in a SUBSCRIBE call or a session announced again. What is wrong
// with a call is told as an ERROR event that ends its stream: its HTTP answer is
// already on the way.
func (m *Master) subscribe(l *link, msg *protocol.Subscribe) {
	id := msg.GetSessionId()
	if id == "" {
		m.refuseStream(l, id, "Expecting 'session_id' to be present")
		return
	}
	if s := m.sessions[id]; s != nil {
		m.sessionBack(s, l)
		m.demand(s.framework, msg.GetRequests())
		m.resumed(s.framework)
		return
	}
	if msg.GetResume() {
		m.resume(l, msg)
		return
	}
	err := ValidateCall(msg.GetCall())
	if err == nil && msg.GetCall().GetType() != scheduler.Call_SUBSCRIBE {
		err = answer("Expecting 'type' to be SUBSCRIBE")
	}
	if err != nil {
		m.refuseStream(l, id, "Failed to validate scheduler::Call: "+err.Error())
		return
	}
	call := msg.GetCall().GetSubscribe()
	info, wishes, err := m.subscription(msg, call)
	if err != nil {
		m.refuseStream(l, id, err.Error())
		return
	}
	if info.GetId().GetValue() == "" {
		if f := m.expected(id); f != nil { // admitted by a leader that could not say so any more
			m.resubscribe(l, id, f, withID(info, f.id), wishes)
			return
		}
		m.admit(l, id, withID(info, m.newFrameworkID()), wishes)
		return
	}
	if f := m.frameworks[info.GetId().GetValue()]; f != nil {
		m.resubscribe(l, id, f, info, wishes)
		return
	}
	m.admit(l, id, info, wishes)
}

// subscription checks what a framework says of itself and wants.
func (m *Master) subscription(msg *protocol.Subscribe, call *scheduler.Call_Subscribe) (*mesos.FrameworkInfo, wishes, error) {
	info := call.GetFrameworkInfo()
	if p := msg.GetPrincipal(); p != "" {
		if info.Principal == nil {
			info = copyFrameworkInfo(info)
			info.Principal = proto.String(p)
		} else if info.GetPrincipal() != p {
			return nil, wishes{}, answerf("Authenticated principal '%s' does not match principal '%s' set in `FrameworkInfo`",
				p, info.GetPrincipal())
		}
	}
	if err := m.validateFramework(info); err != nil {
		return nil, wishes{}, err
	}
	w, err := m.wishesOf(info, call.GetSuppressedRoles(), call.GetOfferConstraints())
	return info, w, err
}

// expected returns the framework that the registry says has this session.
func (m *Master) expected(session string) *framework {
	var first *framework // two may have had one, one after the other
	for f := range m.expecting[session] {
		if f.session == nil && f.recovered && (first == nil || f.id < first.id) {
			first = f
		}
	}
	return first
}

// newFrameworkID returns an ID that nobody has: frameworks may bring IDs of their own.
func (m *Master) newFrameworkID() string {
	for {
		id := fmt.Sprintf("%s-%04d", m.cfg.MasterID, m.lastFramework)
		m.lastFramework++
		if m.frameworks[id] == nil && !m.wasRemoved(id) {
			return id
		}
	}
}

// admit brings in a framework that is not known. It hears SUBSCRIBED when the
// registry has it.
func (m *Master) admit(l *link, session string, info *mesos.FrameworkInfo, w wishes) {
	f := m.addFramework(info)
	f.wishes = w
	m.openSession(l, session, f)
	m.proposeAdmission(f, session, true)
}

// proposeAdmission has the registry take in a framework; then its session begins,
// with SUBSCRIBED unless its stream had that from an earlier leader.
func (m *Master) proposeAdmission(f *framework, session string, greet bool) {
	m.propose(admitFramework(f.info, session), func(err error) {
		if err != nil {
			// The stream ends without an ERROR: the framework may try again.
			delete(m.frameworks, f.id)
			m.refuseHeld(f)
			if f.session != nil {
				m.closeSession(f.session)
			}
			return
		}
		f.admitted = true
		f.registered = m.now
		m.allocator.AddFramework(m.now, f.id, f.options())
		m.demand(f, f.requests)
		m.dirty.framework(f)
		if f.session == nil {
			m.disconnected(f)
			return
		}
		if f.session.id != session { // failed over while it was admitted
			m.remember(f)
			m.proposeConnected(f, f.session, true)
			return
		}
		m.begin(f, greet)
	})
}

// resubscribe connects a known framework to a new stream. The old one, if any,
// ends; offers are taken back without a word.
func (m *Master) resubscribe(l *link, session string, f *framework, info *mesos.FrameworkInfo, w wishes) {
	info = preserveImmutable(f.info, info)
	if err := validateUpdate(f.info, info); err != nil {
		m.refuseStream(l, session, err.Error())
		return
	}
	if old := f.session; old != nil {
		if old.link != nil {
			m.toSession(old.link.id, old.id, errorEvent("Framework failed over"))
		}
		m.closeSession(old)
	}
	m.timers.stop(f.deadline)
	f.deadline = nil
	for _, o := range f.sortedOffers() {
		m.discard(o, nil)
	}
	for _, o := range m.inverseTo(f) {
		m.takeInverse(o)
	}
	if !f.admitted { // still on its way into the registry: the new stream waits with it
		f.set(info)
		f.wishes = w
		m.openSession(l, session, f)
		return
	}
	m.updateFramework(f, info, w)
	m.demand(f, nil)
	m.remember(f)
	s := m.openSession(l, session, f)
	m.proposeConnected(f, s, true)
}

// remember has the registry note what a framework says of itself, if it has changed.
func (m *Master) remember(f *framework) {
	if !proto.Equal(m.facts.Framework(f.id).GetInfo(), f.info) {
		m.proposeSurely(updateFramework(f.info), func() {})
	}
}

func updateFramework(info *mesos.FrameworkInfo) *registry.Op {
	return &registry.Op{Op: &registry.Op_UpdateFramework{UpdateFramework: &registry.UpdateFramework{Framework: info}}}
}

// proposeConnected has the registry note which stream a framework has; then the
// session begins.
func (m *Master) proposeConnected(f *framework, s *session, greet bool) {
	op := &registry.Op{Op: &registry.Op_FrameworkConnected{FrameworkConnected: &registry.FrameworkConnected{
		FrameworkId: f.info.GetId(), SessionId: proto.String(s.id),
	}}}
	m.propose(op, func(err error) {
		if f.session != s || m.frameworks[f.id] != f {
			return
		}
		if err != nil {
			m.closeSession(s)
			m.disconnected(f)
			return
		}
		if !f.recovered {
			f.reregistered = m.now
		}
		m.begin(f, greet)
	})
}

// begin starts a session that the registry knows of.
func (m *Master) begin(f *framework, greet bool) {
	s := f.session
	m.expecting.remove(f.expected, f)
	f.recovered, f.awaited, f.expected = false, false, s.id
	waiting := s.outbox
	s.begun, s.outbox = true, nil
	if greet {
		m.send(s, &scheduler.Event{
			Type: scheduler.Event_SUBSCRIBED.Enum(),
			Subscribed: &scheduler.Event_Subscribed{
				FrameworkId: f.info.GetId(), MasterInfo: m.info,
				HeartbeatIntervalSeconds: proto.Float64(m.cfg.HeartbeatInterval.Seconds()),
			},
		})
	}
	for _, e := range waiting {
		m.send(s, e)
	}
	m.dirty.framework(f)
	m.activate(f)
	m.resumed(f)
	m.tellAgents(f)
}

// resume connects a framework to a stream that an earlier leader, or this one
// before a link broke, has answered.
func (m *Master) resume(l *link, msg *protocol.Subscribe) {
	call := msg.GetCall().GetSubscribe()
	info := call.GetFrameworkInfo()
	id := info.GetId().GetValue()
	if id == "" {
		id = msg.GetCall().GetFrameworkId().GetValue()
	}
	f := m.frameworks[id]
	switch {
	case m.wasRemoved(id):
		m.refuseStream(l, msg.GetSessionId(), "Framework has been removed")
		return
	case f == nil:
		m.readmit(l, msg, id)
		return
	case f.missed == msg.GetSessionId():
		m.closeStream(l.id, f.missed) // without an ERROR, which would end the framework
		return
	case f.session != nil || f.expected != "" && f.expected != msg.GetSessionId():
		m.refuseStream(l, msg.GetSessionId(), "Framework failed over")
		return
	}
	w, err := m.wish(call.GetSuppressedRoles(), call.GetOfferConstraints())
	if err != nil { // this leader allows less than the one before
		m.refuseStream(l, msg.GetSessionId(), err.Error())
		return
	}
	m.timers.stop(f.deadline)
	f.deadline = nil
	s := m.openSession(l, msg.GetSessionId(), f)
	if !f.admitted {
		return
	}
	f.wishes = w
	m.allocator.UpdateFramework(m.now, f.id, f.options())
	m.demand(f, msg.GetRequests())
	stored := m.facts.Framework(f.id)
	if stored.GetSessionId() == s.id && stored.Deadline == nil {
		m.begin(f, false)
		return
	}
	m.proposeConnected(f, s, false)
}

// readmit takes in a framework whose stream is open although the registry does
// not know it.
func (m *Master) readmit(l *link, msg *protocol.Subscribe, id string) {
	call := msg.GetCall().GetSubscribe()
	info := call.GetFrameworkInfo()
	if info == nil || id == "" {
		m.refuseStream(l, msg.GetSessionId(), "Expecting 'framework_info.id' to be present")
		return
	}
	info = withID(info, id)
	err := m.validateFramework(info)
	var w wishes
	if err == nil {
		w, err = m.wishesOf(info, call.GetSuppressedRoles(), call.GetOfferConstraints())
	}
	if err != nil {
		m.refuseStream(l, msg.GetSessionId(), err.Error())
		return
	}
	f := m.addFramework(info)
	f.wishes, f.requests, f.inherited = w, msg.GetRequests(), true
	m.openSession(l, msg.GetSessionId(), f)
	m.proposeAdmission(f, msg.GetSessionId(), false)
}

// resumed lets what waited for a framework's stream go on.
func (m *Master) resumed(f *framework) {
	if !f.begun() {
		return
	}
	m.answerHeld(f)
	m.answerPending(f)
}

// tellAgents gives the agents that run something of a framework its info. They
// send what it has not acknowledged again.
func (m *Master) tellAgents(f *framework) {
	for _, a := range m.agentsOf(f) {
		m.tellAgent(a, f)
	}
}

func (m *Master) tellAgent(a *agent, f *framework) {
	m.toAgent(a, &protocol.MasterToAgent{Message: &protocol.MasterToAgent_UpdateFramework{
		UpdateFramework: &protocol.UpdateFramework{Framework: f.info},
	}})
}

// updateFramework changes what a framework says of itself. Offers of roles it
// leaves are taken back.
func (m *Master) updateFramework(f *framework, info *mesos.FrameworkInfo, w wishes) {
	f.set(info)
	f.wishes = w
	roles := map[string]bool{}
	for _, r := range f.roles {
		roles[r] = true
	}
	for _, o := range f.sortedOffers() {
		if !roles[o.role] {
			m.rescind(o, nil)
		}
	}
	m.allocator.UpdateFramework(m.now, f.id, f.options())
	m.demandAgain(f)
	m.dirty.framework(f)
}

// withID returns info with its ID set, as a copy when it was not.
func withID(info *mesos.FrameworkInfo, id string) *mesos.FrameworkInfo {
	if info.GetId().GetValue() == id {
		return info
	}
	c := copyFrameworkInfo(info)
	c.Id = frameworkID(id)
	return c
}

// preserveImmutable returns info with what cannot change as it was.
// Mesos: src/master/validation.cpp, preserveImmutableFields.
func preserveImmutable(old, info *mesos.FrameworkInfo) *mesos.FrameworkInfo {
	if info.GetUser() == old.GetUser() && info.GetCheckpoint() == old.GetCheckpoint() {
		return info
	}
	c := copyFrameworkInfo(info)
	c.User, c.Checkpoint = old.User, old.Checkpoint
	return c
}

func copyFrameworkInfo(info *mesos.FrameworkInfo) *mesos.FrameworkInfo {
	return proto.Clone(info).(*mesos.FrameworkInfo)
}

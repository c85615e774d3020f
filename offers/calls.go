package offers

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	answers "muster/offers/mesos/allocator"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// maxHeld bounds the calls that wait for one framework's stream.
const maxHeld = 256

// HTTP statuses of replies.
const (
	statusOK             = 200
	statusAccepted       = 202
	statusBadRequest     = 400
	statusForbidden      = 403
	statusNotFound       = 404
	statusConflict       = 409
	statusTooMany        = 429
	statusNotImplemented = 501
	statusUnavailable    = 503
)

// heldCall waits until its framework's stream is announced again.
type heldCall struct {
	link Link
	msg  *protocol.Call
}

func (m *Master) reply(l Link, id uint64, code uint32, message string) {
	r := &protocol.Reply{CallId: proto.Uint64(id), Code: proto.Uint32(code)}
	if message != "" {
		r.Message = proto.String(message)
	}
	m.toGateway(l, &protocol.MasterToGateway{Message: &protocol.MasterToGateway_Reply{Reply: r}})
}

// refuseNow says that a call may succeed after a while, in whole seconds.
func (m *Master) refuseNow(l Link, id uint64, why string, wait time.Duration) {
	seconds := uint32(math.Ceil(wait.Seconds()))
	m.toGateway(l, &protocol.MasterToGateway{Message: &protocol.MasterToGateway_Reply{Reply: &protocol.Reply{
		CallId: proto.Uint64(id), Code: proto.Uint32(statusTooMany), RetryAfter: proto.Uint32(seconds),
		Message: proto.String(fmt.Sprintf("%s: try again in %d s", why, seconds)),
	}}})
}

// call answers any scheduler call but SUBSCRIBE, with exactly one reply.
// Mesos: src/master/http.cpp, Master::Http::scheduler.
func (m *Master) call(l Link, msg *protocol.Call) {
	refuse := func(code uint32, text string) { m.reply(l, msg.GetCallId(), code, text) }
	call := msg.GetCall()
	if err := ValidateCall(call); err != nil {
		refuse(statusBadRequest, "Failed to validate scheduler::Call: "+err.Error())
		return
	}
	if call.GetType() == scheduler.Call_SUBSCRIBE {
		refuse(statusBadRequest, "Failed to validate scheduler::Call: a SUBSCRIBE call needs a stream of its own")
		return
	}
	f := m.frameworks[call.GetFrameworkId().GetValue()]
	if f == nil {
		refuse(statusBadRequest, "Framework cannot be found")
		return
	}
	if p := msg.GetPrincipal(); p != "" && p != f.info.GetPrincipal() {
		refuse(statusBadRequest, fmt.Sprintf("Authenticated principal '%s' does not match principal '%s' set in `FrameworkInfo`",
			p, f.info.GetPrincipal()))
		return
	}
	if m.hold(f, l, msg) {
		return
	}
	switch {
	case !f.begun():
		refuse(statusForbidden, "Framework is not subscribed")
		return
	case msg.SessionId == nil:
		refuse(statusBadRequest, "All non-subscribe calls should include the 'Mesos-Stream-Id' header")
		return
	case msg.GetSessionId() != f.session.id:
		refuse(statusBadRequest, fmt.Sprintf("The stream ID '%s' included in this request didn't match the stream ID currently "+
			"associated with framework ID %s", msg.GetSessionId(), f.id))
		return
	}
	if text, wait := m.throttle(f, call.GetType()); wait > 0 {
		m.refuseNow(l, msg.GetCallId(), text, wait)
		return
	}
	m.serve(l, msg.GetCallId(), f, call)
}

// hold keeps a call whose stream an earlier leader had answered, and which has not
// begun here: its gateway has not announced it yet, for calls and streams may come
// by different gateways; or it has, and the registry has still to hear of it.
func (m *Master) hold(f *framework, l Link, msg *protocol.Call) bool {
	if msg.SessionId == nil || len(f.held) >= maxHeld {
		return false
	}
	awaited := f.awaited && f.expected == msg.GetSessionId()
	begins := f.session != nil && !f.session.begun && f.session.id == msg.GetSessionId()
	if !awaited && !begins {
		return false
	}
	f.held = append(f.held, heldCall{l, msg})
	m.holding.add(l, f)
	return true
}

// answerHeld serves the calls that waited for a framework's stream.
func (m *Master) answerHeld(f *framework) {
	for _, h := range m.takeHeld(f) {
		m.call(h.link, h.msg)
	}
}

// refuseHeld ends the wait of calls whose stream is not coming back.
func (m *Master) refuseHeld(f *framework) {
	for _, h := range m.takeHeld(f) {
		m.reply(h.link, h.msg.GetCallId(), statusForbidden, "Framework is not subscribed")
	}
}

func (m *Master) takeHeld(f *framework) []heldCall {
	held := f.held
	f.held = nil
	for _, h := range held {
		m.holding.remove(h.link, f)
	}
	return held
}

// dropHeld forgets calls whose gateway is gone: there is nobody to answer.
func (m *Master) dropHeld(l Link) {
	for f := range m.holding[l] {
		var rest []heldCall
		for _, h := range f.held {
			if h.link != l {
				rest = append(rest, h)
			}
		}
		f.held = rest
	}
	delete(m.holding, l)
}

// serve carries out a call that has passed all checks of who may make it.
func (m *Master) serve(l Link, id uint64, f *framework, call *scheduler.Call) {
	switch call.GetType() {
	case scheduler.Call_TEARDOWN:
		m.removeFramework(f, func() { m.reply(l, id, statusAccepted, "") })
		return
	case scheduler.Call_ACCEPT:
		// The reply comes first: a task may be heard of only after its call was answered.
		m.reply(l, id, statusAccepted, "")
		m.accept(f, call.GetAccept())
		return
	case scheduler.Call_DECLINE:
		m.decline(f, call.GetDecline())
	case scheduler.Call_ACCEPT_INVERSE_OFFERS:
		c := call.GetAcceptInverseOffers()
		m.answerInverse(f, c.GetInverseOfferIds(), c.GetFilters(), answers.InverseOfferStatus_ACCEPT)
	case scheduler.Call_DECLINE_INVERSE_OFFERS:
		c := call.GetDeclineInverseOffers()
		m.answerInverse(f, c.GetInverseOfferIds(), c.GetFilters(), answers.InverseOfferStatus_DECLINE)
	case scheduler.Call_REVIVE:
		m.revive(f, call.GetRevive().GetRoles())
	case scheduler.Call_SUPPRESS:
		m.suppress(f, call.GetSuppress().GetRoles())
	case scheduler.Call_KILL:
		m.kill(f, call.GetKill())
	case scheduler.Call_SHUTDOWN:
		m.shutdownExecutor(f, call.GetShutdown())
	case scheduler.Call_ACKNOWLEDGE:
		m.acknowledge(f, call.GetAcknowledge())
	case scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS:
		m.operationAcknowledged(f, call.GetAcknowledgeOperationStatus())
	case scheduler.Call_RECONCILE:
		m.reconcile(f, call.GetReconcile().GetTasks())
	case scheduler.Call_RECONCILE_OPERATIONS:
		m.reconcileOperations(f, call.GetReconcileOperations().GetOperations())
	case scheduler.Call_MESSAGE:
		m.frameworkMessage(f, call.GetMessage())
	case scheduler.Call_REQUEST:
		m.demand(f, call.GetRequest().GetRequests())
	case scheduler.Call_UPDATE_FRAMEWORK:
		m.updateCall(l, id, f, call.GetUpdateFramework())
		return
	default:
		m.reply(l, id, statusNotImplemented, "")
		return
	}
	m.reply(l, id, statusAccepted, "")
}

// updateCall carries out UPDATE_FRAMEWORK: the reply says whether it is in the registry.
// Mesos: src/master/master.cpp, Master::updateFramework.
func (m *Master) updateCall(l Link, id uint64, f *framework, call *scheduler.Call_UpdateFramework) {
	info := call.GetFrameworkInfo()
	if info.Principal == nil && f.info.Principal != nil {
		info = copyFrameworkInfo(info)
		info.Principal = f.info.Principal
	}
	if err := m.validateFramework(info); err != nil {
		m.reply(l, id, statusBadRequest, "Supplied FrameworkInfo is not valid: "+err.Error())
		return
	}
	if err := validateUpdate(f.info, info); err != nil {
		m.reply(l, id, statusBadRequest, "FrameworkInfo update is not valid: "+err.Error())
		return
	}
	wishes, err := m.wishesOf(info, call.GetSuppressedRoles(), call.GetOfferConstraints())
	if err != nil {
		m.reply(l, id, statusBadRequest, "'UpdateFramework' call is not valid: "+err.Error())
		return
	}
	m.propose(updateFramework(info), func(err error) {
		if m.frameworks[f.id] != f {
			m.reply(l, id, statusConflict, "Framework was removed while this call was being processed")
			return
		}
		if err != nil {
			m.reply(l, id, statusUnavailable, "update framework "+f.id+": "+err.Error())
			return
		}
		changed := !proto.Equal(f.info, info)
		m.updateFramework(f, info, wishes)
		if changed {
			m.tellAgents(f)
		}
		m.reply(l, id, statusOK, "")
	})
}

// event sends an event to a framework that has a stream.
func (m *Master) event(f *framework, e *scheduler.Event) {
	if f.session != nil {
		m.send(f.session, e)
	}
}

package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// What the gateway hears from its link: the methods of a link.User.

// Connected announces all sessions to a leader, before any call reaches it.
func (g *Gateway) Connected(term uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	same := term == g.term
	g.connected, g.term = true, term
	for _, s := range g.sessions {
		switch {
		case s.subscribed:
			g.tell(s.resume())
		case same:
			// Its SUBSCRIBED may have been lost with the link: the leader takes the
			// session for one that has begun.
			g.drop(s, ErrLeaderLost)
			g.tellClosed(s.ID)
		default:
			g.tell(s.open()) // the session's ID tells the new leader that it is not a second one
		}
	}
	for _, p := range g.announce() {
		g.tell(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Pending{Pending: p}})
	}
	g.turn()
	g.log.Debug("gateway connected", "term", term, "sessions", len(g.sessions))
}

// turn wakes those who wait for a leader, or for the next one.
func (g *Gateway) turn() {
	close(g.turned)
	g.turned = make(chan struct{})
}

// Disconnected fails what was not answered, and rescinds the offers that died
// with the link.
func (g *Gateway) Disconnected() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.connected = false
	g.counts.LeadersLost++
	g.expire(time.Now())
	for id, c := range g.calls {
		delete(g.calls, id)
		g.lanes.leave(c.lane)
		c.reply <- result{err: ErrLeaderLost}
	}
	for _, s := range g.sessions {
		g.deliver(s, s.rescinds()...)
	}
	g.turn()
}

// Receive takes one message of the leader.
func (g *Gateway) Receive(m *protocol.MasterToGateway) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch m := m.GetMessage().(type) {
	case *protocol.MasterToGateway_Event:
		g.event(m.Event)
	case *protocol.MasterToGateway_Reply:
		g.answer(m.Reply)
	case *protocol.MasterToGateway_Closed:
		if s := g.sessions[m.Closed.GetSessionId()]; s != nil {
			g.drop(s, errSessionClosed)
		}
	case *protocol.MasterToGateway_Heartbeat, nil: // nil: of a version that says more
	default:
		return fmt.Errorf("unknown message %T of the leader", m)
	}
	return nil
}

func (g *Gateway) event(e *protocol.Event) {
	s := g.sessions[e.GetSessionId()]
	if s == nil {
		g.tellClosed(e.GetSessionId())
		return
	}
	if u := e.GetEvent().GetUpdate(); u != nil {
		g.heard(s.framework(), u.GetStatus().GetTaskId().GetValue())
	}
	g.deliver(s, e.GetEvent())
}

// deliver queues events for s's client; a client that is too slow loses its stream.
func (g *Gateway) deliver(s *Session, events ...*scheduler.Event) {
	for _, e := range events {
		if err := s.push(e); err != nil {
			g.log.Warn("event stream dropped", "framework_id", s.framework(), "err", err)
			if errors.Is(err, ErrSlowClient) {
				g.counts.SlowClients++
			}
			s.discard()
			g.drop(s, err)
			g.tellClosed(s.ID)
			return
		}
	}
}

func (g *Gateway) answer(r *protocol.Reply) {
	c := g.calls[r.GetCallId()]
	if c == nil {
		return // of an earlier link
	}
	delete(g.calls, r.GetCallId())
	g.lanes.leave(c.lane)
	code := int(r.GetCode())
	if code == http.StatusTooManyRequests && c.call != nil {
		g.counts.Throttled++
	}
	if code != http.StatusAccepted {
		g.forget(r.GetCallId(), c.call)
	}
	g.vouch(c, code)
	if code/100 == 2 {
		g.settled(c)
	}
	c.reply <- result{reply: Reply{Code: code, Message: r.GetMessage(), Operator: r.GetResponse(), Scheduler: r.GetSchedulerResponse(), Explanation: r.GetExplanation(), RetryAfter: r.GetRetryAfter()}}
}

// settled notes what an accepted call means for the session it names. A session at
// another gateway learns nothing of it.
func (g *Gateway) settled(c *inflight) {
	if s := g.sessions[c.session]; s != nil && c.call != nil && s.framework() == c.call.GetFrameworkId().GetValue() {
		s.settled(c.call)
	}
}

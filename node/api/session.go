package api

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

const (
	sessionEvents = 16384    // events that may wait for one client
	sessionBytes  = 64 << 20 // their size, of all but the newest
)

var (
	errSessionClosed = errors.New("session closed")
	// ErrSlowClient: the client reads its event stream too slowly.
	ErrSlowClient = errors.New("client is too slow for its event stream")
)

// Session is one framework's event stream. Its gateway's lock guards all but the queue.
type Session struct {
	ID string // the Mesos-Stream-Id

	principal  string
	call       *scheduler.Call // SUBSCRIBE, with the framework's ID once it is known
	subscribed bool            // SUBSCRIBED has come
	offers     map[string]bool // outstanding, by ID

	answered chan struct{} // closed with the first event
	ended    chan struct{} // closed when no event will follow those in the queue
	more     chan struct{} // holds a token while the queue may hold an event

	mu    sync.Mutex
	queue []*scheduler.Event
	bytes int
	err   error
}

func newSession(id, principal string, call *scheduler.Call) *Session {
	return &Session{
		ID: id, principal: principal,
		call:     proto.CloneOf(call),
		offers:   map[string]bool{},
		answered: make(chan struct{}),
		ended:    make(chan struct{}),
		more:     make(chan struct{}, 1),
	}
}

func (s *Session) framework() string { return s.call.GetFrameworkId().GetValue() }

// Next returns the next event. After the last one it fails with the reason why
// the session ended.
func (s *Session) Next(ctx context.Context) (*scheduler.Event, error) {
	for {
		if e := s.pop(); e != nil {
			return e, nil
		}
		select {
		case <-s.more:
		case <-s.ended:
			if e := s.pop(); e != nil {
				return e, nil
			}
			return nil, s.Err()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Err says why the session ended.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Session) pop() *scheduler.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil
	}
	e := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.bytes -= proto.Size(e)
	return e
}

// push queues an event and notes what the session must know of it.
func (s *Session) push(e *scheduler.Event) error {
	s.note(e)
	s.mu.Lock()
	if len(s.queue) >= sessionEvents || s.bytes > sessionBytes {
		s.mu.Unlock()
		return fmt.Errorf("%w: %d events, %d bytes wait", ErrSlowClient, len(s.queue), s.bytes)
	}
	s.queue = append(s.queue, e)
	s.bytes += proto.Size(e)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return nil
}

func (s *Session) note(e *scheduler.Event) {
	select {
	case <-s.answered:
	default:
		close(s.answered)
	}
	switch e.GetType() {
	case scheduler.Event_SUBSCRIBED:
		id := e.GetSubscribed().GetFrameworkId()
		s.subscribed = true
		s.call.FrameworkId = id
		s.call.GetSubscribe().GetFrameworkInfo().Id = id
	case scheduler.Event_OFFERS:
		for _, o := range e.GetOffers().GetOffers() {
			s.offers[o.GetId().GetValue()] = true
		}
	case scheduler.Event_RESCIND:
		delete(s.offers, e.GetRescind().GetOfferId().GetValue())
	}
}

// end lets the client read what waits and no more.
func (s *Session) end(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = why
		close(s.ended)
	}
}

// resume is the message that re-announces s to a new leader.
func (s *Session) resume() *protocol.GatewayToMaster {
	return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Subscribe{Subscribe: &protocol.Subscribe{
		SessionId: &s.ID, Principal: optional(s.principal), Call: proto.CloneOf(s.call), Resume: proto.Bool(true),
	}}}
}

// rescinds returns a RESCIND for each outstanding offer.
func (s *Session) rescinds() []*scheduler.Event {
	var events []*scheduler.Event
	for id := range s.offers {
		events = append(events, &scheduler.Event{
			Type:    scheduler.Event_RESCIND.Enum(),
			Rescind: &scheduler.Event_Rescind{OfferId: &mesos.OfferID{Value: proto.String(id)}},
		})
	}
	return events
}

// settled notes an accepted call of the session's framework.
func (s *Session) settled(call *scheduler.Call) {
	switch call.GetType() {
	case scheduler.Call_ACCEPT:
		s.used(call.GetAccept().GetOfferIds())
	case scheduler.Call_DECLINE:
		s.used(call.GetDecline().GetOfferIds())
	case scheduler.Call_UPDATE_FRAMEWORK:
		u, sub := call.GetUpdateFramework(), s.call.GetSubscribe()
		sub.FrameworkInfo = proto.CloneOf(u.GetFrameworkInfo())
		sub.SuppressedRoles = u.GetSuppressedRoles()
		sub.OfferConstraints = u.GetOfferConstraints()
	}
}

func (s *Session) used(offers []*mesos.OfferID) {
	for _, id := range offers {
		delete(s.offers, id.GetValue())
	}
}

package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

const (
	sessionEvents = 16384     // events that may wait for one client
	sessionBytes  = 64 << 20  // their size, of all but the newest
	memoryBytes   = 256 << 20 // the size of what waits for all clients; beyond it,
	fairBytes     = 1 << 20   // a client that keeps more than this waiting is too slow
	batchEvents   = 256       // events handed to a client's writer at once
)

var (
	errSessionClosed = errors.New("session closed")
	// ErrSlowClient: the client reads its event stream too slowly.
	ErrSlowClient = errors.New("client is too slow for its event stream")
)

// budget counts the bytes that wait for all clients.
type budget struct{ used atomic.Int64 }

// Session is one framework's event stream. Its gateway's lock guards all but the queue.
type Session struct {
	ID string // the Mesos-Stream-Id

	principal  string
	call       *scheduler.Call  // SUBSCRIBE, with the framework's ID once it is known
	requests   []*mesos.Request // what the framework asked for
	subscribed bool             // SUBSCRIBED has come
	offers     outstanding

	answered chan struct{} // closed with the first event
	ended    chan struct{} // closed when no event will follow those in the queue
	more     chan struct{} // holds a token while the queue may hold an event
	memory   *budget

	mu    sync.Mutex
	queue []queued
	bytes int
	err   error
}

type queued struct {
	event *scheduler.Event
	size  int
}

func newSession(id, principal string, call *scheduler.Call, memory *budget) *Session {
	return &Session{
		ID: id, principal: principal, memory: memory,
		call:     proto.CloneOf(call),
		answered: make(chan struct{}),
		ended:    make(chan struct{}),
		more:     make(chan struct{}, 1),
	}
}

func (s *Session) framework() string { return s.call.GetFrameworkId().GetValue() }

// Next returns the events that wait, one at least; none when beat fires first.
// After the last one it fails with the reason why the session ended.
func (s *Session) Next(ctx context.Context, beat <-chan time.Time) ([]*scheduler.Event, error) {
	for {
		if events := s.pop(); len(events) > 0 {
			return events, nil
		}
		select {
		case <-s.more:
		case <-s.ended:
			if events := s.pop(); len(events) > 0 {
				return events, nil
			}
			return nil, s.Err()
		case <-beat:
			return nil, nil
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

// pop takes events off the queue, about a megabyte of them at most.
func (s *Session) pop() []*scheduler.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var events []*scheduler.Event
	size := 0
	for _, q := range s.queue {
		events = append(events, q.event)
		if size += q.size; size > fairBytes || len(events) == batchEvents {
			break
		}
	}
	clear(s.queue[:len(events)])
	if s.queue = s.queue[len(events):]; len(s.queue) == 0 {
		s.queue = nil
	}
	s.bytes -= size
	s.memory.used.Add(-int64(size))
	return events
}

// discard drops what waits: nobody is going to read it.
func (s *Session) discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.used.Add(-int64(s.bytes))
	s.queue, s.bytes = nil, 0
}

// push queues an event and notes what the session must know of it.
func (s *Session) push(e *scheduler.Event) error {
	s.note(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	crowded := s.memory.used.Load() > memoryBytes && s.bytes > fairBytes
	if len(s.queue) >= sessionEvents || s.bytes > sessionBytes || crowded {
		return fmt.Errorf("%w: %d events, %d bytes wait", ErrSlowClient, len(s.queue), s.bytes)
	}
	size := proto.Size(e)
	s.queue = append(s.queue, queued{e, size})
	s.bytes += size
	s.memory.used.Add(int64(size))
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
		defer close(s.answered)
	}
	switch e.GetType() {
	case scheduler.Event_SUBSCRIBED:
		id := e.GetSubscribed().GetFrameworkId()
		s.subscribed = true
		s.call.FrameworkId = id
		s.call.GetSubscribe().GetFrameworkInfo().Id = id
	case scheduler.Event_OFFERS:
		for _, o := range e.GetOffers().GetOffers() {
			s.offers.add(o.GetId().GetValue())
		}
	case scheduler.Event_RESCIND:
		s.offers.remove(e.GetRescind().GetOfferId().GetValue())
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

// open is the message that announces s to a leader that is to answer SUBSCRIBED.
func (s *Session) open() *protocol.GatewayToMaster { return s.subscribe(nil) }

// resume is the message that announces s to a leader after an earlier one has
// answered it.
func (s *Session) resume() *protocol.GatewayToMaster { return s.subscribe(proto.Bool(true)) }

func (s *Session) subscribe(resume *bool) *protocol.GatewayToMaster {
	return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Subscribe{Subscribe: &protocol.Subscribe{
		SessionId: &s.ID, Principal: optional(s.principal), Call: proto.CloneOf(s.call), Resume: resume, Requests: s.requests,
	}}}
}

// rescinds returns a RESCIND for each outstanding offer.
func (s *Session) rescinds() []*scheduler.Event {
	var events []*scheduler.Event
	for _, id := range s.offers.all() {
		events = append(events, &scheduler.Event{
			Type:    scheduler.Event_RESCIND.Enum(),
			Rescind: &scheduler.Event_Rescind{OfferId: &mesos.OfferID{Value: proto.String(id)}},
		})
	}
	return events
}

// settled notes an accepted call of the session's framework, so that the session
// is announced to the next leader as it is by then.
func (s *Session) settled(call *scheduler.Call) {
	sub := s.call.GetSubscribe()
	switch call.GetType() {
	case scheduler.Call_ACCEPT:
		s.used(call.GetAccept().GetOfferIds())
	case scheduler.Call_DECLINE:
		s.used(call.GetDecline().GetOfferIds())
	case scheduler.Call_SUPPRESS:
		if roles := s.known(call.GetSuppress().GetRoles()); len(roles) > 0 {
			all := append(slices.Clone(sub.SuppressedRoles), roles...)
			slices.Sort(all)
			sub.SuppressedRoles = slices.Compact(all)
			if len(sub.SuppressedRoles) == len(s.known(nil)) {
				s.requests = nil
			}
		}
	case scheduler.Call_REQUEST:
		s.requests = call.GetRequest().GetRequests()
	case scheduler.Call_REVIVE:
		roles := s.known(call.GetRevive().GetRoles())
		sub.SuppressedRoles = slices.DeleteFunc(slices.Clone(sub.SuppressedRoles), func(r string) bool { return slices.Contains(roles, r) })
	case scheduler.Call_UPDATE_FRAMEWORK:
		u := call.GetUpdateFramework()
		sub.FrameworkInfo = proto.CloneOf(u.GetFrameworkInfo())
		sub.SuppressedRoles = slices.Clone(u.GetSuppressedRoles())
		sub.OfferConstraints = proto.CloneOf(u.GetOfferConstraints())
	}
}

// known returns the roles that SUPPRESS or REVIVE speaks of: all of the framework's
// when it names none, and none when it names one that is not the framework's.
func (s *Session) known(named []string) []string {
	info := s.call.GetSubscribe().GetFrameworkInfo()
	own := info.GetRoles()
	if len(own) == 0 {
		own = []string{info.GetRole()}
	}
	if len(named) == 0 {
		return own
	}
	for _, r := range named {
		if !slices.Contains(own, r) {
			return nil
		}
	}
	return named
}

func (s *Session) used(offers []*mesos.OfferID) {
	for _, id := range offers {
		s.offers.remove(id.GetValue())
	}
}

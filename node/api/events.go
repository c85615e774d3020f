package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/link"
	"muster/offers/mesos/master"
	"muster/offers/view"
)

var _ Views = (*link.Views)(nil)

// subscribe serves the operator event stream. It stays open over a change of
// leader: the client is told how the new leader's view differs from what it has
// been told so far. Mesos closes the stream there.
func (a *operatorAPI) subscribe(w http.ResponseWriter, r *http.Request, out codec) error {
	first, cancel := context.WithTimeoutCause(r.Context(), readWait, ErrNoLeader)
	watch, done, err := a.views.Watch(first)
	cancel()
	if err != nil {
		return err
	}
	ctx, leave := a.subscribers.join(r.Context())
	defer leave()
	st := newStream(w, out)
	known := newSeen(watch.Snapshot)
	if err = a.subscribed(ctx, st, watch.Snapshot); err == nil {
		err = st.send(operatorHeartbeat)
	}
	watch.Snapshot = nil // of a large cluster it is not kept for the stream's life
	beat := time.NewTicker(heartbeatInterval)
	defer beat.Stop()
	for err == nil {
		err = st.relay(ctx, watch, known, beat.C)
		done()
		if !errors.Is(err, link.ErrWatchEnded) {
			return nil // the client has gone, is too slow, or was evicted
		}
		if watch, done, err = st.rewatch(ctx, a.views, beat.C); err != nil {
			return nil
		}
		err = st.send(messagesOf(known.move(watch.Snapshot))...)
		watch.Snapshot = nil
	}
	done()
	return nil
}

// relay sends what w tells until it ends, and heartbeats.
func (s *stream) relay(ctx context.Context, w *link.Watch, known *seen, beat <-chan time.Time) error {
	for {
		e, err := w.NextOr(ctx, beat)
		switch {
		case err != nil:
			return err
		case e == nil:
			err = s.send(operatorHeartbeat)
		default:
			err = s.send(messagesOf(known.translate(e))...)
		}
		if err != nil {
			return err
		}
	}
}

// rewatch waits for the next view, with heartbeats.
func (s *stream) rewatch(ctx context.Context, views Views, beat <-chan time.Time) (*link.Watch, func(), error) {
	for {
		turn, cancel := context.WithTimeout(ctx, time.Second)
		watch, done, err := views.Watch(turn)
		cancel()
		if err == nil || ctx.Err() != nil {
			return watch, done, err
		}
		select {
		case <-beat:
			if err := s.send(operatorHeartbeat); err != nil {
				return nil, nil, err
			}
		default:
		}
	}
}

func messagesOf(events []*master.Event) []proto.Message {
	list := make([]proto.Message, 0, len(events))
	for _, e := range events {
		list = append(list, e)
	}
	return list
}

var operatorHeartbeat = &master.Event{Type: master.Event_HEARTBEAT.Enum()}

// subscribed sends the first event of a stream, which tells of the whole cluster.
func (a *operatorAPI) subscribed(ctx context.Context, st *stream, v *view.View) error {
	body, err := a.answers.make(ctx, "", func(e *encoding) ([][]byte, error) {
		t := newTree(st.out, e)
		t.put(t.fields(nil, &master.Event{Type: master.Event_SUBSCRIBED.Enum()}))
		t.message(fieldSubscribed, func() {
			t.message(fieldSubscribedState, func() { writeState(t, v) })
			t.put(t.fields(nil, &master.Event_Subscribed{HeartbeatIntervalSeconds: proto.Float64(heartbeatInterval.Seconds())}))
		})
		return t.body()
	})
	if err != nil {
		return err
	}
	return st.w.Write(slices.Concat(body...))
}

// maxSubscribers is how many operator streams there may be; the oldest gives way.
const maxSubscribers = 1000

// subscribers are the open operator streams, oldest first. The zero value is ready.
type subscribers struct {
	mu   sync.Mutex
	list []*subscriber
}

type subscriber struct{ evict context.CancelFunc }

// join adds a stream. Its context ends when it is evicted; leave is called when it ends.
func (s *subscribers) join(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	one := &subscriber{cancel}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, one)
	if len(s.list) > maxSubscribers {
		s.list[0].evict()
		s.list = s.list[1:]
	}
	return ctx, func() { cancel(); s.leave(one) }
}

func (s *subscribers) leave(one *subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.list {
		if other == one {
			s.list = append(s.list[:i:i], s.list[i+1:]...)
			return
		}
	}
}

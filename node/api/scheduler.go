package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/recordio"
	"muster/offers"
	"muster/offers/mesos/scheduler"
)

const (
	streamHeader      = "Mesos-Stream-Id"
	heartbeatInterval = 15 * time.Second
	streamWrite       = 30 * time.Second // for one write to a client, which may be slow
)

// schedulerAPI serves POST /api/v1/scheduler.
type schedulerAPI struct {
	gateway   *Gateway
	principal func(*http.Request) string
}

func (a *schedulerAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := a.serve(w, r); err != nil {
		writeError(w, err)
	}
}

func (a *schedulerAPI) serve(w http.ResponseWriter, r *http.Request) error {
	var call scheduler.Call
	if err := readCall(w, r, "Call", &call); err != nil {
		return err
	}
	if err := offers.ValidateCall(&call); err != nil {
		return refuse(http.StatusBadRequest, "Failed to validate scheduler::Call: %v", err)
	}
	if call.GetType() == scheduler.Call_SUBSCRIBE {
		return a.subscribe(w, r, &call)
	}
	out, err := responseCodec(r)
	if err != nil && call.GetType() == scheduler.Call_RECONCILE_OPERATIONS {
		return err
	}
	reply, err := a.gateway.Call(r.Context(), a.principal(r), streamID(r), &call)
	if err != nil {
		return err
	}
	if reply.Scheduler != nil {
		return writeMessage(w, out, reply.Scheduler)
	}
	writeReply(w, reply)
	return nil
}

// writeReply answers with the leader's status and text. A 2xx has an empty body.
func writeReply(w http.ResponseWriter, reply Reply) {
	if reply.Code/100 == 2 {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(reply.Code)
		return
	}
	writeBody(w, reply.Code, "text/plain; charset=utf-8", []byte(reply.Message))
}

func streamID(r *http.Request) *string {
	if len(r.Header.Values(streamHeader)) == 0 {
		return nil
	}
	return proto.String(r.Header.Get(streamHeader))
}

func (a *schedulerAPI) subscribe(w http.ResponseWriter, r *http.Request, call *scheduler.Call) error {
	out, err := responseCodec(r)
	if err != nil {
		return err
	}
	if streamID(r) != nil {
		return refuse(http.StatusBadRequest, "Subscribe calls should not include the '%s' header", streamHeader)
	}
	s, err := a.gateway.Subscribe(r.Context(), a.principal(r), call)
	if err != nil {
		return err
	}
	defer a.gateway.Close(s)
	w.Header().Set(streamHeader, s.ID)
	stream := newStream(w, out)
	stream.follow(r.Context(), s)
	return nil
}

// stream writes records to a client, each flushed and within a bounded time.
type stream struct {
	w   *recordio.Writer
	rc  *http.ResponseController
	out codec
	buf []byte
}

func newStream(w http.ResponseWriter, out codec) *stream {
	rc := http.NewResponseController(w)
	// The request has been read; its deadline must not end the response. A writer
	// without deadlines has none that could.
	_ = rc.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", out.media)
	w.WriteHeader(http.StatusOK)
	return &stream{w: recordio.NewWriter(w), rc: rc, out: out}
}

// send writes messages and flushes them.
func (s *stream) send(messages ...proto.Message) error {
	if err := s.rc.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	for _, m := range messages {
		var err error
		if s.buf, err = s.out.append(s.buf[:0], m); err != nil {
			return err
		}
		if err := s.w.Write(s.buf); err != nil {
			return err
		}
	}
	return s.rc.Flush()
}

// follow writes s's events and heartbeats until either side ends.
func (st *stream) follow(ctx context.Context, s *Session) {
	beat := &scheduler.Event{Type: scheduler.Event_HEARTBEAT.Enum()}
	next := time.Now().Add(heartbeatInterval)
	for {
		wait, cancel := context.WithDeadline(ctx, next)
		e, err := s.Next(wait)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			next = time.Now().Add(heartbeatInterval)
			err = st.send(beat)
		case err != nil:
			return
		case e.GetType() == scheduler.Event_SUBSCRIBED:
			err = st.send(e, beat)
		default:
			err = st.send(e)
		}
		if err != nil {
			return
		}
	}
}

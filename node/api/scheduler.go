package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/recordio"
	"muster/offers"
	"muster/offers/mesos/scheduler"
)

const (
	streamHeader      = "Mesos-Stream-Id"
	heartbeatInterval = 15 * time.Second
	keepBuffer        = 64 << 10 // bytes that a stream keeps between records
)

// schedulerAPI serves POST /api/v1/scheduler.
type schedulerAPI struct {
	gateway *Gateway
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
	reply, err := a.gateway.Call(r.Context(), principal(r), streamID(r), &call)
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
		writeEmpty(w, reply.Code)
		return
	}
	if reply.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(reply.RetryAfter)))
	}
	writeBody(w, reply.Code, textPlain, []byte(reply.Message))
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
	s, err := a.gateway.Subscribe(r.Context(), principal(r), call)
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
	w     *recordio.Writer
	paced paced
	out   codec
	buf   []byte
}

func newStream(w http.ResponseWriter, out codec) *stream {
	rc := http.NewResponseController(w)
	// The request has been read; its deadline must not end the response. A writer
	// without deadlines has none that could.
	_ = rc.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", out.media)
	w.WriteHeader(http.StatusOK)
	p := paced{w, rc}
	return &stream{w: recordio.NewWriter(p), paced: p, out: out}
}

// send writes messages and flushes them.
func (s *stream) send(messages ...proto.Message) error {
	if len(messages) == 0 {
		return nil
	}
	for _, m := range messages {
		var err error
		if s.buf, err = s.out.append(s.buf[:0], m); err != nil {
			return err
		}
		if err := s.w.Write(s.buf); err != nil {
			return err
		}
		if cap(s.buf) > keepBuffer {
			s.buf = nil
		}
	}
	if err := s.paced.deadline(); err != nil {
		return err
	}
	return s.paced.rc.Flush()
}

// follow writes s's events and heartbeats until either side ends.
func (st *stream) follow(ctx context.Context, s *Session) {
	beat := time.NewTicker(heartbeatInterval)
	defer beat.Stop()
	for {
		events, err := s.Next(ctx, beat.C)
		if err != nil {
			return
		}
		var records []proto.Message
		for _, e := range events {
			records = append(records, e)
			if e.GetType() == scheduler.Event_SUBSCRIBED {
				records = append(records, schedulerHeartbeat)
			}
		}
		if len(events) == 0 {
			records = append(records, schedulerHeartbeat)
		}
		if st.send(records...) != nil {
			return // the client has gone, or is too slow
		}
	}
}

var schedulerHeartbeat = &scheduler.Event{Type: scheduler.Event_HEARTBEAT.Enum()}

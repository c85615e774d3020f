package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// Framework is what Run keeps subscribed.
type Framework struct {
	Info *mesos.FrameworkInfo // without an ID if it is new; Run does not change it

	// Handle is given every event but heartbeats and errors, one at a time, in
	// order, and may call the session. ErrDone ends Run with success. An error of a
	// call that may pass is met by subscribing again; any other ends Run.
	Handle func(ctx context.Context, s *Session, e *scheduler.Event) error

	Suppressed []string      // roles that want no offers yet
	Teardown   bool          // end the framework and its tasks when Run ends
	Patience   time.Duration // how long to look for a node before giving up [1m]
	Log        *slog.Logger  // [none]
}

// ErrDone is returned by Framework.Handle when the framework's work is done.
var ErrDone = errors.New("framework is done")

// ErrRefused marks what the cluster says in an ERROR event: the subscription is
// over, and will not be granted again.
var ErrRefused = errors.New("framework refused")

const (
	firstBackoff    = 100 * time.Millisecond
	lastBackoff     = 5 * time.Second
	teardownTimeout = 10 * time.Second
)

// Run keeps a framework subscribed at one of the nodes until ctx ends, its work
// is done, or it is refused. It acknowledges each status after Handle has seen
// it, subscribes again under the same ID when the session is lost, at the next
// node, and then asks for the status of every task it has launched and not seen
// end, until each was answered. Handle sees those answers as updates, so it may
// see a state twice.
func Run(ctx context.Context, f Framework, nodes ...*Client) error {
	if len(nodes) == 0 {
		return errors.New("run framework: no node")
	}
	if f.Patience == 0 {
		f.Patience = time.Minute
	}
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	r := &runner{Framework: f, info: proto.Clone(f.Info).(*mesos.FrameworkInfo), backoff: firstBackoff, lost: time.Now()}
	r.tasks.open = map[string]*scheduler.Call_Reconcile_Task{}
	for i := 0; ; i++ {
		node := nodes[i%len(nodes)]
		err := r.session(ctx, node)
		switch {
		case errors.Is(err, ErrDone):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !passing(err):
			return fmt.Errorf("run framework: %w", err)
		case time.Since(r.lost) > f.Patience:
			return fmt.Errorf("run framework: no session for %s: %w", f.Patience, err)
		}
		r.Log.Info("session lost", "node", node.Address(), "err", err)
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
}

// passing says whether an error is met by subscribing again: the session or the
// connection is gone, or the node cannot answer now.
func passing(err error) bool {
	var status *StatusError
	return Temporary(err) || errors.Is(err, ErrSilent) ||
		errors.As(err, &status) && status.Code == http.StatusForbidden // the framework is not subscribed any more
}

// runner is the state of one Run; only its goroutine touches it, except tasks.
type runner struct {
	Framework
	info    *mesos.FrameworkInfo // with its ID, once it has one
	backoff time.Duration
	lost    time.Time // when there was a session last
	tasks   tasks
}

func (r *runner) wait(ctx context.Context) error {
	timer := time.NewTimer(r.backoff)
	defer timer.Stop()
	r.backoff = min(2*r.backoff, lastBackoff)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// session subscribes at a node and serves the session until it ends. The session
// outlives ctx by the teardown: a framework that has disconnected cannot ask for it.
func (r *runner) session(ctx context.Context, node *Client) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, cancel) // only while subscribing
	s, err := node.Subscribe(inner, &scheduler.Call_Subscribe{FrameworkInfo: r.info, SuppressedRoles: r.Suppressed})
	stop()
	if err != nil {
		return err
	}
	s.calling = r.tasks.launching
	events := newPump(s)
	defer events.close()
	err = r.serve(ctx, s, events)
	r.lost = time.Now()
	if r.Teardown && s.FrameworkID() != nil && !passing(err) && !errors.Is(err, ErrRefused) {
		r.teardown(ctx, s)
	}
	return err
}

func (r *runner) teardown(ctx context.Context, s *Session) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownTimeout)
	defer cancel()
	if err := s.Teardown(last); err != nil {
		r.Log.Warn("framework not torn down", "framework_id", s.FrameworkID().GetValue(), "err", err)
	}
}

func (r *runner) serve(ctx context.Context, s *Session, events *pump) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-events.failed:
			return err
		case e := <-events.events:
			if err := r.event(ctx, s, e); err != nil {
				return err
			}
		}
	}
}

func (r *runner) event(ctx context.Context, s *Session, e *scheduler.Event) error {
	switch e.GetType() {
	case scheduler.Event_HEARTBEAT:
		return r.reconcile(ctx, s)
	case scheduler.Event_ERROR:
		return fmt.Errorf("%w: %s", ErrRefused, e.GetError().GetMessage())
	case scheduler.Event_SUBSCRIBED:
		r.info.Id = s.FrameworkID()
		r.backoff = firstBackoff
		r.tasks.doubt()
		r.Log.Debug("subscribed", "framework_id", r.info.GetId().GetValue(), "node", s.client.Address())
	}
	err := r.Handle(ctx, s, e)
	if e.GetType() != scheduler.Event_UPDATE || (err != nil && !errors.Is(err, ErrDone)) {
		return err
	}
	status := e.GetUpdate().GetStatus()
	r.tasks.seen(status)
	unsent := s.Acknowledge(ctx, status)
	if err == nil {
		return unsent
	}
	if unsent != nil {
		r.Log.Warn("last status not acknowledged", "task_id", status.GetTaskId().GetValue(), "err", unsent)
	}
	return err
}

// reconcile asks for the tasks in doubt, when a heartbeat comes: the first follows
// SUBSCRIBED at once. A master that is still waiting for an
// agent does not answer for its tasks, so it is asked again at the next.
func (r *runner) reconcile(ctx context.Context, s *Session) error {
	doubtful := r.tasks.doubtful()
	if len(doubtful) == 0 {
		return nil
	}
	return s.Reconcile(ctx, doubtful...)
}

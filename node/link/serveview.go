package link

import (
	"context"
	"errors"
	"fmt"

	"muster/offers/protocol"
)

// ViewProtocol is the mesh protocol of view streams.
const ViewProtocol = "view/1"

// ServeView writes the leader's view to s: everything, then changes as they come.
func ServeView(ctx context.Context, s Stream, leading Leading) error {
	defer s.Close()
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	stop := context.AfterFunc(ctx, func() { cut(s, context.Cause(ctx)) })
	defer stop()
	f := newFrames(s)
	var r *Replica
	err := f.greeting(func() error {
		if err := f.hear(); err != nil {
			return fmt.Errorf("hello: %w", err)
		}
		var term uint64
		if r, term = leading(); r == nil {
			return errors.Join(ErrNotLeading, f.refuse(ErrNotLeading))
		}
		return f.write(&protocol.Hello{Term: &term}, true)
	})
	if err != nil {
		return err
	}
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		abort(drain(f, fresh[*protocol.Seek](), func(*protocol.Seek) error { return nil }))
	}()
	abort(tell(ctx, f, r))
	<-listening
	return context.Cause(ctx)
}

// tell writes r's snapshot, once it is whole, and the events that follow.
func tell(ctx context.Context, f *frames, r *Replica) error {
	w, err := r.Watch(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	for _, e := range w.Snapshot.Events() {
		if err := f.write(e, false); err != nil {
			return err
		}
	}
	if err := f.w.Flush(); err != nil {
		return err
	}
	return pump(ctx, f, w.q, &protocol.ViewEvent{})
}

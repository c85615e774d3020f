package agent

import (
	"context"
	"errors"
	"io"
	"sync"

	"muster/isolate"
	"muster/isolate/isolatetest"
	"muster/node/agent/checkpoint"
	"muster/offers/protocol"
)

// world is all that an agent can have an effect on. Once it has crashed, nothing
// the agent does has one.
type world struct {
	*isolatetest.Driver
	leader  *leader
	crashAt int // the effect, from 1, before which it crashes; 0: never
	disk    error

	mu      sync.Mutex
	effects int
	crashed bool
}

var errCrashed = errors.New("killed")

// effect counts one and tells whether it may happen.
func (w *world) effect() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.effects++; w.effects == w.crashAt {
		w.crashed = true
	}
	return !w.crashed
}

func (w *world) crash() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.crashed = true
}

func (w *world) dead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.crashed
}

func (w *world) fillDisk(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disk = err
}

func (w *world) full() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.disk
}

func (w *world) Send(m *protocol.AgentToMaster) error {
	if !w.effect() {
		return errCrashed
	}
	return w.leader.Send(m)
}

func (w *world) Start(ctx context.Context, s isolate.Spec) (isolate.Status, error) {
	if !w.effect() {
		<-ctx.Done()
		return isolate.Status{}, errCrashed
	}
	return w.Driver.Start(ctx, s)
}

func (w *world) Signal(id isolate.ID, sig int, all bool) error {
	if !w.effect() {
		return errCrashed
	}
	return w.Driver.Signal(id, sig, all)
}

func (w *world) Destroy(ctx context.Context, id isolate.ID) error {
	if !w.effect() {
		return errCrashed
	}
	return w.Driver.Destroy(ctx, id)
}

func (w *world) wrap(f checkpoint.File) checkpoint.File { return disk{f, w} }

// disk tears the write during which the world ends.
type disk struct {
	checkpoint.File
	w *world
}

func (d disk) Write(b []byte) (int, error) {
	if d.w.dead() {
		return 0, errCrashed
	}
	if !d.w.effect() {
		n, err := d.File.Write(b[:len(b)/2])
		return n, errors.Join(err, io.ErrShortWrite)
	}
	if err := d.w.full(); err != nil {
		return 0, err
	}
	return d.File.Write(b)
}

func (d disk) Truncate(size int64) error {
	if d.w.dead() {
		return errCrashed
	}
	return d.File.Truncate(size)
}

func (d disk) Sync() error {
	if d.w.dead() || !d.w.effect() {
		return errCrashed
	}
	return d.File.Sync()
}

func (d disk) Reserve(size int64) error {
	if err := d.w.full(); err != nil {
		return err
	}
	return d.File.Reserve(size)
}

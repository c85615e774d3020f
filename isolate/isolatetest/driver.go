package isolatetest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"syscall"
	"time"

	"muster/isolate"
)

// Behaviour says what a container of the fake Driver does.
type Behaviour struct {
	StartErr   error           // Start fails with it; wrap isolate.ErrStart to name a bad command
	Hold       <-chan struct{} // Start returns only when it is closed, or its ctx ends
	Exit       *isolate.Exit   // ends with this as soon as it started; nil runs until it is ended
	IgnoreTerm bool            // SIGTERM does not end it
	ControlErr error           // LimitCPU, Freeze and Thaw fail with it
}

// Driver is an isolate.Driver without containers. Its zero value is not ready:
// use NewDriver. Containers run until Exit, a deadly signal or Destroy; they
// outlive the agent under test as real ones do, when the next one is given the
// same Driver.
type Driver struct {
	script func(isolate.Spec) Behaviour

	mu         sync.Mutex
	containers map[isolate.ID]*container
	destroyed  map[isolate.ID]bool
	changed    chan struct{} // closed and replaced whenever a container changes
	pid        int
}

var (
	_ isolate.Driver  = (*Driver)(nil)
	_ isolate.Control = (*Driver)(nil)
)

type container struct {
	spec      isolate.Spec
	behaviour Behaviour
	status    isolate.Status
	running   bool
	signals   []int
	exit      *isolate.Exit
	done      chan struct{} // closed when exit is set
	starts    int
	cpus      float64 // that it is limited to; +Inf is none
	frozen    bool
}

// NewDriver returns a Driver that asks script what each container does; nil
// lets all run until they are ended.
func NewDriver(script func(isolate.Spec) Behaviour) *Driver {
	if script == nil {
		script = func(isolate.Spec) Behaviour { return Behaviour{} }
	}
	return &Driver{
		script:     script,
		containers: make(map[isolate.ID]*container),
		destroyed:  make(map[isolate.ID]bool),
		changed:    make(chan struct{}),
		pid:        1000,
	}
}

// Start begins a container, once per ID.
func (d *Driver) Start(ctx context.Context, spec isolate.Spec) (isolate.Status, error) {
	behaviour := d.script(spec)
	if behaviour.Hold != nil {
		select {
		case <-behaviour.Hold:
		case <-ctx.Done():
			return isolate.Status{}, context.Cause(ctx)
		}
	}
	if behaviour.StartErr != nil {
		return isolate.Status{}, behaviour.StartErr
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.containers[spec.ID]; ok {
		c.starts++
		return c.status, nil
	}
	d.pid++
	c := &container{
		spec: spec, behaviour: behaviour, running: true, starts: 1, done: make(chan struct{}), cpus: math.Inf(1),
		status: isolate.Status{
			PID:     d.pid,
			Cgroups: map[string]string{"": "/sys/fs/cgroup/muster/" + string(spec.ID)},
			Started: time.Now(),
		},
	}
	d.containers[spec.ID] = c
	if behaviour.Exit != nil {
		c.end(*behaviour.Exit)
	}
	d.notify()
	return c.status, nil
}

// Status tells of a container that was started and not destroyed.
func (d *Driver) Status(id isolate.ID) (isolate.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, err := d.lookup(id)
	if err != nil {
		return isolate.Status{}, err
	}
	return c.status, nil
}

// Wait returns how the container ended.
func (d *Driver) Wait(ctx context.Context, id isolate.ID) (isolate.Exit, error) {
	d.mu.Lock()
	c, err := d.lookup(id)
	d.mu.Unlock()
	if err != nil {
		return isolate.Exit{}, err
	}
	select {
	case <-c.done:
		return *c.exit, nil
	case <-ctx.Done():
		return isolate.Exit{}, context.Cause(ctx)
	}
}

// Signal records sig, and ends the container as the kernel would.
func (d *Driver) Signal(id isolate.ID, sig int, all bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, err := d.lookup(id)
	if err != nil {
		return err
	}
	c.signals = append(c.signals, sig)
	switch syscall.Signal(sig) {
	case syscall.SIGKILL:
		c.end(isolate.Exit{Signal: sig})
	case syscall.SIGTERM, syscall.SIGINT:
		if !c.behaviour.IgnoreTerm {
			c.end(isolate.Exit{Signal: sig})
		}
	}
	d.notify()
	return nil
}

// LimitCPU records the limit.
func (d *Driver) LimitCPU(id isolate.ID, cpus float64) error {
	return d.control(id, func(c *container) { c.cpus = cpus })
}

// Freeze records that the container stands still.
func (d *Driver) Freeze(id isolate.ID) error {
	return d.control(id, func(c *container) { c.frozen = true })
}

// Thaw records that it goes on.
func (d *Driver) Thaw(id isolate.ID) error {
	return d.control(id, func(c *container) { c.frozen = false })
}

func (d *Driver) control(id isolate.ID, change func(*container)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, err := d.lookup(id)
	if err != nil {
		return err
	}
	if c.behaviour.ControlErr != nil {
		return c.behaviour.ControlErr
	}
	change(c)
	d.notify()
	return nil
}

// Limited tells what a container may use now: its CPUs, +Inf for no limit, and
// whether it is frozen.
func (d *Driver) Limited(id isolate.ID) (cpus float64, frozen bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.containers[id]; ok {
		return c.cpus, c.frozen
	}
	return math.Inf(1), false
}

// Destroy ends what still runs and forgets it.
func (d *Driver) Destroy(_ context.Context, id isolate.ID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.containers[id]; ok {
		c.end(isolate.Exit{Signal: int(syscall.SIGKILL)})
		delete(d.containers, id)
		d.destroyed[id] = true
		d.notify()
	}
	return nil
}

// List names all containers that were started and not destroyed.
func (d *Driver) List() ([]isolate.ID, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.containers)), nil
}

// Exit ends a running container; At is filled in if it is zero.
func (d *Driver) Exit(id isolate.ID, exit isolate.Exit) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, err := d.lookup(id)
	if err != nil {
		return err
	}
	c.end(exit)
	d.notify()
	return nil
}

// Spec returns what the container was started with.
func (d *Driver) Spec(id isolate.ID) (isolate.Spec, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.containers[id]; ok {
		return c.spec, true
	}
	return isolate.Spec{}, false
}

// Signals returns the signals sent to the container, oldest first.
func (d *Driver) Signals(id isolate.ID) []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.containers[id]; ok {
		return slices.Clone(c.signals)
	}
	return nil
}

// Starts returns how often Start was called for a container that is held.
func (d *Driver) Starts(id isolate.ID) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.containers[id]; ok {
		return c.starts
	}
	return 0
}

// Running names the containers that have not ended.
func (d *Driver) Running() []isolate.ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []isolate.ID
	for id, c := range d.containers {
		if c.running {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Destroyed reports whether the container was held once and then destroyed.
func (d *Driver) Destroyed(id isolate.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.destroyed[id]
}

// Await returns when ok holds, which is asked after every change of a
// container and must not call the Driver's blocking methods.
func (d *Driver) Await(ctx context.Context, ok func() bool) error {
	for {
		d.mu.Lock()
		changed := d.changed
		d.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (d *Driver) lookup(id isolate.ID) (*container, error) {
	if c, ok := d.containers[id]; ok {
		return c, nil
	}
	return nil, fmt.Errorf("container %s: %w", id, isolate.ErrUnknownContainer)
}

func (d *Driver) notify() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// end sets how c ended, the first time it is called.
func (c *container) end(exit isolate.Exit) {
	if c.exit != nil {
		return
	}
	if exit.At.IsZero() {
		exit.At = time.Now()
	}
	c.exit, c.running = &exit, false
	close(c.done)
}

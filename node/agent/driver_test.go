package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/isolate"
	"muster/isolate/isolatetest"
	"muster/offers/mesos"
	"muster/telemetry"
)

// flaky is a Driver some of whose methods fail, so often.
type flaky struct {
	isolate.Driver
	mu                     sync.Mutex
	list, wait, destroy    int
	deaf                   bool // signals do nothing
	starting, mostStarting int
}

var errFlaky = errors.New("not now")

func (f *flaky) fails(n *int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	*n--
	return *n >= 0
}

func (f *flaky) List() ([]isolate.ID, error) {
	if f.fails(&f.list) {
		return nil, errFlaky
	}
	return f.Driver.List()
}

func (f *flaky) Wait(ctx context.Context, id isolate.ID) (isolate.Exit, error) {
	if f.fails(&f.wait) {
		return isolate.Exit{}, errFlaky
	}
	return f.Driver.Wait(ctx, id)
}

func (f *flaky) Destroy(ctx context.Context, id isolate.ID) error {
	if f.fails(&f.destroy) {
		return errFlaky
	}
	return f.Driver.Destroy(ctx, id)
}

func (f *flaky) Signal(id isolate.ID, sig int, all bool) error {
	if f.deaf {
		return nil
	}
	return f.Driver.Signal(id, sig, all)
}

func (f *flaky) Start(ctx context.Context, s isolate.Spec) (isolate.Status, error) {
	f.mu.Lock()
	f.starting++
	f.mostStarting = max(f.mostStarting, f.starting)
	f.mu.Unlock()
	time.Sleep(time.Second)
	f.mu.Lock()
	f.starting--
	f.mu.Unlock()
	return f.Driver.Start(ctx, s)
}

func (r *rig) readyWith(d isolate.Driver, m Meter) *rig {
	r.t.Helper()
	r.world = &world{Driver: r.driver, leader: r.leader}
	agent, err := New(r.cfg, d, m, r.leader, r.log)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.agent, r.stop, r.ended = agent, stop, make(chan error, 1)
	go func() { r.ended <- agent.Run(ctx) }()
	r.connect()
	return r
}

func TestDriverThatFailsForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		if _, err := r.driver.Start(t.Context(), isolate.Spec{ID: "stray"}); err != nil {
			t.Fatal(err)
		}
		r.readyWith(&flaky{Driver: r.driver, list: 2, wait: 3, destroy: 2}, nil)
		defer r.end()
		r.launch(frameworkInfo(), command("t1"))
		time.Sleep(time.Minute)
		r.settle()
		r.wantStates("t1", begins, runs)
		r.exit("t1", isolate.Exit{Code: 2})
		time.Sleep(time.Minute)
		r.settle()
		r.wantStates("t1", begins, runs, failed)
		if ids, _ := r.driver.List(); len(ids) != 0 {
			t.Errorf("containers %v", ids)
		}
	})
}

func TestContainerThatNoSignalEndsIsDestroyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.readyWith(&flaky{Driver: r.driver, deaf: true, destroy: 1}, nil)
		defer r.end()
		r.launch(frameworkInfo(), command("t1"))
		time.Sleep(time.Second)
		r.settle()
		r.killTask("t1", nil)
		time.Sleep(12 * time.Second)
		r.settle()
		r.wantStates("t1", begins, runs)
		time.Sleep(20 * time.Second)
		r.settle()
		r.wantStates("t1", begins, runs, wasKilled)
	})
}

func TestStartsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.cfg.Concurrency = 3
		d := &flaky{Driver: r.driver}
		r.readyWith(d, nil)
		defer r.end()
		var tasks []*mesos.TaskInfo
		for i := range 12 {
			tasks = append(tasks, command(fmt.Sprint("t", i)))
		}
		r.launch(frameworkInfo(), tasks...)
		time.Sleep(3500 * time.Millisecond)
		r.settle()
		if n := len(r.driver.Running()); n != 9 || d.mostStarting != 3 {
			t.Errorf("%d run after three seconds, %d were started at a time", n, d.mostStarting)
		}
		r.killTask("t11", nil) // while it is being started
		time.Sleep(time.Minute)
		r.settle()
		if n := len(r.driver.Running()); n != 11 {
			t.Errorf("%d run", n)
		}
	})
}

func TestStoppedWhileStartingIsStartedByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		r := newRig(t, func(isolate.Spec) isolatetest.Behaviour { return isolatetest.Behaviour{Hold: hold} }).ready()
		defer func() { r.end() }()
		r.launch(frameworkInfo(), command("t1"))
		r.wantStates("t1", begins)
		r.end()
		close(hold)
		r.ready()
		r.wantStates("t1", begins, runs)
	})
}

// meter remembers what is measured.
type meter struct {
	mu sync.Mutex
	on map[string]bool
}

func (m *meter) Add(c telemetry.Container) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(c.Cgroups) == 0 {
		return errFlaky
	}
	m.on[c.ID] = true
	return nil
}

func (m *meter) Remove(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.on, id)
}

func TestContainersAreMeasuredWhileTheyExist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		first := &meter{on: make(map[string]bool)}
		r.readyWith(r.driver, first)
		r.launch(frameworkInfo(), command("t1"))
		id := string(r.container("t1"))
		if !first.on[id] {
			t.Error("not measured")
		}
		r.end()
		second := &meter{on: make(map[string]bool)}
		r.readyWith(r.driver, second)
		defer r.end()
		if !second.on[id] {
			t.Error("not measured after a restart")
		}
		r.exit("t1", isolate.Exit{})
		if len(second.on) != 0 {
			t.Error("still measured")
		}
	})
}

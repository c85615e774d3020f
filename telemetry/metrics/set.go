package metrics

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Set is a collection of named metrics. Names are paths as in Mesos:
// "master/tasks_running". Safe for concurrent use; a name may be declared once,
// and declaring it twice is a mistake of the program: it panics.
//
//	set.Gauge("slave/tasks_running", func() float64 { … })
//	failed := set.Counter("slave/tasks_failed")
//	store := set.Timer("registrar/state_store")
type Set struct {
	mu       sync.Mutex
	gauges   map[string]func() float64
	counters map[string]*Counter
	timers   map[string]*Timer
	groups   []func(emit Emit)
	prom     *prometheus.Registry
}

// Emit reports the value of one metric of a group.
type Emit func(name string, value float64)

// New returns an empty Set whose Prometheus view also tells of the Go runtime
// and of this process.
func New() *Set {
	s := &Set{
		gauges:   map[string]func() float64{},
		counters: map[string]*Counter{},
		timers:   map[string]*Timer{},
		prom:     prometheus.NewRegistry(),
	}
	s.prom.MustRegister(setCollector{s}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// Gauge declares a value that is asked for when somebody reads. read is called
// by any goroutine and must not block.
func (s *Set) Gauge(name string, read func() float64) {
	s.declare(name, func() { s.gauges[name] = read })
}

// Gauges declares values that are read together, from one consistent state,
// or whose names are not known beforehand, such as those per role.
func (s *Set) Gauges(read func(emit Emit)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups = append(s.groups, read)
}

// Counter declares a number of events, which only grows.
func (s *Set) Counter(name string) *Counter {
	c := &Counter{}
	s.declare(name, func() { s.counters[name] = c })
	return c
}

// Timer declares how long something takes.
func (s *Set) Timer(name string) *Timer {
	t := &Timer{}
	s.declare(name, func() { s.timers[name] = t })
	return t
}

// Register adds a collector with labels of its own to the Prometheus view
// alone. Its metrics should be named muster_…
func (s *Set) Register(c prometheus.Collector) error {
	if err := s.prom.Register(c); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// Snapshot is Mesos's view: every metric under its name. A timer t gives t_ms,
// its latest duration, and t_ms/count, min, max, p50 … p9999, all in milliseconds.
func (s *Set) Snapshot() map[string]float64 {
	values := map[string]float64{}
	v := s.view()
	v.emitGauges(func(name string, value float64) { values[name] = value })
	for name, c := range v.counters {
		values[name] = float64(c.Value())
	}
	for name, t := range v.timers {
		t.stats().snapshot(name+"_ms", values)
	}
	return values
}

func (s *Set) declare(name string, put func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, gauge := s.gauges[name]
	if gauge || s.counters[name] != nil || s.timers[name] != nil {
		panic("metric declared twice: " + name)
	}
	put()
}

// view is a copy of what is declared, so that no lock is held while values are read.
type view struct {
	gauges   map[string]func() float64
	counters map[string]*Counter
	timers   map[string]*Timer
	groups   []func(emit Emit)
}

func (s *Set) view() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return view{maps.Clone(s.gauges), maps.Clone(s.counters), maps.Clone(s.timers), s.groups[:len(s.groups):len(s.groups)]}
}

func (v view) emitGauges(emit Emit) {
	for name, read := range v.gauges {
		emit(name, read())
	}
	for _, read := range v.groups {
		read(emit)
	}
}

// Counter counts events. Safe for concurrent use.
type Counter struct{ n atomic.Uint64 }

// Inc counts one event.
func (c *Counter) Inc() { c.n.Add(1) }

// Add counts n events.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Value is the number of events so far.
func (c *Counter) Value() uint64 { return c.n.Load() }

// Timer keeps the latest durations of something. Safe for concurrent use.
type Timer struct {
	mu     sync.Mutex
	count  uint64
	sum    time.Duration
	last   time.Duration
	recent []time.Duration // ring of the latest kept durations
	next   int
}

// kept durations give a 99.9th percentile some meaning, in 8 kB.
const kept = 1024

// Observe records that it took d.
func (t *Timer) Observe(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	t.sum += d
	t.last = d
	if len(t.recent) < kept {
		t.recent = append(t.recent, d)
		return
	}
	t.recent[t.next] = d
	t.next = (t.next + 1) % kept
}

// Start begins a measurement, which the returned function ends and records.
func (t *Timer) Start() (stop func()) {
	began := time.Now()
	return func() { t.Observe(time.Since(began)) }
}

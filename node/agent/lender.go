package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"muster/isolate"
	"muster/telemetry"
	"muster/telemetry/estimate"
	"muster/telemetry/qos"
)

// Lending is how a Lender works. The zero value is the default.
type Lending struct {
	Off       bool             // nothing is lent and nobody is watched; usage is remembered all the same
	Estimator string           // one of estimate.Names [the first of them]
	Estimate  estimate.Config  // its step, horizon, target and how long a task must be known
	Margin    float64          // share of the node's total that is never lent [.05]
	MemShare  float64          // of memory that is predicted to stay free, so much is lent [.5]
	System    *float64         // CPUs that are taken to be kept busy by what is no task [as measured]
	NoQoS     bool             // lend, but let revocable tasks do as they like
	QoS       qos.Config       // how firm tasks are protected
	Grow      time.Duration    // the pool grows at most so often, and by what was free all that time [15s]
	Window    time.Duration    // of the watch over firm tasks while revocable ones run [100ms]
	Now       func() time.Time // the wall clock; for tests
}

func (c Lending) withDefaults() Lending {
	c.Margin = cmp.Or(c.Margin, .05)
	c.MemShare = cmp.Or(c.MemShare, .5)
	c.Grow = cmp.Or(c.Grow, 15*time.Second)
	c.Window = cmp.Or(c.Window, 100*time.Millisecond)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Gauge tells what containers use. Its methods are called by many goroutines.
type Gauge interface {
	Usage(id string) (telemetry.Usage, bool)
	Pulse(ids []string) (map[string]telemetry.Pulse, error)
}

// sampling is how often a Lender looks at what all tasks use.
const sampling = time.Second

// Lender remembers what the tasks of an agent use, lends what they are predicted
// not to use, and takes it back where tasks suffer. One goroutine, that of Run,
// owns it; readers have Report and the History.
type Lender struct {
	cfg     Lending
	agent   *Agent
	gauge   Gauge
	control isolate.Control // nil: tasks cannot be held back, only evicted
	machine func() (telemetry.Machine, error)
	log     *slog.Logger
	file    string

	history   *telemetry.History
	estimator estimate.Estimator
	board     lent

	// Owned by Run.
	began   time.Time // for the clock that is never set
	sampled time.Duration
	saved   time.Time // step of the history that is on disk
	before  map[string]reading
	now     Moment
	pool    lentPool
	memory  *estimate.Node
	peak    prediction
	watch   watch
	warned  map[string]bool
}

// reading is what a container's counter was.
type reading struct {
	at  time.Time
	cpu time.Duration
}

// NewLender returns one that carries on with what an earlier one remembered once
// it runs. control may be nil; log may be nil.
func NewLender(cfg Lending, a *Agent, gauge Gauge, control isolate.Control, machine func() (telemetry.Machine, error), log *slog.Logger) (*Lender, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cfg = cfg.withDefaults()
	cfg.Estimator = cmp.Or(cfg.Estimator, estimate.Names[0])
	estimator, err := estimate.Named(cfg.Estimator, cfg.Estimate)
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	l := &Lender{
		cfg: cfg, agent: a, gauge: gauge, control: control, machine: machine, log: log,
		file: filepath.Join(a.cfg.Dir, "usage"), history: telemetry.NewHistory(0, log), estimator: estimator,
		memory: estimate.NewNode(cfg.Estimate), before: map[string]reading{}, warned: map[string]bool{},
	}
	l.watch = newWatch(cfg)
	return l, nil
}

// Run works until ctx ends.
func (l *Lender) Run(ctx context.Context) error {
	l.began = time.Now()
	if err := l.history.Load(l.file); err != nil {
		l.setAside(err)
	}
	l.recall()
	if !l.watch.on {
		l.release()
	}
	l.sample()
	timer := time.NewTimer(l.cfg.Window)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			l.save()
			return nil
		case <-timer.C:
			timer.Reset(l.turn())
		}
	}
}

// setAside keeps a history that cannot be read, or not to its end, from being
// written over: somebody may mend it, or a later version of this daemon wrote it.
func (l *Lender) setAside(err error) {
	kept := l.file + ".unread"
	if rerr := os.Rename(l.file, kept); rerr != nil {
		err = errors.Join(err, rerr)
	}
	l.log.Warn("usage of an earlier time is not remembered, or not all; its file is set aside", "file", kept, "err", err)
}

// turn does what is due and returns when to come back.
func (l *Lender) turn() time.Duration {
	if time.Since(l.began)-l.sampled >= sampling {
		l.sample()
	}
	if !l.watching() {
		return sampling
	}
	l.look()
	return l.cfg.Window
}

// recall has the estimator learn from what was remembered before this start.
func (l *Lender) recall() {
	type at struct {
		when    time.Time
		samples []estimate.Sample
	}
	past := map[int64]*at{}
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for _, id := range l.history.IDs() {
		use, _ := l.history.Latest(id)
		end, day := l.history.Steps(id)
		for i, s := range day {
			if !s.Seen || use.Revocable {
				continue
			}
			when := end.Add(-time.Duration(len(day)-1-i) * telemetry.StepLen)
			n := when.UnixNano() / int64(telemetry.StepLen)
			first, last = min(first, n), max(last, n)
			if past[n] == nil {
				past[n] = &at{when: when}
			}
			past[n].samples = append(past[n].samples, estimate.Sample{Task: id,
				Used: estimate.Amounts{float64(s.CPUs), float64(s.Mem)}, Limit: estimate.Amounts{use.CPUsLimit, use.MemLimit}})
		}
	}
	for n := first; n <= last; n++ {
		if p := past[n]; p != nil && l.memory.Observe(p.when, p.samples) {
			l.peak = predict(l.memory, l.estimator)
		}
	}
}

// release lets revocable tasks go that an earlier daemon held back: nobody
// watches now.
func (l *Lender) release() {
	var d qos.Decision
	for _, t := range l.agent.State().Tasks {
		if t.Revocable {
			d.Targets = append(d.Targets, qos.Target{ID: t.ContainerID, CPUs: math.Inf(1)})
		}
	}
	l.carryOut(d)
}

// save writes the history down.
func (l *Lender) save() {
	if err := l.history.Save(l.file); err != nil {
		l.warn("history", "usage is not kept for the next start", "err", err)
		return
	}
	delete(l.warned, "history")
}

// warn says something once, until it is taken back.
func (l *Lender) warn(what, message string, args ...any) {
	if !l.warned[what] {
		l.log.Warn(message, args...)
	}
	l.warned[what] = true
}

// History is what tasks used.
func (l *Lender) History() *telemetry.History { return l.history }

// lent is where readers see what a Lender does; the lock is held for memory only.
type lent struct {
	mu          sync.Mutex
	now         Moment
	past        []Moment
	day         []Moment // before it
	corrections []Correction
	counts      map[string]uint64 // of corrections by action
	violations  Violations
	samples     uint64
	missed      uint64
}

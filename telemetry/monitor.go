package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Config of a Monitor.
type Config struct {
	Interval time.Duration // between two readings of all containers [1s]
	Window   time.Duration // over which rates are taken [10s]
	Kept     int           // removed containers whose final usage is remembered [1000]
}

func (c Config) withDefaults() Config {
	if c.Interval <= 0 {
		c.Interval = time.Second
	}
	if c.Window <= 0 {
		c.Window = 10 * time.Second
	}
	if c.Kept <= 0 {
		c.Kept = 1000
	}
	return c
}

// Monitor polls a Source and keeps a short window of samples per container.
// Its methods may be called by many goroutines, also while it does not run.
type Monitor struct {
	cfg Config
	src Source
	log *slog.Logger

	mu      sync.Mutex // held for memory only, never over a reading
	live    map[string]*window
	gone    map[string]Usage
	order   []string // of gone, oldest first
	failing bool     // the last reading failed: say so once
}

// NewMonitor reads through src, which stays the caller's to close.
func NewMonitor(cfg Config, src Source, log *slog.Logger) *Monitor {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Monitor{cfg: cfg.withDefaults(), src: src, log: log,
		live: map[string]*window{}, gone: map[string]Usage{}}
}

// Source names where the figures come from: "ebpf" or "cgroup".
func (m *Monitor) Source() string { return m.src.Name() }

// Run polls until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	tick := time.NewTicker(m.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			m.poll()
		}
	}
}

// Add starts measuring c; adding an ID again starts it anew.
func (m *Monitor) Add(c Container) error {
	if err := m.src.Add(c); err != nil {
		return err
	}
	w := &window{added: time.Now()}
	if s, ok := m.readOne(c.ID); ok {
		w.push(s, m.cfg.Window)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live[c.ID] = w
	delete(m.gone, c.ID)
	return nil
}

// Remove takes a final reading and stops measuring. Usage keeps answering for
// the ID, with Final set, until many others were removed after it.
func (m *Monitor) Remove(id string) {
	last, ok := m.readOne(id)
	m.src.Remove(id)

	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.live[id]
	if w == nil {
		return
	}
	if ok {
		w.push(last, m.cfg.Window)
	}
	delete(m.live, id)
	u, ok := w.usage()
	if !ok {
		return
	}
	u.Source, u.Final = m.src.Name(), true
	m.keep(id, u)
}

// Usage of a container that is measured, or was recently.
func (m *Monitor) Usage(id string) (Usage, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := m.live[id]; w != nil {
		u, ok := w.usage()
		u.Source = m.src.Name()
		return u, ok
	}
	u, ok := m.gone[id]
	return u, ok
}

// All tells the usage of every container that is measured now.
func (m *Monitor) All() map[string]Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[string]Usage, len(m.live))
	for id, w := range m.live {
		if u, ok := w.usage(); ok {
			u.Source = m.src.Name()
			all[id] = u
		}
	}
	return all
}

// Pulse reads the counters of some containers now, past the window. Those that
// have vanished are left out.
func (m *Monitor) Pulse(ids []string) (map[string]Pulse, error) {
	if p, ok := m.src.(Pulser); ok {
		return p.Pulse(ids)
	}
	pulses := make(map[string]Pulse, len(ids))
	for _, id := range ids {
		if s, ok := m.readOne(id); ok {
			pulses[id] = Pulse{At: s.At, CPU: s.CPU, Preempted: s.Preempted}
		}
	}
	return pulses, nil
}

func (m *Monitor) poll() {
	samples, err := m.src.Read()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		if !m.failing {
			m.log.Warn("containers cannot be measured", "source", m.src.Name(), "err", err)
		}
		m.failing = true
		return
	}
	m.failing = false
	for id, s := range samples {
		// A reading that began before the container was added again is not its own.
		if w := m.live[id]; w != nil && !s.At.Before(w.added) {
			w.push(s, m.cfg.Window)
		}
	}
}

func (m *Monitor) readOne(id string) (Sample, bool) {
	if f, ok := m.src.(Final); ok {
		return f.ReadOne(id)
	}
	samples, err := m.src.Read()
	if err != nil {
		return Sample{}, false
	}
	s, ok := samples[id]
	return s, ok
}

// keep remembers a final usage and forgets the oldest beyond the bound.
// An ID that is removed again may be forgotten early.
func (m *Monitor) keep(id string, u Usage) {
	m.gone[id] = u
	m.order = append(m.order, id)
	if len(m.order) > m.cfg.Kept {
		delete(m.gone, m.order[0])
		m.order = m.order[1:]
	}
}

// window holds the samples of one container, oldest first.
type window struct {
	added   time.Time
	samples []Sample
}

// push drops what is older than keep, except for one sample at or beyond it,
// so that the window stays full.
func (w *window) push(s Sample, keep time.Duration) {
	if n := len(w.samples); n > 0 && !s.At.After(w.samples[n-1].At) {
		return
	}
	w.samples = append(w.samples, s)
	drop := 0
	for drop+1 < len(w.samples) && s.At.Sub(w.samples[drop+1].At) >= keep {
		drop++
	}
	if drop > 0 {
		w.samples = append(w.samples[:0], w.samples[drop:]...)
	}
}

func (w *window) usage() (Usage, bool) {
	if len(w.samples) == 0 {
		return Usage{}, false
	}
	first, last := w.samples[0], w.samples[len(w.samples)-1]
	return Usage{Sample: last, Rate: ratesOf(first, last)}, true
}

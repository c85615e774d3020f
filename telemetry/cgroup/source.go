package cgroup

import (
	"errors"
	"sync"
	"time"

	"muster/telemetry"
)

// Source measures containers from their cgroup files alone. It knows no network
// traffic and no run-queue waits by size. Its counters are those since the
// cgroup was made.
type Source struct {
	mu     sync.Mutex // never held over a reading
	groups map[string]*threads
}

// New returns a Source that works without privileges.
func New() *Source { return &Source{groups: map[string]*threads{}} }

// Name is "cgroup".
func (*Source) Name() string { return "cgroup" }

// Add starts measuring c.
func (s *Source) Add(c telemetry.Container) error {
	g, err := Open(c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[c.ID] = &threads{group: g}
	return nil
}

// Remove stops measuring.
func (s *Source) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, id)
}

// Read samples every container that still exists.
func (s *Source) Read() (map[string]telemetry.Sample, error) {
	s.mu.Lock()
	groups := make(map[string]*threads, len(s.groups))
	for id, g := range s.groups {
		groups[id] = g
	}
	s.mu.Unlock()

	samples := make(map[string]telemetry.Sample, len(groups))
	for id, g := range groups {
		sample, err := g.sample()
		if errors.Is(err, telemetry.ErrVanished) {
			continue
		}
		if err != nil {
			return nil, err
		}
		samples[id] = sample
	}
	return samples, nil
}

// ReadOne samples one container, if it still exists.
func (s *Source) ReadOne(id string) (telemetry.Sample, bool) {
	s.mu.Lock()
	g := s.groups[id]
	s.mu.Unlock()
	if g == nil {
		return telemetry.Sample{}, false
	}
	sample, err := g.sample()
	return sample, err == nil
}

// Close has nothing to free.
func (*Source) Close() error { return nil }

func (t *threads) sample() (telemetry.Sample, error) {
	s := telemetry.Sample{At: time.Now()}
	if err := t.group.Read(&s); err != nil {
		return s, err
	}
	s.RunQueue, s.Switches = t.update()
	s.Preempted = t.forOthers(s.RunQueue, s.Throttled)
	return s, nil
}

// Pulse reads what of some containers may be read many times a second: what they
// used and how their threads waited.
func (s *Source) Pulse(ids []string) (map[string]telemetry.Pulse, error) {
	pulses := make(map[string]telemetry.Pulse, len(ids))
	for _, id := range ids {
		s.mu.Lock()
		t := s.groups[id]
		s.mu.Unlock()
		if t == nil || t.group.alive() != nil {
			continue
		}
		sample := telemetry.Sample{At: time.Now()}
		t.group.readUse(&sample)
		waited, _ := t.update()
		pulses[id] = telemetry.Pulse{At: sample.At, CPU: sample.CPU, Preempted: t.forOthers(waited, sample.Throttled)}
	}
	return pulses, nil
}

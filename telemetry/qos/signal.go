package qos

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// idleUse is the share of all CPUs below which revocable tasks are to blame for nothing.
const idleUse = .02

// gap is how much time without a look makes what was seen before worthless.
const gap = time.Second

// maxBaseline bounds what is learned to be usual: a task that always waits so
// long in 100 ms suffers, with or without revocable tasks.
const maxBaseline = 20 * time.Millisecond

// signal tells from windows whether firm tasks suffer through revocable ones.
type signal struct {
	cfg   Config
	tasks map[string]*felt
	last  time.Duration
}

// felt is what one firm task has felt lately.
type felt struct {
	baseline time.Duration // what it waits in 100 ms while no revocable task runs
	windows  []bool        // the last ones, oldest first: was it bad?
	waited   time.Duration // in 100 ms, in the last bad window
	seen     time.Duration
}

// complaint is the worst of what is wrong.
type complaint struct {
	task, name      string
	waited, allowed time.Duration
	baseline        time.Duration
}

func (c *complaint) String() string {
	return fmt.Sprintf("task %s waited %s of 100 ms for CPUs that others held (allowed %s, alone %s)",
		cmp.Or(c.name, c.task), ms(c.waited), ms(c.allowed), ms(c.baseline))
}

// look takes in a window. It returns the worst violation, if there is one, and
// whether a window was bad at all.
func (s *signal) look(l *Look) (worst *complaint, bad bool) {
	if l.At-s.last > gap {
		for _, f := range s.tasks {
			f.windows = f.windows[:0]
		}
	}
	s.last = l.At
	idle := l.revocableUse() < idleUse*l.Capacity
	for _, firm := range l.Firm {
		f := s.tasks[firm.ID]
		if f == nil {
			f = &felt{}
			s.tasks[firm.ID] = f
		}
		f.seen = l.At
		waited := l.per100(max(firm.Waited, 0))
		if idle {
			f.learn(waited)
		}
		allowed := f.allowed(s.cfg)
		over := waited > allowed && !idle
		if f.windows = append(f.windows, over); len(f.windows) > s.cfg.Of {
			f.windows = slices.Delete(f.windows, 0, len(f.windows)-s.cfg.Of)
		}
		if over {
			bad, f.waited = true, waited
		}
		if f.violated(s.cfg) && (worst == nil || f.waited-allowed > worst.waited-worst.allowed) {
			worst = &complaint{task: firm.ID, name: firm.Name, waited: f.waited, allowed: allowed, baseline: f.baseline}
		}
	}
	for id, f := range s.tasks {
		if f.seen != l.At {
			delete(s.tasks, id)
		}
	}
	return worst, bad
}

// learn moves the baseline, up faster than down: a task that waits without any
// revocable task's doing must not be blamed on them for long.
func (f *felt) learn(waited time.Duration) {
	rate := .02
	if waited > f.baseline {
		rate = .1
	}
	f.baseline += time.Duration(rate * float64(waited-f.baseline))
	f.baseline = min(f.baseline, maxBaseline)
}

func (f *felt) allowed(c Config) time.Duration {
	return max(time.Duration(c.Factor*float64(f.baseline)), c.Floor)
}

func (f *felt) violated(c Config) bool {
	n := 0
	for _, bad := range f.windows {
		if bad {
			n++
		}
	}
	return n >= c.Bad
}

// forget starts the count anew: what was seen came before something was done about it.
func (s *signal) forget() {
	for _, f := range s.tasks {
		f.windows = f.windows[:0]
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

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

// longWait in 100 ms is what a task may wait that waits a third of it anyway. Who
// waits longer than that anyway may wait half as long again.
const longWait = 60 * time.Millisecond

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
	still    time.Duration // in 100 ms, since then while no revocable task ran; smoothed
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
		f.learn(waited, idle)
		allowed := f.allowed(s.cfg)
		over := waited > allowed && !idle
		if f.windows = append(f.windows, over); len(f.windows) > s.cfg.Of {
			f.windows = slices.Delete(f.windows, 0, len(f.windows)-s.cfg.Of)
		}
		if over {
			bad, f.waited, f.still = true, waited, 0
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
// revocable task's doing must not be blamed on them for long. Beside them it waits
// no less than alone, so a short wait is learned from at any time.
func (f *felt) learn(waited time.Duration, idle bool) {
	switch {
	case idle && waited > f.baseline:
		f.baseline += (waited - f.baseline) / 10
	case waited < f.baseline:
		f.baseline -= (f.baseline - waited) / 50
	}
	if idle {
		f.still += (waited - f.still) / 10
	}
}

func (f *felt) allowed(c Config) time.Duration {
	return max(min(time.Duration(c.Factor*float64(f.baseline)), longWait), f.baseline*3/2, c.Floor)
}

// unmoved tells whether a task that suffered has waited at least half as long while
// all revocable tasks stood still: then others are to blame.
func (s *signal) unmoved(task string) bool {
	f := s.tasks[task]
	return f != nil && f.still > f.waited/2
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

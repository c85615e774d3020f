package master

import "time"

// clock is the time that the core lives in: wall time, without its jumps. It goes on
// as fast as real time does, and comes nearer to the wall clock by a tenth of that: a
// clock that is set an hour ahead must not make all agents late at once. What it
// returns has no monotonic reading, so a recording of it is all of it.
type clock struct {
	at   time.Time
	last time.Time // as the machine told it, when at was set
}

func newClock() *clock {
	now := time.Now()
	return &clock{at: now.Round(0), last: now}
}

func (c *clock) now() time.Time { return c.moved(time.Now()) }

func (c *clock) moved(now time.Time) time.Time {
	passed := now.Sub(c.last)
	off := now.Round(0).Sub(c.at.Add(passed))
	c.at, c.last = c.at.Add(passed+max(-passed/10, min(off, passed/10))), now
	return c.at
}

// until returns how long it is to a time of this clock.
func (c *clock) until(at time.Time) time.Duration { return at.Sub(c.now()) }

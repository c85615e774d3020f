package master

import (
	"testing"
	"time"
)

func TestClockDoesNotJump(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, jump := range []time.Duration{0, time.Hour, -time.Hour, 50 * time.Millisecond} {
		// Without a monotonic reading a time is the wall clock's: so last tells it
		// how much time has really passed.
		c := &clock{at: start, last: start.Add(jump)}
		before := start
		for i := 1; i <= 20; i++ {
			got := c.moved(start.Add(jump + time.Duration(i)*time.Second))
			if passed := got.Sub(before); passed < 900*time.Millisecond || passed > 1100*time.Millisecond {
				t.Fatalf("jump %v: %v passed in a second", jump, passed)
			}
			before = got
		}
		off := before.Sub(start.Add(jump + 20*time.Second))
		want := max(0, jump.Abs()-2*time.Second)
		if off.Abs() != want {
			t.Errorf("jump %v: off by %v after 20 s, want %v", jump, off.Abs(), want)
		}
	}
}

package qos

import "time"

// Config of a Controller. The zero value is the default.
type Config struct {
	Floor   time.Duration // a firm task may wait so long in 100 ms for CPUs that others hold [2ms]
	Factor  float64       // or so many times what it waits when no revocable task runs [3]
	Of, Bad int           // so many bad windows of so many are a violation [5, 3]

	Share        float64       // of all CPUs is what may be busy under pressure [.65]
	TightenAfter time.Duration // from the first action to the second, if the violation goes on [1s]
	FreezeAfter  time.Duration // from the first action until tasks are frozen [3s]
	EvictAfter   time.Duration // from the first action until frozen tasks that have no room are evicted [10s]
	Cooldown     time.Duration // between two evictions [20s]

	RecoverAfter time.Duration // without a violation until the first action is undone; half of it between two steps [5s]
	RecoverMax   time.Duration // to which that grows when undoing it brings the violation back [2m]

	MemoryHigh float64 // share of the machine's memory above which revocable tasks are evicted [.70]
}

func (c Config) withDefaults() Config {
	or := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	share := func(f *float64, def float64) {
		if *f <= 0 {
			*f = def
		}
	}
	or(&c.Floor, 2*time.Millisecond)
	share(&c.Factor, 3)
	if c.Of <= 0 {
		c.Of = 5
	}
	if c.Bad <= 0 {
		c.Bad = min(3, c.Of)
	}
	share(&c.Share, .65)
	or(&c.TightenAfter, time.Second)
	or(&c.FreezeAfter, 3*time.Second)
	or(&c.EvictAfter, 10*time.Second)
	or(&c.Cooldown, 20*time.Second)
	or(&c.RecoverAfter, 5*time.Second)
	or(&c.RecoverMax, 2*time.Minute)
	share(&c.MemoryHigh, .70)
	return c
}

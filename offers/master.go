package offers

import (
	"time"

	"muster/offers/registry"
)

// Master decides for one leadership. One goroutine may use it at a time.
type Master struct {
	cfg   Config
	facts *registry.State // what is committed, as far as this core knows
}

// New returns a core that knows what the registry holds. It takes the state over:
// the caller uses it no longer. Its first input is Start.
func New(cfg Config, facts *registry.State) *Master {
	return &Master{cfg: cfg.withDefaults(), facts: facts}
}

// Step takes one input at a time that never runs backwards and returns what is
// to be done, in order. No input makes it panic.
func (m *Master) Step(now time.Time, in Input) []Effect {
	return nil
}

// Deadline returns when a Tick is due at the latest, zero when none is.
func (m *Master) Deadline() time.Time { return time.Time{} }

package offers

import (
	"bytes"
	"fmt"
	"time"

	"muster/offers/record"
)

// Replay is a core that is given again what a recording says another was given.
type Replay struct {
	core  *Master
	start time.Time
	last  uint64 // number of the last step
	bytes []byte // of the last step's effects
}

// NewReplay returns the core as it was before its first input.
func NewReplay(h *record.Header) (*Replay, error) {
	core, err := FromHeader(h)
	if err != nil {
		return nil, err
	}
	return &Replay{core: core, start: core.cfg.Elected}, nil
}

// Began returns when the leadership that is replayed began.
func (r *Replay) Began() time.Time { return r.start }

// Played is one step, done again.
type Played struct {
	Number  uint64
	Now     time.Time
	Input   Input
	Effects []Effect
	Panic   any  // what the core panicked with
	Checked bool // the recording says what the effects were, and these are they
}

// Difference is an effect that is not the recorded one.
type Difference struct {
	Step     uint64
	Effect   int    // its place, from 0; -1 when only the hash of all is recorded
	Recorded string // as a line; "" when it is not there
	Replayed string
}

func (d *Difference) Error() string {
	if d.Effect < 0 {
		return fmt.Sprintf("step %d differs: recorded %s, replayed %s", d.Step, d.Recorded, d.Replayed)
	}
	none := func(line string) string {
		if line == "" {
			return "no such effect"
		}
		return line
	}
	return fmt.Sprintf("step %d differs in effect %d:\n  recorded: %s\n  replayed: %s", d.Step, d.Effect, none(d.Recorded), none(d.Replayed))
}

// Step does one step again. Its error is a *Difference if the effects are not those
// that the recording tells of; else the step could not be read, and nothing was done.
func (r *Replay) Step(s *record.Step) (Played, error) {
	if s.GetNumber() != r.last+1 {
		return Played{}, fmt.Errorf("%w: step %d is followed by step %d", record.ErrDamaged, r.last, s.GetNumber())
	}
	now, in, err := FromStep(s)
	if err != nil {
		return Played{}, err
	}
	r.last++
	p := Played{Number: r.last, Now: now, Input: in}
	p.Effects, p.Panic = r.run(now, in)
	effects := RecordEffects(p.Effects)
	if r.bytes, err = record.AppendEffects(r.bytes[:0], effects...); err != nil {
		return p, err
	}
	switch {
	case s.GetFailed() != (p.Panic != nil):
		return p, &Difference{Step: r.last, Effect: -1, Recorded: outcome(s.GetFailed(), nil), Replayed: outcome(p.Panic != nil, p.Panic)}
	case s.EffectsHash == nil:
		return p, nil
	case record.Hash(r.bytes) == s.GetEffectsHash() && len(effects) == int(s.GetEffectCount()):
		p.Checked = true
		return p, nil
	}
	return p, r.difference(s, effects)
}

// EffectBytes returns the bytes of the last step's effects, valid until the next.
func (r *Replay) EffectBytes() []byte { return r.bytes }

func (r *Replay) run(now time.Time, in Input) (effects []Effect, panicked any) {
	defer func() { panicked = recover() }()
	return r.core.Step(now, in), nil
}

func outcome(failed bool, with any) string {
	switch {
	case !failed:
		return "no panic"
	case with == nil:
		return "a panic"
	}
	return fmt.Sprintf("a panic (%v)", with)
}

// difference finds the first effect that is not as recorded.
func (r *Replay) difference(s *record.Step, got []*record.Effect) error {
	if len(s.GetEffects()) == 0 && s.GetEffectCount() > 0 {
		return &Difference{
			Step: r.last, Effect: -1,
			Recorded: fmt.Sprintf("%d effects with hash %016x (they are not kept: record with effects to see them)", s.GetEffectCount(), s.GetEffectsHash()),
			Replayed: fmt.Sprintf("%d with %016x", len(got), record.Hash(r.bytes)),
		}
	}
	line := func(list []*record.Effect, i int) string {
		if i >= len(list) {
			return ""
		}
		return Describer{r.start}.Effect(FromEffect(list[i])) + " " + fmt.Sprint(list[i])
	}
	same := func(i int) bool {
		a, err := record.AppendEffects(nil, got[i])
		b, err2 := record.AppendEffects(nil, s.GetEffects()[i])
		return err == nil && err2 == nil && bytes.Equal(a, b)
	}
	i := 0
	for i < len(got) && i < len(s.GetEffects()) && same(i) {
		i++
	}
	return &Difference{Step: r.last, Effect: i, Recorded: line(s.GetEffects(), i), Replayed: line(got, i)}
}

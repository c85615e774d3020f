package offers

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/record"
)

// tape records every leadership of a world in memory, as a daemon does in a file.
// A nil tape records nothing.
type tape struct {
	redact  *record.Redactor // nil keeps secrets
	keep    bool             // the effects, besides their hash
	leads   [][]byte
	effects []byte // of all leaderships, redacted
	steps   uint64
}

func (p *tape) lead(w *world) {
	if p == nil {
		return
	}
	h, err := RecordHeader(w.cfg, w.registry)
	if err != nil {
		w.t.Fatal(err)
	}
	p.leads, p.steps = append(p.leads, nil), 0
	p.write(w.t, &record.Entry{Entry: &record.Entry_Header{Header: h}})
}

func (p *tape) write(t testing.TB, e *record.Entry) {
	if p.redact != nil {
		e = p.redact.Redact(e).(*record.Entry)
	}
	last := len(p.leads) - 1
	var err error
	if p.leads[last], err = record.Append(p.leads[last], e); err != nil {
		t.Fatal(err)
	}
}

func (p *tape) step(w *world, in Input, effects []Effect) {
	if p == nil {
		return
	}
	p.steps++
	s := RecordStep(w.now, in)
	s.Number = proto.Uint64(p.steps)
	list := RecordEffects(effects)
	if p.redact != nil {
		for i, e := range list {
			list[i] = p.redact.Redact(e).(*record.Effect)
		}
	}
	b, err := record.AppendEffects(nil, list...)
	if err != nil {
		w.t.Fatal(err)
	}
	p.effects = append(p.effects, b...)
	s.EffectCount, s.EffectsHash = proto.Uint32(uint32(len(effects))), proto.Uint64(record.Hash(b))
	e := &record.Entry{Entry: &record.Entry_Step{Step: s}}
	if p.redact != nil {
		e = p.redact.Redact(e).(*record.Entry)
	}
	if p.keep {
		e.GetStep().Effects = list
	}
	last := len(p.leads) - 1
	if p.leads[last], err = record.Append(p.leads[last], e); err != nil {
		w.t.Fatal(err)
	}
}

// replay runs all leaderships again and returns the bytes of all effects.
func (p *tape) replay() ([]byte, error) {
	var all []byte
	for _, b := range p.leads {
		effects, err := replay(b)
		all = append(all, effects...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// replay runs one recording again and checks every step of it.
func replay(b []byte) (effects []byte, err error) {
	e, n, err := record.Next(b)
	if err != nil {
		return nil, err
	}
	r, err := NewReplay(e.GetHeader())
	if err != nil {
		return nil, err
	}
	for b = b[n:]; len(b) > 0; b = b[n:] {
		if e, n, err = record.Next(b); err != nil {
			return effects, err
		}
		p, err := r.Step(e.GetStep())
		if err != nil {
			return effects, err
		}
		if !p.Checked {
			return effects, errors.New("a step was not checked")
		}
		effects = append(effects, r.EffectBytes()...)
	}
	return effects, nil
}

// recorded is a life of a simulated cluster with failures of all kinds.
func recorded(t *testing.T, seed uint64, rounds int, p *tape) *tape {
	t.Helper()
	newSimulation(t, seed, p).live(rounds)
	if len(p.effects) < 10_000 {
		t.Fatalf("only %d bytes of effects", len(p.effects))
	}
	return p
}

func replays(t *testing.T, p *tape) {
	t.Helper()
	got, err := p.replay()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, p.effects) {
		t.Fatalf("%d bytes of effects, then %d others", len(p.effects), len(got))
	}
}

var someTime = time.Unix(1_700_000_123, 456)

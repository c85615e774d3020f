package qos

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// plant is a machine on which what revocable tasks use delays a server, with
// noise, and with the answer to an order one window late.
type plant struct {
	rand     *rand.Rand
	capacity float64
	load     func(at time.Duration) float64 // CPUs of the server
	harm     float64                        // ms in 100 ms for each CPU beyond what is free
	tasks    []Revocable
	wants    map[string]float64
	orders   map[string]Target // in force
	late     map[string]Target // from the next window on
	at       time.Duration
}

func (p *plant) window() Look {
	p.at += 100 * time.Millisecond
	l := Look{At: p.at, Window: 100 * time.Millisecond, Capacity: p.capacity, System: .05 + .05*p.rand.Float64(), MemTotal: 1 << 33}
	used := 0.
	var left []Revocable
	for _, r := range p.tasks {
		t, ok := p.orders[r.ID]
		if ok && t.Evict {
			continue
		}
		r.CPUs = p.wants[r.ID] * (.9 + .2*p.rand.Float64())
		if ok {
			r.CPUs = min(r.CPUs, t.CPUs)
			if t.Frozen {
				r.CPUs = 0
			}
		}
		used += r.CPUs
		left = append(left, r)
	}
	p.tasks = left
	firm := p.load(p.at) * (.85 + .3*p.rand.Float64())
	wait := .3 * p.rand.ExpFloat64() // its own noise
	if over := firm + used + l.System - .75*p.capacity; over > 0 {
		wait += p.harm * over * (.5 + p.rand.ExpFloat64()/2)
	}
	if p.rand.Float64() < .02 {
		wait += 10 * p.rand.Float64() // a burst that is nobody's doing
	}
	l.Firm = []Firm{{ID: "web", CPUs: firm, Waited: time.Duration(wait * float64(time.Millisecond))}}
	l.Revocable = append(l.Revocable, p.tasks...)
	return l
}

func (p *plant) obey(d Decision) {
	p.orders = p.late
	p.late = map[string]Target{}
	for _, t := range d.Targets {
		p.late[t.ID] = t
	}
}

// TestNoisyPlantSettles: whatever the noise, the controller finds a quota at
// which the server is well, stays near it, and does not swing.
func TestNoisyPlantSettles(t *testing.T) {
	const run, settled = 30 * time.Minute, 5 * time.Minute
	for seed := range uint64(8) {
		for _, harm := range []float64{3, 6, 12} {
			t.Run(fmt.Sprintf("seed %d, harm %g", seed, harm), func(t *testing.T) {
				p := newPlant(seed, 4, 4, harm, func(time.Duration) float64 { return 1.2 })
				c := New(Config{})
				var bad, windows, turns, evicted int
				var used float64
				up, before := false, math.Inf(1)
				for p.at < run {
					l := p.window()
					d := c.Step(l)
					p.obey(d)
					for _, a := range d.Actions {
						if a.Kind == Evict {
							evicted++
						}
					}
					if p.at < settled {
						before = d.Quota
						continue
					}
					windows++
					used += l.revocableUse()
					if l.Firm[0].Waited > 2*time.Millisecond {
						bad++
					}
					if d.Quota != before {
						if rises := d.Quota > before; rises != up {
							up, turns = rises, turns+1
						}
						before = d.Quota
					}
				}
				used /= float64(windows)
				if share := float64(bad) / float64(windows); share > .04 {
					t.Errorf("the server suffered in %.1f %% of all windows, 2 %% of which are noise", 100*share)
				}
				// A turn down and a turn up for every probe beyond the ceiling: they get rarer.
				if turns > 12 {
					t.Errorf("the quota turned %d times in 25 minutes", turns)
				}
				if used < .9 { // 4 × .75 − 1.2 − .1 would do no harm at all
					t.Errorf("revocable tasks used %.2f CPUs of 1.7", used)
				}
				if evicted > 0 {
					t.Errorf("%d tasks were evicted, although there was room", evicted)
				}
				t.Logf("bad %.1f %%, %d turns, %.2f CPUs used", 100*float64(bad)/float64(windows), turns, used)
			})
		}
	}
}

// TestSwingingLoadIsFollowed: a server whose load comes and goes every few
// minutes gets its CPUs within seconds, and nothing runs away.
func TestSwingingLoadIsFollowed(t *testing.T) {
	p := newPlant(1, 4, 4, 8, func(at time.Duration) float64 {
		return 1 + .8*math.Sin(2*math.Pi*at.Seconds()/300)
	})
	c := New(Config{})
	var bad, windows int
	for p.at < time.Hour {
		l := p.window()
		p.obey(c.Step(l))
		windows++
		if l.Firm[0].Waited > 2*time.Millisecond {
			bad++
		}
	}
	if share := float64(bad) / float64(windows); share > .08 {
		t.Errorf("the server suffered in %.1f %% of all windows", 100*share)
	}
}

// TestSameLooksSameDecisions, also when tasks come and go.
func TestSameLooksSameDecisions(t *testing.T) {
	record := func() string {
		p := newPlant(5, 4, 8, 12, func(at time.Duration) float64 { return 1 + at.Seconds()/60 })
		c := New(Config{})
		out := ""
		for p.at < 3*time.Minute {
			d := c.Step(p.window())
			p.obey(d)
			out += fmt.Sprintln(d)
		}
		return out
	}
	if first, again := record(), record(); first != again {
		t.Error("two runs differ")
	}
}

func newPlant(seed uint64, capacity float64, tasks int, harm float64, load func(time.Duration) float64) *plant {
	p := &plant{rand: rand.New(rand.NewPCG(seed, 1)), capacity: capacity, load: load, harm: harm, wants: map[string]float64{}}
	for i := range tasks {
		id := fmt.Sprintf("b%d", i)
		p.tasks = append(p.tasks, Revocable{ID: id, Order: uint64(i), Request: .4, Mem: 1 << 26})
		p.wants[id] = 1
	}
	return p
}

// TestRecoveryIsBounded: whatever went before, once nobody suffers any more all
// is as it was within a time that is known from patience.
func TestRecoveryIsBounded(t *testing.T) {
	for seed := range uint64(50) {
		p := newPlant(seed, 4, 6, 0, func(time.Duration) float64 { return .5 })
		c := New(Config{})
		step := func(waited time.Duration) {
			l := p.window()
			l.Firm[0].Waited = waited
			p.obey(c.Step(l))
		}
		for p.at < 10*time.Minute {
			wait := []time.Duration{0, 10 * time.Millisecond}[p.rand.IntN(2)]
			for range 1 + p.rand.IntN(150) {
				step(wait)
			}
		}
		for range 5 { // what was seen is still counted
			step(0)
		}
		gone := p.at
		within := rests*c.patience + time.Duration(len(c.frozen)+20)*2500*time.Millisecond
		for c.level != Calm && p.at < gone+time.Hour {
			step(0)
		}
		if took := p.at - gone; took > within {
			t.Errorf("seed %d: all was as before after %s, not within %s", seed, took, within)
		}
	}
}

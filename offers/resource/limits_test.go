package resource

import (
	"testing"

	"pgregory.net/rapid"
)

func limits(t testing.TB, text string) Limits {
	l, err := ParseLimits(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLimits(t *testing.T) {
	l := limits(t, "mem:32;cpus:0.5;x:0")
	if l.String() != "cpus:0.5;mem:32;x:0" {
		t.Error(l)
	}
	for text, within := range map[string]bool{
		"cpus:0.5;mem:32": true, "disk:1000;y:7": true, "cpus:0.501": false, "mem:33": false, "x:1": false,
	} {
		q, err := ParseQuantities(text)
		if err != nil || l.Contains(q) != within {
			t.Errorf("%s within %s: %v %v", text, l, !within, err)
		}
	}
	if milli, bounded := l.Get("x"); milli != 0 || !bounded {
		t.Error("a bound of zero is one")
	}
	if _, bounded := l.Get("disk"); bounded || l.Empty() || !(Limits{}).Empty() {
		t.Error("disk is not bounded")
	}
	if m := l.Min(limits(t, "cpus:1;disk:5;y:2")); m.String() != "cpus:0.5;mem:32;disk:5;x:0;y:2" {
		t.Error(m)
	}
	for _, text := range []string{"cpus", "cpus:-1", "ports:[1-2]", "cpus(a):1", "cpus:1;cpus:2"} {
		if _, err := ParseLimits(text); err == nil {
			t.Errorf("%q is a limit", text)
		}
	}
}

func TestLimitsAlgebra(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) Quantities { return drawSet(t, label).Quantities() }
		q, bounds, more := draw("q"), draw("bounds"), draw("more")
		l := bounds.Bound(bounds)
		hold := func(law string, holds bool) {
			if !holds {
				t.Fatalf("%s: q %s, limits %s, more %s", law, q, l, more)
			}
		}
		capped := l.Cap(q)
		hold("what is capped is within", l.Contains(capped) && q.Contains(capped))
		hold("cap changes only what is beyond", l.Contains(q) == capped.Equal(q))
		hold("limits - q + q", !l.Contains(q) || l.Sub(q).Add(q).Equal(l))
		hold("room", l.Contains(q.Add(l.Sub(q).Cap(more))) || !l.Contains(q))
		hold("min is symmetric", l.Min(more.Bound(more)).Equal(more.Bound(more).Min(l)))
		hold("min is both", l.Min(more.Bound(more)).Contains(q) == (l.Contains(q) && more.Bound(more).Contains(q)))
		hold("max has both", q.Max(more).Contains(q) && q.Max(more).Contains(more) && q.Add(more).Contains(q.Max(more)))
	})
}

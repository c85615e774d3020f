package resource

import (
	"testing"

	"pgregory.net/rapid"
)

func TestChop(t *testing.T) {
	for _, c := range []struct{ set, most, want string }{
		{"cpus:4;mem:100", "cpus:4;mem:100", "cpus:4;mem:100"},
		{"cpus:4;mem:100", "disk:0", "cpus:4;mem:100"},
		{"cpus:4;mem:100", "cpus:1", "cpus:1;mem:100"},
		{"cpus:4;mem:100", "cpus:0;mem:0", ""},
		{"cpus:4;cpus{REV}:4;cpus(a):4;ports(a):[1-9]", "cpus:1", "cpus:1;cpus{REV}:4;cpus(a):4;ports(a):[1-9]"},
		{"x:4;y:3", "x:1;y:0", "x:1"},
		// Ports and items go with the largest part that is kept, rounded up.
		{"cpus:4;mem:100;ports:[1-8]", "cpus:1;mem:50", "cpus:1;mem:50;ports:[1-4]"},
		{"cpus:4;ports:[1-3];zones:{a,b,c,d,e}", "cpus:1", "cpus:1;ports:[1-1];zones:{a,b}"},
		{"cpus:4;mem:100;ports:[1-8]", "cpus:0", "mem:100;ports:[1-8]"},
		{"cpus:4;ports:[1-8]", "cpus:0", ""},
		// Of the ranges the smallest that is large enough; else large ones whole.
		{"cpus:4;ports:[1-8,11-12,21-26]", "cpus:1", "cpus:1;ports:[21-24]"},
		{"cpus:4;ports:[1-8,11-12,21-26]", "cpus:2.5", "cpus:2.5;ports:[1-8,11-12]"},
	} {
		if got := parse(t, c.set).Chop(limits(t, c.most)); !got.Equal(parse(t, c.want)) {
			t.Errorf("%s chopped to %s: %s", c.set, c.most, got)
		}
	}
}

func TestChopLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, most := drawSet(t, "s"), drawSet(t, "most").Quantities()
		l := most.Bound(most)
		chopped := s.Chop(l)
		loose, left := s.Unreserved().NonRevocable(), chopped.Unreserved().NonRevocable()
		hold := func(law string, holds bool) {
			if !holds {
				t.Fatalf("%s: %s chopped to %s is %s", law, s, l, chopped)
			}
		}
		hold("is a part", s.Contains(chopped))
		hold("stays within", l.Contains(left.Quantities()))
		hold("leaves the rest alone", chopped.Sub(left).Equal(s.Sub(loose)))
		hold("changes only what is beyond", l.Contains(loose.Quantities()) == chopped.Equal(s))
		hold("is done when it is done", l.Contains(loose.Quantities()) || chopped.Chop(l).Equal(chopped))
		for name, milli := range l.Cap(loose.Quantities()).All {
			hold("keeps what it can of "+name, name == "disk" || left.Scalar(name) == milli)
		}
		if chopped.Equal(s) || loose.len() > 1 {
			return
		}
		kept := 0.0
		for name, milli := range loose.Quantities().All {
			kept = max(kept, float64(left.Scalar(name))/float64(milli))
		}
		for _, p := range []string{"ports", "span"} {
			had, has := countRanges(loose.Ranges(p)), countRanges(left.Ranges(p))
			hold(p+" in proportion", float64(has) >= kept*float64(had)-1e-6 && float64(has) < kept*float64(had)+1+1e-6)
		}
	})
}

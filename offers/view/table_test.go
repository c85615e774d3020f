package view

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestATableIsAMapInOrder compares tables with maps, and clones with what they were.
func TestATableIsAMapInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	type pair struct {
		table table[string, int]
		want  map[string]int
	}
	var clones []pair
	var tab table[string, int]
	want, o := map[string]int{}, new(owner)
	for i := 1; i <= 20_000; i++ {
		growing := i/4000%2 == 0
		k := fmt.Sprint(r.IntN(3000))
		if r.IntN(4) > 0 == growing {
			tab.set(o, k, i)
			want[k] = i
		} else {
			tab.delete(o, k)
			delete(want, k)
		}
		if v, ok := tab.get(k); v != want[k] || ok != (v != 0) {
			t.Fatalf("step %d: %q is %d, %t; want %d", i, k, v, ok, want[k])
		}
		if r.IntN(1000) == 0 {
			clones = append(clones, pair{tab, maps.Clone(want)})
			o = new(owner)
		}
	}
	for i, c := range append(clones, pair{tab, want}) {
		keys := slices.Sorted(maps.Keys(c.want))
		if !slices.Equal(c.table.keys(), keys) || c.table.size != len(keys) {
			t.Fatalf("table %d has other keys than it should", i)
		}
		for j, v := range c.table.values() {
			if v != c.want[keys[j]] {
				t.Fatalf("table %d: %q is %d, want %d", i, keys[j], v, c.want[keys[j]])
			}
		}
		short := 0
		for _, list := range c.table.lists() {
			if len(list) == 0 || len(list) > runLength {
				t.Fatalf("table %d has a run of %d", i, len(list))
			}
			if len(list) <= runLength/4 {
				short++
			}
		}
		if short > 1+len(c.table.runs)/2 {
			t.Errorf("table %d: %d of %d runs are short", i, short, len(c.table.runs))
		}
	}
}

// TestAChangeAfterACloneCopiesARun counts what a clone and its original still share.
func TestAChangeAfterACloneCopiesARun(t *testing.T) {
	var tab table[string, int]
	o := new(owner)
	for i := range 10_000 {
		tab.set(o, fmt.Sprintf("%05d", i), i)
	}
	clone := tab
	o = new(owner)
	tab.set(o, "05000", -1)
	tab.delete(o, "07000")
	shared := 0
	for i, list := range tab.lists() {
		if &list[0] == &clone.lists()[i][0] {
			shared++
		}
	}
	if n := len(clone.runs); n != 10_000/runLength+1 || shared != n-2 {
		t.Errorf("%d of %d runs are shared", shared, n)
	}
}

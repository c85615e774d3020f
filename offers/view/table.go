package view

import (
	"cmp"
	"slices"
)

// owner is who may write a part in place: whoever holds the same owner. A view that
// is cloned gets a new one, as does the clone, so that neither writes what both hold.
type owner struct{ _ byte } // not of size 0: each has an address of its own

// runLength is how many entries a run holds at most: what is copied by the first
// change of one of them after a clone.
const runLength = 64

// table is a map in the order of its keys, kept as runs of neighbours. Copying the
// struct clones it: what is written later with another owner is copied first, a run
// and the list of runs.
type table[K cmp.Ordered, V any] struct {
	runs  []*run[K, V] // none is empty
	owner *owner       // of the list
	size  int
}

type run[K cmp.Ordered, V any] struct {
	keys   []K
	values []V
	owner  *owner
}

func (t *table[K, V]) get(k K) (v V, ok bool) {
	i, j, ok := t.find(k)
	if ok {
		v = t.runs[i].values[j]
	}
	return v, ok
}

// find returns where k is: the run, and the place in it; or where it would be.
func (t *table[K, V]) find(k K) (i, j int, ok bool) {
	lo, hi := 0, len(t.runs) // the last run that does not begin after k
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); t.runs[mid].keys[0] <= k {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	i = max(lo-1, 0)
	if i < len(t.runs) {
		j, ok = slices.BinarySearch(t.runs[i].keys, k)
	}
	return i, j, ok
}

func (t *table[K, V]) set(o *owner, k K, v V) {
	i, j, ok := t.find(k)
	if i == len(t.runs) {
		t.insert(o, 0, &run[K, V]{owner: o})
	}
	r := t.own(o, i)
	if ok {
		r.values[j] = v
		return
	}
	if len(r.keys) == runLength {
		at := runLength / 2
		if j == runLength && i == len(t.runs)-1 {
			at = runLength // keys that ascend fill their runs
		}
		next := &run[K, V]{slices.Clone(r.keys[at:]), slices.Clone(r.values[at:]), o}
		r.cut(at, runLength)
		t.insert(o, i+1, next)
		if j >= at {
			r, j = next, j-at
		}
	}
	r.keys, r.values = slices.Insert(r.keys, j, k), slices.Insert(r.values, j, v)
	t.size++
}

func (t *table[K, V]) delete(o *owner, k K) {
	i, j, ok := t.find(k)
	if !ok {
		return
	}
	r := t.own(o, i)
	r.cut(j, j+1)
	t.size--
	if len(r.keys) == 0 {
		t.remove(o, i)
	} else if !t.join(o, i-1) {
		t.join(o, i)
	}
}

// join makes one run of run i and the next if they are short.
func (t *table[K, V]) join(o *owner, i int) bool {
	if i < 0 || i+1 >= len(t.runs) || len(t.runs[i].keys)+len(t.runs[i+1].keys) > runLength/2 {
		return false
	}
	r, next := t.own(o, i), t.runs[i+1]
	r.keys, r.values = append(r.keys, next.keys...), append(r.values, next.values...)
	t.remove(o, i+1)
	return true
}

// own returns run i, to be written in place.
func (t *table[K, V]) own(o *owner, i int) *run[K, V] {
	r := t.runs[i]
	if r.owner != o {
		t.ownList(o)
		r = &run[K, V]{slices.Clone(r.keys), slices.Clone(r.values), o}
		t.runs[i] = r
	}
	return r
}

func (t *table[K, V]) ownList(o *owner) {
	if t.owner != o {
		t.runs, t.owner = slices.Clone(t.runs), o
	}
}

func (t *table[K, V]) insert(o *owner, i int, r *run[K, V]) {
	t.ownList(o)
	t.runs = slices.Insert(t.runs, i, r)
}

func (t *table[K, V]) remove(o *owner, i int) {
	t.ownList(o)
	t.runs = slices.Delete(t.runs, i, i+1)
}

func (r *run[K, V]) cut(from, to int) {
	r.keys, r.values = slices.Delete(r.keys, from, to), slices.Delete(r.values, from, to)
}

func (t *table[K, V]) keys() []K {
	out := make([]K, 0, t.size)
	for _, r := range t.runs {
		out = append(out, r.keys...)
	}
	return out
}

// lists returns the values of each run.
func (t *table[K, V]) lists() [][]V {
	out := make([][]V, len(t.runs))
	for i, r := range t.runs {
		out[i] = slices.Clip(r.values)
	}
	return out
}

// values returns what the table holds in the order of its keys.
func (t *table[K, V]) values() []V { return slices.Concat(t.lists()...) }

// history is the last items of a list that is only added to.
type history[V any] struct {
	table[uint64, V]
	next uint64
}

// add drops the oldest items where there would be more than max.
func (h *history[V]) add(o *owner, v V, max int) {
	h.set(o, h.next, v)
	for h.next++; h.size > max; {
		h.delete(o, h.runs[0].keys[0])
	}
}

// last returns the newest item that fits.
func (h *history[V]) last(fits func(V) bool) (v V, ok bool) {
	for _, r := range slices.Backward(h.runs) {
		for _, v := range slices.Backward(r.values) {
			if fits(v) {
				return v, true
			}
		}
	}
	return v, false
}

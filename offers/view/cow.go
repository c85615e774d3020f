package view

import (
	"cmp"
	"maps"
	"slices"
)

// table is a map that copies itself at the first write after it was cloned, so
// that a clone costs nothing and may be read by another goroutine.
type table[K cmp.Ordered, V any] struct {
	m      map[K]V
	shared bool
}

func (t *table[K, V]) clone() table[K, V] {
	t.shared = true
	return *t
}

// copy returns a clone of a table that is itself never written again.
func (t *table[K, V]) copy() table[K, V] { return table[K, V]{m: t.m, shared: true} }

// own makes the map safe to write.
func (t *table[K, V]) own() {
	if t.m == nil {
		t.m = map[K]V{}
	} else if t.shared {
		t.m = maps.Clone(t.m)
	}
	t.shared = false
}

func (t *table[K, V]) get(k K) (V, bool) {
	v, ok := t.m[k]
	return v, ok
}

func (t *table[K, V]) set(k K, v V) {
	t.own()
	t.m[k] = v
}

func (t *table[K, V]) delete(k K) {
	if _, ok := t.m[k]; ok {
		t.own()
		delete(t.m, k)
	}
}

func (t *table[K, V]) keys() []K { return slices.Sorted(maps.Keys(t.m)) }

// values returns what the table holds in the order of its keys.
func (t *table[K, V]) values() []V {
	out := make([]V, 0, len(t.m))
	for _, k := range t.keys() {
		out = append(out, t.m[k])
	}
	return out
}

// bounded is a list of the last max items. Items are only appended; a clone
// shares the array and never sees what is appended later.
type bounded[V any] struct{ items []V }

func (b *bounded[V]) add(v V, max int) {
	b.items = append(b.items, v)
	if over := len(b.items) - max; over > 0 {
		b.items = b.items[over:]
	}
}

// clone returns a list whose next append copies, as does the original's.
func (b *bounded[V]) clone() bounded[V] {
	*b = b.copy()
	return *b
}

// copy returns a clone of a list that is itself never appended to again.
func (b *bounded[V]) copy() bounded[V] { return bounded[V]{b.items[:len(b.items):len(b.items)]} }

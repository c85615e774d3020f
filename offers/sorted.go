package offers

import (
	"cmp"
	"maps"
	"slices"
)

// sorted returns the values of a map in the order of its keys, in a slice of its
// own: what is called for one may change the map.
func sorted[K cmp.Ordered, V any](m map[K]V) []V {
	if len(m) == 0 {
		return nil
	}
	out := make([]V, 0, len(m))
	for _, k := range sortedKeys(m) {
		out = append(out, m[k])
	}
	return out
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	if len(m) == 1 {
		for k := range m {
			return []K{k}
		}
	}
	return slices.Sorted(maps.Keys(m))
}

// byNumber returns offers in the order they were made.
func byNumber(offers map[string]*offer) []*offer {
	if len(offers) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Values(offers), func(a, b *offer) int { return cmp.Compare(a.number, b.number) })
}

package resource

import (
	"cmp"
	"slices"
)

// newMore is nil when there is nothing to hold.
func newMore(values []value, volumes []volume) *more {
	if len(values) == 0 && len(volumes) == 0 {
		return nil
	}
	return &more{values: values, volumes: volumes}
}

func (m *more) add(o *more) *more {
	if m == nil {
		return o
	}
	if o == nil {
		return m
	}
	values := mergeSorted(m.values, o.values,
		func(a, b value) int { return a.compare(&b) }, value.add)
	volumes := mergeSorted(m.volumes, o.volumes, compareVolumes,
		func(a, b volume) volume { return volume{a.milli, saturate(a.count, b.count)} })
	return newMore(values, volumes)
}

// sub takes o away from m; both are there.
func (m *more) sub(o *more) *more {
	var values []value
	for _, v := range m.values {
		if w := find(o.values, &v); w != nil {
			v = v.sub(*w)
		}
		if !v.empty() {
			values = append(values, v)
		}
	}
	var volumes []volume
	for _, v := range m.volumes {
		v.count -= min(v.count, o.count(v.milli))
		if v.count > 0 {
			volumes = append(volumes, v)
		}
	}
	return newMore(values, volumes)
}

func (m *more) contains(o *more) bool {
	if o == nil || m == o {
		return true
	}
	if m == nil {
		return false
	}
	for _, v := range o.values {
		w := find(m.values, &v)
		if w == nil || !w.contains(v) {
			return false
		}
	}
	for _, v := range o.volumes {
		if m.count(v.milli) < v.count {
			return false
		}
	}
	return true
}

func (m *more) equal(o *more) bool {
	if m == nil || o == nil {
		return m == o
	}
	return slices.Equal(m.volumes, o.volumes) && slices.EqualFunc(m.values, o.values, value.equal)
}

// count says how many volumes of this size there are.
func (m *more) count(milli int64) int64 {
	i, found := slices.BinarySearchFunc(m.volumes, volume{milli: milli}, compareVolumes)
	if !found {
		return 0
	}
	return m.volumes[i].count
}

func compareVolumes(a, b volume) int { return cmp.Compare(a.milli, b.milli) }

// mergeSorted merges two sorted lists; where both have an element, join of both.
func mergeSorted[T any](a, b []T, compare func(a, b T) int, join func(a, b T) T) []T {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	out := make([]T, 0, len(a)+len(b))
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch c := compare(a[i], b[j]); {
		case c < 0:
			out = append(out, a[i])
			i++
		case c > 0:
			out = append(out, b[j])
			j++
		default:
			out = append(out, join(a[i], b[j]))
			i++
			j++
		}
	}
	out = append(out, a[i:]...)
	return append(out, b[j:]...)
}

// unionItems, subtractItems and containsItems work on sorted lists of strings
// without duplicates. The result may be one of the arguments.
func unionItems(a, b []string) []string {
	return mergeSorted(a, b, cmp.Compare[string], func(x, _ string) string { return x })
}

func subtractItems(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return a
	}
	var out []string
	for _, x := range a {
		if _, found := slices.BinarySearch(b, x); !found {
			out = append(out, x)
		}
	}
	return out
}

func containsItems(a, b []string) bool {
	for _, x := range b {
		if _, found := slices.BinarySearch(a, x); !found {
			return false
		}
	}
	return true
}

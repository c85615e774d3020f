package resource

import (
	"maps"
	"slices"
	"strings"

	"muster/offers/mesos"
)

// Limits are upper bounds of scalars by name, in thousandths: an immutable
// value. What they do not name is unbounded; the zero value bounds nothing.
// Mesos: include/mesos/resource_quantities.hpp, ResourceLimits.
type Limits struct {
	bounded [numBase]bool
	most    [numBase]int64
	more    []quantity // other names, sorted; a zero is a bound too
}

// ParseLimits reads "cpus:10;mem:0".
func ParseLimits(text string) (Limits, error) {
	scalars, err := parseScalars(text)
	if err != nil {
		return Limits{}, err
	}
	return LimitsFromProto(scalars)
}

// LimitsFromProto validates the scalars of a message.
func LimitsFromProto(scalars map[string]*mesos.Value_Scalar) (Limits, error) {
	var l Limits
	for _, name := range slices.Sorted(maps.Keys(scalars)) { // of several errors always the same
		milli, err := quantityFromProto(name, scalars[name])
		if err != nil {
			return Limits{}, err
		}
		if i := baseIndex(name); i >= 0 {
			l.bounded[i], l.most[i] = true, milli
		} else {
			l.more = append(l.more, quantity{name, milli})
		}
	}
	slices.SortFunc(l.more, compareQuantity)
	return l, nil
}

// Bound returns limits of everything that q has, at what most has of it.
func (q Quantities) Bound(most Quantities) Limits {
	var l Limits
	for i, v := range q.base {
		if v != 0 {
			l.bounded[i], l.most[i] = true, most.base[i]
		}
	}
	for _, v := range q.more {
		l.more = append(l.more, quantity{v.name, most.Get(v.name)})
	}
	return l
}

// Empty reports whether nothing is bounded.
func (l Limits) Empty() bool { return l.bounded == [numBase]bool{} && len(l.more) == 0 }

// Get returns the bound of the named scalar, if there is one.
func (l Limits) Get(name string) (milli int64, bounded bool) {
	if i := baseIndex(name); i >= 0 {
		return l.most[i], l.bounded[i]
	}
	i, found := slices.BinarySearchFunc(l.more, quantity{name: name}, compareQuantity)
	if !found {
		return 0, false
	}
	return l.more[i].milli, true
}

// Contains reports whether q stays within every bound.
func (l Limits) Contains(q Quantities) bool {
	for i, v := range q.base {
		if l.bounded[i] && v > l.most[i] {
			return false
		}
	}
	for _, v := range l.more {
		if q.Get(v.name) > v.milli {
			return false
		}
	}
	return true
}

// Sub lowers the bounds by q, to zero at the least.
func (l Limits) Sub(q Quantities) Limits {
	for i, v := range q.base {
		l.most[i] = max(0, l.most[i]-v)
	}
	return l.other(func(v quantity) int64 { return max(0, v.milli-q.Get(v.name)) })
}

// Add raises the bounds by q.
func (l Limits) Add(q Quantities) Limits {
	for i, v := range q.base {
		if l.bounded[i] {
			l.most[i] = saturate(l.most[i], v)
		}
	}
	return l.other(func(v quantity) int64 { return saturate(v.milli, q.Get(v.name)) })
}

// other returns l with other bounds of the names that are not held by index.
func (l Limits) other(bound func(quantity) int64) Limits {
	if len(l.more) > 0 {
		l.more = slices.Clone(l.more)
		for i, v := range l.more {
			l.more[i].milli = bound(v)
		}
	}
	return l
}

// Min bounds what either bounds, by the tighter of the two.
func (l Limits) Min(o Limits) Limits {
	for i, bounded := range o.bounded {
		if bounded && (!l.bounded[i] || o.most[i] < l.most[i]) {
			l.bounded[i], l.most[i] = true, o.most[i]
		}
	}
	l.more = mergeSorted(l.more, o.more, compareQuantity,
		func(a, b quantity) quantity { return quantity{a.name, min(a.milli, b.milli)} })
	return l
}

// Cap returns q, with no more of anything than its bound.
func (l Limits) Cap(q Quantities) Quantities {
	for i, bounded := range l.bounded {
		if bounded {
			q.base[i] = min(q.base[i], l.most[i])
		}
	}
	if len(q.more) == 0 || len(l.more) == 0 {
		return q
	}
	var capped []quantity
	for _, v := range q.more {
		if most, bounded := l.Get(v.name); bounded {
			v.milli = min(v.milli, most)
		}
		if v.milli > 0 {
			capped = append(capped, v)
		}
	}
	q.more = capped
	return q
}

// Equal reports whether both bound the same to the same.
func (l Limits) Equal(o Limits) bool {
	return l.bounded == o.bounded && l.most == o.most && slices.Equal(l.more, o.more)
}

// All calls yield with every bound: cpus, gpus, mem, disk, then the others by name.
func (l Limits) All(yield func(name string, milli int64) bool) {
	for i, bounded := range l.bounded {
		if bounded && !yield(baseNames[i], l.most[i]) {
			return
		}
	}
	for _, v := range l.more {
		if !yield(v.name, v.milli) {
			return
		}
	}
}

// String is the form ParseLimits reads.
func (l Limits) String() string {
	var texts []string
	for name, milli := range l.All {
		texts = append(texts, name+":"+formatMilli(milli))
	}
	return strings.Join(texts, ";")
}

package api

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"muster/offers/mesos"
)

// amount is the sum of all resources of one name, one type and one revocability.
type amount struct {
	name   string // with its suffix
	milli  int64
	ranges []*mesos.Value_Range
	items  []string
	kind   mesos.Value_Type
}

// wellKnown are the scalars that are always told, be they 0.
var wellKnown = [...]string{"cpus", "gpus", "mem", "disk"}

// resources writes sums by name: scalars as numbers, ranges and sets as text.
// Revocable ones have names of their own.
// Mesos: src/common/http.cpp, model(const Resources&).
func (w *writer) resources(lists ...[]*mesos.Resource) {
	sums := make([]amount, 0, 8)
	for _, name := range wellKnown {
		sums = append(sums, amount{name: name})
	}
	for _, list := range lists {
		for _, r := range list {
			sums = add(sums, r)
		}
	}
	slices.SortStableFunc(sums[len(wellKnown):], func(a, b amount) int { return cmp.Compare(a.name, b.name) })
	w.open('{')
	for _, s := range sums {
		w.key(s.name)
		switch s.kind {
		case mesos.Value_RANGES:
			w.str(rangesText(merged(s.ranges)))
		case mesos.Value_SET:
			slices.Sort(s.items)
			w.str("{" + strings.Join(slices.Compact(s.items), ", ") + "}")
		default:
			w.num(float64(s.milli) / 1000)
		}
	}
	w.close('}')
}

func add(sums []amount, r *mesos.Resource) []amount {
	name := r.GetName()
	if r.Revocable != nil {
		name += "_revocable"
	}
	i := slices.IndexFunc(sums, func(s amount) bool { return s.name == name })
	if i < 0 {
		i, sums = len(sums), append(sums, amount{name: name, kind: r.GetType()})
	}
	s := &sums[i]
	s.milli += int64(math.Round(r.GetScalar().GetValue() * 1000))
	s.ranges = append(s.ranges, r.GetRanges().GetRange()...)
	s.items = append(s.items, r.GetSet().GetItem()...)
	return sums
}

// merged sorts ranges and joins those that touch.
func merged(list []*mesos.Value_Range) []*mesos.Value_Range {
	slices.SortFunc(list, func(a, b *mesos.Value_Range) int { return cmp.Compare(a.GetBegin(), b.GetBegin()) })
	var out []*mesos.Value_Range
	for _, r := range list {
		if n := len(out); n > 0 && r.GetBegin() <= out[n-1].GetEnd()+1 {
			end := max(out[n-1].GetEnd(), r.GetEnd())
			out[n-1] = &mesos.Value_Range{Begin: out[n-1].Begin, End: &end}
			continue
		}
		out = append(out, r)
	}
	return out
}

func rangesText(list []*mesos.Value_Range) string {
	b := []byte{'['}
	for i, r := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendUint(b, r.GetBegin(), 10)
		b = append(b, '-')
		b = strconv.AppendUint(b, r.GetEnd(), 10)
	}
	return string(append(b, ']'))
}

// attributes writes an agent's attributes as plain values keyed by name.
func (w *writer) attributes(list []*mesos.Attribute) {
	w.open('{')
	for i, a := range list {
		if slices.ContainsFunc(list[i+1:], func(b *mesos.Attribute) bool { return a.GetName() == b.GetName() }) {
			continue // the last of a name counts
		}
		w.key(a.GetName())
		switch a.GetType() {
		case mesos.Value_SCALAR:
			w.num(a.GetScalar().GetValue())
		case mesos.Value_RANGES:
			w.str(rangesText(a.GetRanges().GetRange()))
		case mesos.Value_SET:
			w.str("{" + strings.Join(a.GetSet().GetItem(), ", ") + "}")
		default:
			w.str(a.GetText().GetValue())
		}
	}
	w.close('}')
}

// byReservation parts resources by the role they are reserved to.
func byReservation(list []*mesos.Resource) (reserved map[string][]*mesos.Resource, unreserved []*mesos.Resource) {
	reserved = map[string][]*mesos.Resource{}
	for _, r := range list {
		if n := len(r.GetReservations()); n > 0 {
			role := r.GetReservations()[n-1].GetRole()
			reserved[role] = append(reserved[role], r)
			continue
		}
		unreserved = append(unreserved, r)
	}
	return reserved, unreserved
}

package resource

import (
	"cmp"
	"math"
	"slices"
)

// Range is the numbers from Begin to End, both included.
type Range struct{ Begin, End uint64 }

// Lists of ranges are sorted, disjoint and not adjacent, and never written
// once made: results may share memory with arguments.

// touches reports whether b, which does not begin before a, overlaps or
// continues it.
func (a Range) touches(b Range) bool {
	return a.End == math.MaxUint64 || b.Begin <= a.End+1
}

// coalesce sorts rs in place and joins what overlaps or is adjacent.
func coalesce(rs []Range) []Range {
	slices.SortFunc(rs, func(a, b Range) int { return cmp.Compare(a.Begin, b.Begin) })
	out := rs[:0]
	for _, r := range rs {
		out = appendRange(out, r)
	}
	return out
}

// appendRange appends r, which does not begin before the last of out.
func appendRange(out []Range, r Range) []Range {
	if n := len(out); n > 0 && out[n-1].touches(r) {
		out[n-1].End = max(out[n-1].End, r.End)
		return out
	}
	return append(out, r)
}

func unionRanges(a, b []Range) []Range {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 || sameRanges(a, b) {
		return a
	}
	out := make([]Range, 0, len(a)+len(b))
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		if j == len(b) || i < len(a) && a[i].Begin <= b[j].Begin {
			out = appendRange(out, a[i])
			i++
		} else {
			out = appendRange(out, b[j])
			j++
		}
	}
	return out
}

func subtractRanges(a, b []Range) []Range {
	if len(a) == 0 || len(b) == 0 {
		return a
	}
	if sameRanges(a, b) {
		return nil
	}
	out := make([]Range, 0, len(a)+len(b))
	j := 0
	for _, r := range a {
		for ; j < len(b) && b[j].End < r.Begin; j++ {
		}
		left, k := true, j
		for ; k < len(b) && b[k].Begin <= r.End; k++ {
			if b[k].Begin > r.Begin {
				out = append(out, Range{r.Begin, b[k].Begin - 1})
			}
			if b[k].End >= r.End {
				left = false
				break
			}
			r.Begin = b[k].End + 1
		}
		j = k
		if left {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func containsRanges(a, b []Range) bool {
	if len(b) == 0 || sameRanges(a, b) {
		return true
	}
	i := 0
	for _, r := range b {
		for i < len(a) && a[i].End < r.End {
			i++
		}
		if i == len(a) || a[i].Begin > r.Begin {
			return false
		}
	}
	return true
}

// sameRanges is the short cut for the very same list.
func sameRanges(a, b []Range) bool {
	return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0]
}

// countRanges says how many numbers there are.
func countRanges(rs []Range) uint64 {
	n := uint64(0)
	for _, r := range rs {
		n += r.End - r.Begin + 1
	}
	return n
}

// takeRanges returns n of the numbers, in few pieces, and leaves few: the start
// of the smallest range that has them all, or the largest whole and so on.
func takeRanges(rs []Range, n uint64) []Range {
	if n >= countRanges(rs) {
		return rs
	}
	var out []Range
	for left := slices.Clone(rs); n > 0; {
		at := 0
		for i, r := range left {
			size, best := r.End-r.Begin+1, left[at].End-left[at].Begin+1
			if size >= n && (best < n || size < best) || size > best && best < n {
				at = i
			}
		}
		r := left[at]
		left = slices.Delete(left, at, at+1)
		if r.End-r.Begin >= n {
			r.End = r.Begin + n - 1
		}
		out = append(out, r)
		n -= r.End - r.Begin + 1
	}
	return coalesce(out)
}

package resource

import "strings"

// Milli is the unit of scalars: 1 cpu is 1000.
const Milli = 1000

// Set is a multiset of resources, an immutable value. The zero value is empty.
//
// Everything that differs only in amount is held in one part. Almost every set
// has a single one (cpus, mem, disk and ports, unreserved), so the first part
// is held inline. Parts are sorted by label and none is empty: equal sets have
// equal parts.
type Set struct {
	head part
	tail []part
}

// Empty reports whether there is nothing in the set.
func (s Set) Empty() bool { return s.head.empty() }

// Parts is how many parts the set has: of different reservations, disks or allocations.
func (s Set) Parts() int { return s.len() }

func (s *Set) len() int {
	if s.head.empty() {
		return 0
	}
	return 1 + len(s.tail)
}

func (s *Set) at(i int) *part {
	if i == 0 {
		return &s.head
	}
	return &s.tail[i-1]
}

// push appends p, whose label is greater than those there. Empty parts vanish.
func (s *Set) push(p part) {
	switch {
	case p.empty():
	case s.head.empty():
		s.head = p
	default:
		s.tail = append(s.tail, p)
	}
}

// Add returns the union of both multisets. Scalars that would exceed an int64
// stay at its maximum.
func (s Set) Add(o Set) Set {
	if o.Empty() {
		return s
	}
	if s.Empty() {
		return o
	}
	if s.tail == nil && o.tail == nil && s.head.sameLabel(&o.head) {
		return Set{head: s.head.add(&o.head)}
	}
	out := Set{}
	i, j, n, m := 0, 0, s.len(), o.len()
	for i < n && j < m {
		a, b := s.at(i), o.at(j)
		switch c := a.compareLabel(b); {
		case c < 0:
			out.push(*a)
			i++
		case c > 0:
			out.push(*b)
			j++
		default:
			out.push(a.add(b))
			i++
			j++
		}
	}
	for ; i < n; i++ {
		out.push(*s.at(i))
	}
	for ; j < m; j++ {
		out.push(*o.at(j))
	}
	return out
}

// Sub takes o away. What is not there is ignored: no amount becomes negative.
func (s Set) Sub(o Set) Set {
	if s.Empty() || o.Empty() {
		return s
	}
	if s.tail == nil && o.tail == nil {
		if !s.head.sameLabel(&o.head) {
			return s
		}
		return Set{head: s.head.sub(&o.head)}
	}
	out := Set{}
	i, j, n, m := 0, 0, s.len(), o.len()
	for i < n {
		a, c := s.at(i), -1
		if j < m {
			c = a.compareLabel(o.at(j))
		}
		switch {
		case c < 0:
			out.push(*a)
			i++
		case c > 0:
			j++
		default:
			out.push(a.sub(o.at(j)))
			i++
			j++
		}
	}
	return out
}

// Contains reports whether all of o is in s.
func (s Set) Contains(o Set) bool {
	if s.tail == nil && o.tail == nil {
		if o.Empty() {
			return true
		}
		return s.head.sameLabel(&o.head) && s.head.contains(&o.head)
	}
	i, n := 0, s.len()
	for j, m := 0, o.len(); j < m; j++ {
		b, c := o.at(j), -1
		for ; i < n; i++ {
			if c = s.at(i).compareLabel(b); c >= 0 {
				break
			}
		}
		if c != 0 || !s.at(i).contains(b) {
			return false
		}
	}
	return true
}

// Equal reports whether both hold the same. As in Mesos, the volume of a disk
// says how it is used and the principal of a persistence who made it: neither
// is compared.
func (s Set) Equal(o Set) bool {
	n := s.len()
	if n != o.len() {
		return false
	}
	for i := range n {
		a, b := s.at(i), o.at(i)
		if !a.sameLabel(b) || !a.equal(b) {
			return false
		}
	}
	return true
}

// Sum adds many sets in n log n.
func Sum(sets ...Set) Set {
	switch len(sets) {
	case 0:
		return Set{}
	case 1:
		return sets[0]
	}
	half := len(sets) / 2
	return Sum(sets[:half]...).Add(Sum(sets[half:]...))
}

// Scalar returns the thousandths of the named scalar in all of the set. A
// shared volume counts once, however many use it.
func (s Set) Scalar(name string) int64 {
	sum := int64(0)
	for i, n := 0, s.len(); i < n; i++ {
		sum = saturate(sum, s.at(i).scalar(name))
	}
	return sum
}

// Ranges returns the named ranges of all of the set, sorted and coalesced. The
// caller must not write to them.
func (s Set) Ranges(name string) []Range {
	var out []Range
	for i, n := 0, s.len(); i < n; i++ {
		out = unionRanges(out, s.at(i).ranges(name))
	}
	return out[:len(out):len(out)]
}

// Items returns the elements of the named set in all of the set, sorted. The
// caller must not write to them.
func (s Set) Items(name string) []string {
	var out []string
	for i, n := 0, s.len(); i < n; i++ {
		if v := s.at(i).value(name, typeSet); v != nil {
			out = unionItems(out, v.items)
		}
	}
	return out[:len(out):len(out)]
}

// Names returns the names of what is in the set, sorted.
func (s Set) Names() []string {
	var out []string
	for i, n := 0, s.len(); i < n; i++ {
		out = unionItems(out, s.at(i).names())
	}
	return out
}

// compare orders the labels: first by allocation, then unreserved before
// reserved, then by what the kind says.
func (p *part) compareLabel(o *part) int {
	if c := strings.Compare(p.alloc, o.alloc); c != 0 || p.kind == o.kind {
		return c
	}
	return strings.Compare(p.kind.id(), o.kind.id())
}

func (p *part) sameLabel(o *part) bool {
	return p.alloc == o.alloc && (p.kind == o.kind || p.kind.id() == o.kind.id())
}

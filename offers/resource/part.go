package resource

import (
	"math"
	"slices"
	"sort"
	"strings"
)

// The scalars every agent has are held by index, not by name.
const (
	cpus = iota
	gpus
	mem
	disk
	numBase
)

const portsName = "ports"

var baseNames = [numBase]string{"cpus", "gpus", "mem", "disk"}

func baseIndex(name string) int {
	switch name {
	case "cpus":
		return cpus
	case "gpus":
		return gpus
	case "mem":
		return mem
	case "disk":
		return disk
	}
	return -1
}

// part is all of a set that differs in amount only: same role allocated to,
// same reservations, disk, provider; all revocable or all firm. Its label is
// alloc and kind. What it points to is never written again.
type part struct {
	alloc string // role allocated to, "" when not allocated
	kind  *kind  // nil: unreserved, firm, exclusive, no disk info, no provider
	base  [numBase]int64
	ports []Range
	more  *more // nil: none
}

// more is what few sets have.
type more struct {
	values  []value  // other names, sorted by name and type
	volumes []volume // of a kind that cannot be divided, sorted by size
}

type valueType uint8

const (
	typeScalar valueType = iota
	typeRanges
	typeSet
)

// value is a custom resource.
type value struct {
	name   string
	typ    valueType
	milli  int64
	ranges []Range
	items  []string
}

// volume is a disk that is used whole or not at all: a persistent volume, a
// mount, a block device. count says how often it is there: uses of a shared
// volume.
type volume struct {
	milli int64
	count int64
}

func (p *part) empty() bool {
	return p.base == [numBase]int64{} && len(p.ports) == 0 && p.more == nil
}

func (p *part) add(o *part) part {
	out := *p
	for i, v := range o.base {
		out.base[i] = saturate(out.base[i], v)
	}
	out.ports = unionRanges(p.ports, o.ports)
	out.more = p.more.add(o.more)
	return out
}

func (p *part) sub(o *part) part {
	out := *p
	for i, v := range o.base {
		out.base[i] = max(0, out.base[i]-v)
	}
	out.ports = subtractRanges(p.ports, o.ports)
	if p.more != nil && o.more != nil {
		out.more = p.more.sub(o.more)
	}
	return out
}

func (p *part) contains(o *part) bool {
	for i, v := range o.base {
		if p.base[i] < v {
			return false
		}
	}
	return containsRanges(p.ports, o.ports) && p.more.contains(o.more)
}

func (p *part) equal(o *part) bool {
	return p.base == o.base && slices.Equal(p.ports, o.ports) && p.more.equal(o.more)
}

func (p *part) value(name string, typ valueType) *value {
	if p.more == nil {
		return nil
	}
	return find(p.more.values, &value{name: name, typ: typ})
}

func find(values []value, like *value) *value {
	i := sort.Search(len(values), func(i int) bool { return values[i].compare(like) >= 0 })
	if i < len(values) && values[i].compare(like) == 0 {
		return &values[i]
	}
	return nil
}

func (p *part) scalar(name string) int64 {
	i := baseIndex(name)
	if i < 0 {
		if v := p.value(name, typeScalar); v != nil {
			return v.milli
		}
		return 0
	}
	if i == disk {
		return saturate(p.base[disk], p.volumes())
	}
	return p.base[i]
}

// volumes sums the sizes; a shared one counts once.
func (p *part) volumes() int64 {
	if p.more == nil {
		return 0
	}
	sum := int64(0)
	for _, v := range p.more.volumes {
		switch {
		case p.kind.isShared():
			sum = saturate(sum, v.milli)
		case v.milli > math.MaxInt64/v.count:
			return math.MaxInt64
		default:
			sum = saturate(sum, v.milli*v.count)
		}
	}
	return sum
}

func (p *part) ranges(name string) []Range {
	if name == portsName {
		return p.ports
	}
	if v := p.value(name, typeRanges); v != nil {
		return v.ranges
	}
	return nil
}

func (p *part) names() []string {
	var out []string
	for i, v := range p.base {
		if v != 0 {
			out = append(out, baseNames[i])
		}
	}
	if len(p.ports) != 0 {
		out = append(out, portsName)
	}
	if p.more != nil {
		if len(p.more.volumes) != 0 {
			out = append(out, baseNames[disk])
		}
		for _, v := range p.more.values {
			out = append(out, v.name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (v *value) compare(o *value) int {
	if c := strings.Compare(v.name, o.name); c != 0 {
		return c
	}
	return int(v.typ) - int(o.typ)
}

func (v value) empty() bool { return v.milli == 0 && len(v.ranges) == 0 && len(v.items) == 0 }

func (v value) add(o value) value {
	v.milli = saturate(v.milli, o.milli)
	v.ranges = unionRanges(v.ranges, o.ranges)
	v.items = unionItems(v.items, o.items)
	return v
}

func (v value) sub(o value) value {
	v.milli = max(0, v.milli-o.milli)
	v.ranges = subtractRanges(v.ranges, o.ranges)
	v.items = subtractItems(v.items, o.items)
	return v
}

func (v value) contains(o value) bool {
	return v.milli >= o.milli && containsRanges(v.ranges, o.ranges) && containsItems(v.items, o.items)
}

func (v value) equal(o value) bool {
	return v.compare(&o) == 0 && v.milli == o.milli && slices.Equal(v.ranges, o.ranges) && slices.Equal(v.items, o.items)
}

// saturate adds two amounts that are not negative.
func saturate(a, b int64) int64 {
	if s := a + b; s >= 0 {
		return s
	}
	return math.MaxInt64
}

package resource

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// FromProto validates and adds resources of either wire format. It keeps
// nothing of what it is given.
func FromProto(rs []*mesos.Resource) (Set, error) {
	if err := Validate(rs); err != nil {
		return Set{}, err
	}
	return fromValid(rs), nil
}

func fromValid(rs []*mesos.Resource) Set {
	switch len(rs) {
	case 0:
		return Set{}
	case 1:
		return fromOne(rs[0])
	}
	half := len(rs) / 2
	return fromValid(rs[:half]).Add(fromValid(rs[half:]))
}

func fromOne(r *mesos.Resource) Set {
	p := part{alloc: r.GetAllocationInfo().GetRole(), kind: kindOf(r)}
	base := baseIndex(r.GetName())
	switch {
	case base == disk && p.kind != nil && p.kind.whole:
		if milli := toMilli(r.GetScalar().GetValue()); milli > 0 {
			p.more = &more{volumes: []volume{{milli: milli, count: 1}}}
		}
	case base >= 0:
		p.base[base] = toMilli(r.GetScalar().GetValue())
	case r.GetName() == portsName:
		p.ports = rangesOf(r)
	default:
		v := value{name: r.GetName()}
		switch r.GetType() {
		case mesos.Value_SCALAR:
			v.typ, v.milli = typeScalar, toMilli(r.GetScalar().GetValue())
		case mesos.Value_RANGES:
			v.typ, v.ranges = typeRanges, rangesOf(r)
		default:
			v.typ, v.items = typeSet, slices.Sorted(slices.Values(r.GetSet().GetItem()))
		}
		if !v.empty() {
			p.more = &more{values: []value{v}}
		}
	}
	out := Set{}
	out.push(p)
	return out
}

func rangesOf(r *mesos.Resource) []Range {
	list := r.GetRanges().GetRange()
	if len(list) == 0 {
		return nil
	}
	out := make([]Range, len(list))
	for i, v := range list {
		out[i] = Range{v.GetBegin(), v.GetEnd()}
	}
	return coalesce(out)
}

func kindOf(r *mesos.Resource) *kind {
	k := kind{
		provider:  r.GetProviderId().GetValue(),
		revocable: r.Revocable != nil,
		shared:    r.Shared != nil,
	}
	if r.Disk != nil && (r.Disk.Persistence != nil || r.Disk.Source != nil || r.Disk.Volume != nil) {
		k.disk = proto.CloneOf(r.Disk)
	}
	switch {
	case len(r.Reservations) > 0:
		for _, reservation := range r.Reservations {
			k.stack = append(k.stack, proto.CloneOf(reservation))
		}
	case r.GetRole() != "*":
		reservation := &mesos.Resource_ReservationInfo{}
		if r.Reservation != nil {
			reservation = proto.CloneOf(r.Reservation)
			reservation.Type = mesos.Resource_ReservationInfo_DYNAMIC.Enum()
		} else {
			reservation.Type = mesos.Resource_ReservationInfo_STATIC.Enum()
		}
		reservation.Role = proto.String(r.GetRole())
		k.stack = append(k.stack, reservation)
	}
	return newKind(k)
}

// Proto returns the set as messages with reservations[], in a fixed order. The
// messages share what describes them with the set and with each other: they may be
// read and sent, not changed.
func (s Set) Proto() []*mesos.Resource {
	if s.Empty() {
		return nil
	}
	out := make([]*mesos.Resource, 0, len(baseNames)*s.len())
	for i, n := 0, s.len(); i < n; i++ {
		out = s.at(i).appendProto(out)
	}
	return out
}

// PreRefinement returns the set in the format without reservations[], for
// those that do not know refinement. A refined reservation has no such form.
// The same holds for its messages as for Proto's.
func (s Set) PreRefinement() ([]*mesos.Resource, error) {
	out := s.Proto()
	for _, r := range out {
		switch len(r.Reservations) {
		case 0:
			r.Role = proto.String("*")
		case 1:
			from := r.Reservations[0]
			r.Role, r.Reservations = from.Role, nil
			if from.GetType() == mesos.Resource_ReservationInfo_DYNAMIC {
				r.Reservation = &mesos.Resource_ReservationInfo{Principal: from.Principal, Labels: from.Labels}
			}
		default:
			return nil, fmt.Errorf("%w: %s has no form without refinement", ErrReservation, r.GetName())
		}
	}
	return out, nil
}

func (p *part) appendProto(out []*mesos.Resource) []*mesos.Resource {
	like := p.label()
	for i := range p.base {
		if p.base[i] != 0 {
			out = append(out, like.scalar(&baseNames[i], p.base[i]))
		}
	}
	if len(p.ports) != 0 {
		out = append(out, like.ranges(portsName, p.ports))
	}
	if p.more == nil {
		return out
	}
	for _, v := range p.more.volumes {
		for range v.count {
			out = append(out, like.scalar(&baseNames[disk], v.milli))
		}
	}
	for _, v := range p.more.values {
		switch v.typ {
		case typeScalar:
			out = append(out, like.scalar(&v.name, v.milli))
		case typeRanges:
			out = append(out, like.ranges(v.name, v.ranges))
		case typeSet:
			out = append(out, &mesos.Resource{})
			like.describe(out[len(out)-1], proto.String(v.name), setType)
			out[len(out)-1].Set = &mesos.Value_Set{Item: slices.Clone(v.items)}
		}
	}
	return out
}

var scalarType, rangesType, setType = mesos.Value_SCALAR.Enum(), mesos.Value_RANGES.Enum(), mesos.Value_SET.Enum()

// label is what the messages of a part have in common.
type label struct {
	kind       *kind
	allocation *mesos.Resource_AllocationInfo
	provider   *mesos.ResourceProviderID
}

func (p *part) label() label {
	l := label{kind: p.kind}
	if p.alloc != "" {
		l.allocation = &mesos.Resource_AllocationInfo{Role: proto.String(p.alloc)}
	}
	if p.kind != nil && p.kind.provider != "" {
		l.provider = &mesos.ResourceProviderID{Value: proto.String(p.kind.provider)}
	}
	return l
}

// scalar makes a message in one piece of memory: most messages are like this, and
// of every agent that comes there are a dozen.
func (l *label) scalar(name *string, milli int64) *mesos.Resource {
	m := &struct {
		resource mesos.Resource
		scalar   mesos.Value_Scalar
		value    float64
	}{value: float64(milli) / Milli}
	m.scalar.Value = &m.value
	m.resource.Scalar = &m.scalar
	l.describe(&m.resource, name, scalarType)
	return &m.resource
}

func (l *label) ranges(name string, ranges []Range) *mesos.Resource {
	r := &mesos.Resource{Ranges: &mesos.Value_Ranges{Range: make([]*mesos.Value_Range, len(ranges))}}
	for i, v := range ranges {
		r.Ranges.Range[i] = &mesos.Value_Range{Begin: proto.Uint64(v.Begin), End: proto.Uint64(v.End)}
	}
	l.describe(r, proto.String(name), rangesType)
	return r
}

// describe fills in everything but the value.
func (l *label) describe(r *mesos.Resource, name *string, typ *mesos.Value_Type) {
	r.Name, r.Type, r.AllocationInfo, r.ProviderId = name, typ, l.allocation, l.provider
	k := l.kind
	if k == nil {
		return
	}
	r.Reservations = k.stack[:len(k.stack):len(k.stack)]
	r.Disk = k.disk
	if k.revocable {
		r.Revocable = &mesos.Resource_RevocableInfo{}
	}
	if k.shared {
		r.Shared = &mesos.Resource_SharedInfo{}
	}
}

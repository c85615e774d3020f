package resource

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// Quantities are the sums of scalars by name, in thousandths: an immutable
// value that knows no roles, reservations or disks. The zero value is empty.
type Quantities struct {
	base [numBase]int64
	more []quantity // other names, sorted
}

type quantity struct {
	name  string
	milli int64
}

// Quantities sums the scalars of the set. A shared volume counts once.
func (s Set) Quantities() Quantities {
	var q Quantities
	for i, n := 0, s.len(); i < n; i++ {
		p := s.at(i)
		for j, v := range p.base {
			q.base[j] = saturate(q.base[j], v)
		}
		if p.more == nil {
			continue
		}
		q.base[disk] = saturate(q.base[disk], p.volumes())
		for _, v := range p.more.values {
			if v.typ == typeScalar {
				q = q.Add(Quantities{more: []quantity{{v.name, v.milli}}})
			}
		}
	}
	return q
}

// ParseQuantities reads "cpus:0.01;mem:32".
func ParseQuantities(text string) (Quantities, error) {
	scalars, err := parseScalars(text)
	if err != nil {
		return Quantities{}, err
	}
	return QuantitiesFromProto(scalars)
}

func parseScalars(text string) (map[string]*mesos.Value_Scalar, error) {
	rs, err := parseSimple(text)
	if err != nil {
		return nil, fmt.Errorf("parse quantities: %w", err)
	}
	scalars := make(map[string]*mesos.Value_Scalar, len(rs))
	for _, r := range rs {
		if r.GetType() != mesos.Value_SCALAR || r.Role != nil || r.Revocable != nil || scalars[r.GetName()] != nil {
			return nil, fmt.Errorf("parse quantities: %w: %q: want one plain scalar", ErrInvalid, r.GetName())
		}
		scalars[r.GetName()] = r.Scalar
	}
	return scalars, nil
}

// QuantitiesFromProto validates the scalars of a message.
func QuantitiesFromProto(scalars map[string]*mesos.Value_Scalar) (Quantities, error) {
	var q Quantities
	for _, name := range slices.Sorted(maps.Keys(scalars)) { // of several errors always the same
		milli, err := quantityFromProto(name, scalars[name])
		if err != nil {
			return Quantities{}, err
		}
		switch i := baseIndex(name); {
		case i >= 0:
			q.base[i] = milli
		case milli > 0:
			q.more = append(q.more, quantity{name, milli})
		}
	}
	slices.SortFunc(q.more, compareQuantity)
	return q, nil
}

func quantityFromProto(name string, scalar *mesos.Value_Scalar) (int64, error) {
	if name == "" {
		return 0, fmt.Errorf("%w: name is empty", ErrInvalid)
	}
	if err := validateScalar(scalar.GetValue()); err != nil {
		return 0, fmt.Errorf("%w: %q: %w", ErrInvalid, name, err)
	}
	return toMilli(scalar.GetValue()), nil
}

// Proto returns the quantities as resources without a role.
func (q Quantities) Proto() []*mesos.Resource {
	var out []*mesos.Resource
	for name, milli := range q.All {
		out = append(out, &mesos.Resource{
			Name: proto.String(name), Type: mesos.Value_SCALAR.Enum(),
			Scalar: &mesos.Value_Scalar{Value: proto.Float64(float64(milli) / Milli)},
		})
	}
	return out
}

func compareQuantity(a, b quantity) int { return cmp.Compare(a.name, b.name) }

// Get returns the thousandths of the named scalar.
func (q Quantities) Get(name string) int64 {
	if i := baseIndex(name); i >= 0 {
		return q.base[i]
	}
	i, found := slices.BinarySearchFunc(q.more, quantity{name: name}, compareQuantity)
	if !found {
		return 0
	}
	return q.more[i].milli
}

// Empty reports whether every quantity is zero.
func (q Quantities) Empty() bool { return q.base == [numBase]int64{} && len(q.more) == 0 }

// Add returns the sum.
func (q Quantities) Add(o Quantities) Quantities {
	for i, v := range o.base {
		q.base[i] = saturate(q.base[i], v)
	}
	q.more = mergeSorted(q.more, o.more, compareQuantity,
		func(a, b quantity) quantity { return quantity{a.name, saturate(a.milli, b.milli)} })
	return q
}

// Sub takes o away; nothing becomes negative.
func (q Quantities) Sub(o Quantities) Quantities {
	for i, v := range o.base {
		q.base[i] = max(0, q.base[i]-v)
	}
	if len(q.more) == 0 || len(o.more) == 0 {
		return q
	}
	var left []quantity
	for _, v := range q.more {
		if v.milli -= o.Get(v.name); v.milli > 0 {
			left = append(left, v)
		}
	}
	q.more = left
	return q
}

// Max has of everything what the one that has more of it has.
func (q Quantities) Max(o Quantities) Quantities {
	for i, v := range o.base {
		q.base[i] = max(q.base[i], v)
	}
	q.more = mergeSorted(q.more, o.more, compareQuantity,
		func(a, b quantity) quantity { return quantity{a.name, max(a.milli, b.milli)} })
	return q
}

// Contains reports whether there is at least as much of everything as in o.
func (q Quantities) Contains(o Quantities) bool {
	for i, v := range o.base {
		if q.base[i] < v {
			return false
		}
	}
	for _, v := range o.more {
		if q.Get(v.name) < v.milli {
			return false
		}
	}
	return true
}

// Equal reports whether all quantities are equal.
func (q Quantities) Equal(o Quantities) bool { return q.base == o.base && slices.Equal(q.more, o.more) }

// All calls yield with every quantity that is not zero: cpus, gpus, mem, disk,
// then the others by name.
func (q Quantities) All(yield func(name string, milli int64) bool) {
	for i, v := range q.base {
		if v != 0 && !yield(baseNames[i], v) {
			return
		}
	}
	for _, v := range q.more {
		if !yield(v.name, v.milli) {
			return
		}
	}
}

// String is the form ParseQuantities reads.
func (q Quantities) String() string {
	var texts []string
	for name, milli := range q.All {
		texts = append(texts, name+":"+formatMilli(milli))
	}
	return strings.Join(texts, ";")
}

// MarshalText is String, for what is written down in JSON.
func (q Quantities) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (q *Quantities) UnmarshalText(text []byte) (err error) {
	*q, err = ParseQuantities(string(text))
	return err
}

// DominantShare is the greatest of the fractions of total, over the names that
// total has: the share that fairness compares.
func (q *Quantities) DominantShare(total *Quantities) float64 {
	share := 0.0
	for i, v := range q.base {
		if v != 0 && total.base[i] > 0 {
			share = max(share, float64(v)/float64(total.base[i]))
		}
	}
	for _, v := range q.more {
		if t := total.Get(v.name); t > 0 {
			share = max(share, float64(v.milli)/float64(t))
		}
	}
	return share
}

// Without leaves out the names.
func (q Quantities) Without(names ...string) Quantities {
	more := make([]quantity, 0, len(q.more))
	for _, v := range q.more {
		if !slices.Contains(names, v.name) {
			more = append(more, v)
		}
	}
	q.more = more
	for _, name := range names {
		if i := baseIndex(name); i >= 0 {
			q.base[i] = 0
		}
	}
	return q
}

package resource

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// Conversion is what an operation makes of resources: one set in the place of another.
type Conversion struct {
	Consumed, Converted Set
	alone               bool // no other use of what is consumed may be left
}

// Convert returns the conversions of RESERVE, UNRESERVE, CREATE, DESTROY,
// GROW_VOLUME and SHRINK_VOLUME, in their order. The operation is taken to be valid.
// Mesos: src/common/resources_utils.cpp, getResourceConversions.
func Convert(op *mesos.Offer_Operation) ([]Conversion, error) {
	switch op.GetType() {
	case mesos.Offer_Operation_RESERVE:
		return convertReserve(op.GetReserve())
	case mesos.Offer_Operation_UNRESERVE:
		return each(op.GetUnreserve().GetResources(), func(r *mesos.Resource) (c Conversion, err error) {
			if c.Consumed, err = one(r); err == nil {
				c.Converted, err = c.Consumed.Unreserve()
			}
			return c, err
		})
	case mesos.Offer_Operation_CREATE:
		return each(op.GetCreate().GetVolumes(), func(r *mesos.Resource) (c Conversion, err error) {
			if c.Consumed, err = one(withoutVolume(r)); err == nil {
				c.Converted, err = one(r)
			}
			return c, err
		})
	case mesos.Offer_Operation_DESTROY:
		return each(op.GetDestroy().GetVolumes(), func(r *mesos.Resource) (c Conversion, err error) {
			c.alone = true
			if c.Consumed, err = one(r); err == nil {
				c.Converted, err = one(withoutVolume(r))
			}
			return c, err
		})
	case mesos.Offer_Operation_GROW_VOLUME:
		return convertGrow(op.GetGrowVolume())
	case mesos.Offer_Operation_SHRINK_VOLUME:
		return convertShrink(op.GetShrinkVolume())
	}
	return nil, fmt.Errorf("%s converts no resources", op.GetType())
}

func one(r *mesos.Resource) (Set, error) { return FromProto([]*mesos.Resource{r}) }

func each(rs []*mesos.Resource, convert func(*mesos.Resource) (Conversion, error)) ([]Conversion, error) {
	out := make([]Conversion, len(rs))
	for i, r := range rs {
		var err error
		if out[i], err = convert(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// convertReserve takes what is named as the source, or else what the last
// reservation was pushed on.
func convertReserve(op *mesos.Offer_Operation_Reserve) ([]Conversion, error) {
	reserved, err := FromProto(op.GetResources())
	if err != nil {
		return nil, err
	}
	source, err := FromProto(op.GetSource())
	if err == nil && len(op.GetSource()) == 0 {
		source, err = reserved.Unreserve()
	}
	return []Conversion{{Consumed: source, Converted: reserved}}, err
}

func convertGrow(op *mesos.Offer_Operation_GrowVolume) ([]Conversion, error) {
	consumed, err := FromProto([]*mesos.Resource{op.GetVolume(), op.GetAddition()})
	if err != nil {
		return nil, err
	}
	grown, err := one(resized(op.GetVolume(), toMilli(op.GetVolume().GetScalar().GetValue())+toMilli(op.GetAddition().GetScalar().GetValue())))
	return []Conversion{{Consumed: consumed, Converted: grown}}, err
}

func convertShrink(op *mesos.Offer_Operation_ShrinkVolume) ([]Conversion, error) {
	volume := op.GetVolume()
	freed := toMilli(op.GetSubtract().GetValue())
	consumed, err := one(volume)
	if err != nil {
		return nil, err
	}
	converted, err := FromProto([]*mesos.Resource{
		resized(volume, toMilli(volume.GetScalar().GetValue())-freed), withoutVolume(resized(volume, freed)),
	})
	return []Conversion{{Consumed: consumed, Converted: converted}}, err
}

func resized(r *mesos.Resource, milli int64) *mesos.Resource {
	c := proto.CloneOf(r)
	c.Scalar = &mesos.Value_Scalar{Value: proto.Float64(float64(milli) / Milli)}
	return c
}

// withoutVolume returns the disk that a persistent volume is made of.
func withoutVolume(r *mesos.Resource) *mesos.Resource {
	c := proto.CloneOf(r)
	c.Shared = nil
	if c.Disk.GetSource() == nil {
		c.Disk = nil
		return c
	}
	c.Disk.Persistence, c.Disk.Volume = nil, nil
	return c
}

// Unallocate returns the same conversion of resources that are allocated to nobody.
func (c Conversion) Unallocate() Conversion {
	return Conversion{Consumed: c.Consumed.Unallocate(), Converted: c.Converted.Unallocate(), alone: c.alone}
}

// Apply returns what the conversions make of s, one after the other; an error says
// what it lacks.
// Mesos: src/common/resources.cpp, Resources::apply.
func (s Set) Apply(conversions ...Conversion) (Set, error) {
	for _, c := range conversions {
		if !s.Contains(c.Consumed) {
			return Set{}, fmt.Errorf("%s does not contain %s", s, c.Consumed)
		}
		s = s.Sub(c.Consumed)
		if c.alone && !c.Consumed.Empty() && s.Contains(c.Consumed) {
			return Set{}, fmt.Errorf("persistent volume %s cannot be removed due to additional shared copies", c.Consumed)
		}
		s = s.Add(c.Converted)
	}
	return s, nil
}

// Consumed sums what conversions take.
func Consumed(conversions []Conversion) Set {
	sum := Set{}
	for _, c := range conversions {
		sum = sum.Add(c.Consumed)
	}
	return sum
}

// Converted is what operations have made: what is reserved dynamically, and the
// persistent volumes.
func (s Set) Converted() Set {
	return s.filter(func(k *kind) bool {
		return k.isPersistent() || k != nil && len(k.stack) > 0 &&
			k.stack[len(k.stack)-1].GetType() == mesos.Resource_ReservationInfo_DYNAMIC
	})
}

// StripVolumes returns the disks that persistent volumes are made of in their place.
func (s Set) StripVolumes() Set {
	sum := Set{}
	for _, r := range s.Proto() {
		if r.GetDisk().GetPersistence() != nil {
			r = withoutVolume(r)
		}
		sum = sum.Add(fromOne(r))
	}
	return sum
}

// Original returns what operations have made s of: the same without persistent
// volumes and dynamic reservations.
func (s Set) Original() Set {
	return s.StripVolumes().restack(func(stack []*mesos.Resource_ReservationInfo) []*mesos.Resource_ReservationInfo {
		if len(stack) > 0 && stack[0].GetType() == mesos.Resource_ReservationInfo_STATIC {
			return stack[:1]
		}
		return nil
	})
}

// Upgrade returns a valid resource in the format with reservations[], allocated to
// role if it was to none. What it refers to is shared.
func Upgrade(r *mesos.Resource, role string) *mesos.Resource {
	c := &mesos.Resource{
		ProviderId: r.ProviderId, Name: r.Name, Type: r.Type, Scalar: r.Scalar, Ranges: r.Ranges, Set: r.Set,
		AllocationInfo: r.AllocationInfo, Reservations: r.Reservations, Disk: r.Disk, Revocable: r.Revocable, Shared: r.Shared,
	}
	if k := kindOf(r); k != nil && len(c.Reservations) == 0 {
		c.Reservations = k.stack
	}
	if c.AllocationInfo.GetRole() == "" && role != "" {
		c.AllocationInfo = &mesos.Resource_AllocationInfo{Role: proto.String(role)}
	}
	return c
}

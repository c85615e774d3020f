package resource

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// ErrReservation is returned when a reservation cannot be pushed or popped.
var ErrReservation = errors.New("invalid reservation")

// Allocate returns the same resources, all allocated to role.
func (s Set) Allocate(role string) Set {
	if s.Empty() {
		return s
	}
	if s.tail == nil {
		s.head.alloc = role
		return s
	}
	return s.relabel(func(p part) part { p.alloc = role; return p })
}

// Unallocate returns the same resources, allocated to none.
func (s Set) Unallocate() Set { return s.Allocate("") }

// relabel changes the label of each part; parts that become alike are joined.
func (s Set) relabel(change func(part) part) Set {
	sets := make([]Set, s.len())
	for i := range sets {
		sets[i].head = change(*s.at(i))
	}
	return Sum(sets...)
}

// Reserve pushes a reservation on everything in the set. It must be a
// refinement of those there.
func (s Set) Reserve(r *mesos.Resource_ReservationInfo) (Set, error) {
	if err := validateReservation(r); err != nil {
		return Set{}, fmt.Errorf("%w: %w", ErrReservation, err)
	}
	r = proto.CloneOf(r)
	for i, n := 0, s.len(); i < n; i++ {
		k := s.at(i).kind
		if k != nil && len(k.stack) > 0 && r.GetType() == mesos.Resource_ReservationInfo_STATIC {
			return Set{}, fmt.Errorf("%w: a refined reservation cannot be STATIC", ErrReservation)
		}
		if under := k.role(); under != "" && !IsBelow(r.GetRole(), under) {
			return Set{}, fmt.Errorf("%w: role %q is not a refinement of %q", ErrReservation, r.GetRole(), under)
		}
	}
	return s.restack(func(stack []*mesos.Resource_ReservationInfo) []*mesos.Resource_ReservationInfo {
		return append(stack[:len(stack):len(stack)], r)
	}), nil
}

// Unreserve pops the last reservation of everything in the set.
func (s Set) Unreserve() (Set, error) {
	if !s.Unreserved().Empty() {
		return Set{}, fmt.Errorf("%w: some of %s is not reserved", ErrReservation, s)
	}
	return s.restack(func(stack []*mesos.Resource_ReservationInfo) []*mesos.Resource_ReservationInfo {
		return stack[:len(stack)-1]
	}), nil
}

// StripReservations returns the same resources without any reservation.
func (s Set) StripReservations() Set {
	return s.restack(func([]*mesos.Resource_ReservationInfo) []*mesos.Resource_ReservationInfo { return nil })
}

func (s Set) restack(change func([]*mesos.Resource_ReservationInfo) []*mesos.Resource_ReservationInfo) Set {
	return s.relabel(func(p part) part {
		k := kind{}
		if p.kind != nil {
			k = *p.kind
		}
		k.stack = change(k.stack)
		p.kind = newKind(k)
		return p
	})
}

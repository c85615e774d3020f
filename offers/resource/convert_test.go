package resource

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

func reservation(role string) *mesos.Resource_ReservationInfo {
	return &mesos.Resource_ReservationInfo{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: proto.String(role)}
}

func volumeOf(id string, milli int64, on *mesos.Resource_DiskInfo_Source, stack ...*mesos.Resource_ReservationInfo) *mesos.Resource {
	return &mesos.Resource{
		Name: proto.String("disk"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(float64(milli) / Milli)},
		Reservations: stack,
		Disk: &mesos.Resource_DiskInfo{
			Source: on, Persistence: &mesos.Resource_DiskInfo_Persistence{Id: proto.String(id)},
			Volume: &mesos.Volume{ContainerPath: proto.String("data"), Mode: mesos.Volume_RW.Enum()},
		},
	}
}

func mustParse(t *testing.T, text string) Set {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func apply(t *testing.T, s Set, op *mesos.Offer_Operation) Set {
	t.Helper()
	conversions, err := Convert(op)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	out, err := s.Apply(conversions...)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return out
}

// What operations make can be traced back: no amount is lost or made, and what they
// made it of is what the agent had.
func TestOperationsLoseAndMakeNothing(t *testing.T) {
	mount := &mesos.Resource_DiskInfo_Source{Type: mesos.Resource_DiskInfo_Source_MOUNT.Enum(), Mount: &mesos.Resource_DiskInfo_Source_Mount{Root: proto.String("/mnt/d")}}
	path := &mesos.Resource_DiskInfo_Source{Type: mesos.Resource_DiskInfo_Source_PATH.Enum(), Path: &mesos.Resource_DiskInfo_Source_Path{Root: proto.String("/srv")}}
	start := mustParse(t, `[{"name":"cpus","type":"SCALAR","scalar":{"value":8}},{"name":"disk","type":"SCALAR","scalar":{"value":100}},
		{"name":"disk","type":"SCALAR","scalar":{"value":50},"disk":{"source":{"type":"PATH","path":{"root":"/srv"}}}},
		{"name":"disk","type":"SCALAR","scalar":{"value":200},"disk":{"source":{"type":"MOUNT","mount":{"root":"/mnt/d"}}}},
		{"name":"cpus","type":"SCALAR","scalar":{"value":2},"reservations":[{"type":"STATIC","role":"a"}]}]`)
	r := rand.New(rand.NewPCG(1, 2))
	s, done := start, 0
	for range 3000 {
		op := randomOperation(r, s, mount, path)
		conversions, err := Convert(op)
		if err != nil {
			continue // it takes away a reservation that is not there
		}
		next, err := s.Apply(conversions...)
		if err != nil {
			continue
		}
		if !next.Quantities().Equal(s.Quantities()) || !next.Original().Equal(start) {
			t.Fatalf("%s makes %s of %s, which was made of %s", op, next, s, start)
		}
		if !next.Converted().Add(next.Sub(next.Converted())).Equal(next) {
			t.Fatalf("%s is not what is converted of it and the rest", next)
		}
		s, done = next, done+1
	}
	if done < 300 {
		t.Fatalf("only %d operations could be applied", done)
	}
}

func randomOperation(r *rand.Rand, s Set, mount, path *mesos.Resource_DiskInfo_Source) *mesos.Offer_Operation {
	list := s.Proto()
	one := proto.CloneOf(list[r.IntN(len(list))])
	volume := one.GetDisk().GetPersistence() != nil
	if r.IntN(2) == 0 && one.GetDisk().GetSource().GetType() != mesos.Resource_DiskInfo_Source_MOUNT && !volume {
		one.Scalar = &mesos.Value_Scalar{Value: proto.Float64(float64(1+r.IntN(10)) / 2)}
	}
	switch r.IntN(6) {
	case 0:
		one.Reservations = append(one.Reservations, reservation([]string{"a", "a/b", "c"}[r.IntN(3)]))
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: []*mesos.Resource{one}}}
	case 1:
		if n := len(one.Reservations); volume || n > 0 && one.Reservations[n-1].GetType() == mesos.Resource_ReservationInfo_STATIC {
			return &mesos.Offer_Operation{} // what validation keeps away
		}
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_UNRESERVE.Enum(), Unreserve: &mesos.Offer_Operation_Unreserve{Resources: []*mesos.Resource{one}}}
	case 2, 3:
		v := volumeOf(strconv.Itoa(r.IntN(1e9)), 0, one.GetDisk().GetSource(), one.Reservations...)
		v.Scalar = one.Scalar
		if r.IntN(3) == 0 {
			v.Shared = &mesos.Resource_SharedInfo{}
		}
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: []*mesos.Resource{v}}}
	case 4:
		if !volume {
			return &mesos.Offer_Operation{}
		}
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_DESTROY.Enum(), Destroy: &mesos.Offer_Operation_Destroy{Volumes: []*mesos.Resource{one}}}
	default:
		if !volume || one.Shared != nil || one.GetDisk().GetSource().GetType() == mesos.Resource_DiskInfo_Source_MOUNT {
			return &mesos.Offer_Operation{}
		}
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_SHRINK_VOLUME.Enum(),
			ShrinkVolume: &mesos.Offer_Operation_ShrinkVolume{Volume: one, Subtract: &mesos.Value_Scalar{Value: proto.Float64(0.5)}}}
	}
}

func TestVolumeOfMountIsTheWholeDisk(t *testing.T) {
	mount := &mesos.Resource_DiskInfo_Source{Type: mesos.Resource_DiskInfo_Source_MOUNT.Enum(), Mount: &mesos.Resource_DiskInfo_Source_Mount{Root: proto.String("/mnt/d")}}
	static := &mesos.Resource_ReservationInfo{Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: proto.String("a")}
	s := mustParse(t, `[{"name":"disk","type":"SCALAR","scalar":{"value":200},"reservations":[{"type":"STATIC","role":"a"}],"disk":{"source":{"type":"MOUNT","mount":{"root":"/mnt/d"}}}}]`)
	part, err := Convert(&mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(),
		Create: &mesos.Offer_Operation_Create{Volumes: []*mesos.Resource{volumeOf("v", 100_000, mount, static)}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(part...); err == nil {
		t.Error("a volume was made of a part of a MOUNT disk")
	}
	made := apply(t, s, &mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(),
		Create: &mesos.Offer_Operation_Create{Volumes: []*mesos.Resource{volumeOf("v", 200_000, mount, static)}}})
	if made.PersistentVolumes().Scalar("disk") != 200_000 {
		t.Errorf("made %s", made)
	}
}

func TestUpgradeGivesTheFormWithReservations(t *testing.T) {
	old := &mesos.Resource{Name: proto.String("cpus"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(1)},
		Role: proto.String("a"), Reservation: &mesos.Resource_ReservationInfo{Principal: proto.String("p")}}
	up := Upgrade(old, "a/b")
	if up.Role != nil || up.Reservation != nil || len(up.Reservations) != 1 || up.Reservations[0].GetPrincipal() != "p" || up.GetAllocationInfo().GetRole() != "a/b" {
		t.Errorf("upgraded to %v", up)
	}
	before, err := FromProto([]*mesos.Resource{old})
	if err != nil {
		t.Fatal(err)
	}
	if after, err := FromProto([]*mesos.Resource{up}); err != nil || !after.Unallocate().Equal(before) {
		t.Errorf("%s became %s (%v)", before, after, err)
	}
}

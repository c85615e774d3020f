package resource

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"muster/offers/mesos"
)

// resources draws valid messages from a vocabulary small enough that labels
// meet and amounts overlap.
func resources(t *rapid.T, label string) []*mesos.Resource {
	return rapid.SliceOfN(rapid.Custom(drawResource), 0, 8).Draw(t, label)
}

func drawResource(t *rapid.T) *mesos.Resource {
	r := &mesos.Resource{Name: proto.String(rapid.SampledFrom(
		[]string{"cpus", "mem", "disk", "gpus", "ports", "x", "span", "zones"}).Draw(t, "name"))}
	switch r.GetName() {
	case "ports", "span":
		r.Type, r.Ranges = mesos.Value_RANGES.Enum(), &mesos.Value_Ranges{}
		at := uint64(0)
		for range rapid.IntRange(0, 3).Draw(t, "ranges") {
			begin := at + rapid.Uint64Range(0, 3).Draw(t, "gap")
			end := begin + rapid.Uint64Range(0, 3).Draw(t, "length")
			r.Ranges.Range = append(r.Ranges.Range, &mesos.Value_Range{Begin: &begin, End: &end})
			at = end + 1
		}
	case "zones":
		r.Type, r.Set = mesos.Value_SET.Enum(), &mesos.Value_Set{}
		for _, item := range []string{"c", "a", "b"} {
			if rapid.Bool().Draw(t, item) {
				r.Set.Item = append(r.Set.Item, item)
			}
		}
	default:
		r.Type = mesos.Value_SCALAR.Enum()
		milli := rapid.IntRange(0, 5000).Draw(t, "milli")
		r.Scalar = &mesos.Value_Scalar{Value: proto.Float64(float64(milli) / Milli)}
	}
	if r.GetName() == "disk" {
		drawDisk(t, r)
	}
	switch rapid.IntRange(0, 4).Draw(t, "reservation") {
	case 0:
		r.Role = proto.String("a")
	case 1:
		r.Role, r.Reservation = proto.String("a"), &mesos.Resource_ReservationInfo{Principal: proto.String("p")}
	case 2:
		for _, role := range []string{"a", "a/b"} {
			r.Reservations = append(r.Reservations, &mesos.Resource_ReservationInfo{
				Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: proto.String(role),
				Labels: &mesos.Labels{Labels: []*mesos.Label{{Key: proto.String("k"), Value: proto.String("v")}}},
			})
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "allocated") == 0 {
		r.AllocationInfo = &mesos.Resource_AllocationInfo{Role: proto.String("a")}
	}
	if rapid.IntRange(0, 5).Draw(t, "provided") == 0 {
		r.ProviderId = &mesos.ResourceProviderID{Value: proto.String("provider")}
	}
	if r.Disk == nil && rapid.IntRange(0, 3).Draw(t, "revocable") == 0 {
		r.Revocable = &mesos.Resource_RevocableInfo{}
	}
	return r
}

func drawDisk(t *rapid.T, r *mesos.Resource) {
	kind := rapid.IntRange(0, 5).Draw(t, "disk")
	if kind == 0 {
		return
	}
	r.Disk = &mesos.Resource_DiskInfo{}
	if kind <= 3 {
		r.Disk.Persistence = &mesos.Resource_DiskInfo_Persistence{Id: proto.String(rapid.SampledFrom([]string{"v", "w"}).Draw(t, "id"))}
		if kind == 3 {
			r.Shared = &mesos.Resource_SharedInfo{}
		}
	}
	if kind >= 3 {
		typ := rapid.SampledFrom([]mesos.Resource_DiskInfo_Source_Type{
			mesos.Resource_DiskInfo_Source_PATH, mesos.Resource_DiskInfo_Source_MOUNT, mesos.Resource_DiskInfo_Source_RAW,
		}).Draw(t, "source")
		r.Disk.Source = &mesos.Resource_DiskInfo_Source{Type: typ.Enum()}
		if typ == mesos.Resource_DiskInfo_Source_MOUNT {
			r.Disk.Source.Mount = &mesos.Resource_DiskInfo_Source_Mount{Root: proto.String("/m")}
		}
	}
}

func drawSet(t *rapid.T, label string) Set {
	s, err := FromProto(resources(t, label))
	if err != nil {
		t.Fatalf("%s: %v", label, err)
	}
	return s
}

func TestSetLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawSet(t, "a"), drawSet(t, "b"), drawSet(t, "c")
		for _, s := range []Set{a, b, c, a.Add(b), a.Sub(b)} {
			checkForm(t, s)
		}
		hold := func(name string, ok bool) {
			if !ok {
				t.Fatalf("%s: a %s, b %s, c %s", name, a, b, c)
			}
		}
		hold("a+b = b+a", a.Add(b).Equal(b.Add(a)))
		hold("(a+b)+c = a+(b+c)", a.Add(b).Add(c).Equal(a.Add(b.Add(c))))
		hold("a+0 = a", a.Add(Set{}).Equal(a) && Set{}.Add(a).Equal(a))
		hold("a-a = 0", a.Sub(a).Empty())
		hold("(a-b)-c = (a-c)-b", a.Sub(b).Sub(c).Equal(a.Sub(c).Sub(b)))
		hold("a contains a-b", a.Contains(a.Sub(b)))
		hold("a+b contains a", a.Add(b).Contains(a) && a.Add(b).Contains(b))
		hold("a contains b and b contains a as a = b", (a.Contains(b) && b.Contains(a)) == a.Equal(b))
		hold("(b-a)+a contains b", b.Sub(a).Add(a).Contains(b))
		if a.Contains(b) {
			hold("a contains b: (a-b)+b = a", a.Sub(b).Add(b).Equal(a))
		}
		hold("quantities of a-b", a.Quantities().Contains(a.Sub(b).Quantities()))
		hold("reserved and unreserved", a.Reserved().Add(a.Unreserved()).Equal(a))
		hold("revocable and not", a.Revocable().Add(a.NonRevocable()).Equal(a))
		hold("shared and not", a.Shared().Add(a.NonShared()).Equal(a))
		hold("scalars", a.Scalars().Quantities().Equal(a.Quantities()) && len(a.Scalars().Ranges("ports")) == 0 && a.Contains(a.Scalars()))
		hold("names", a.Named(a.Names()...).Equal(a) && a.Without(a.Names()...).Empty())
		hold("allocate twice", a.Allocate("x").Allocate("y").Equal(a.Allocate("y")))
		hold("unallocate keeps amounts", a.Unallocate().NonShared().Quantities().Equal(a.NonShared().Quantities()))
		hold("sum", Sum(a, b, c).Equal(a.Add(b).Add(c)))
		if !a.Add(b).Shared().Empty() {
			return // a use more of a shared volume is not more of it
		}
		hold("quantities of a+b", a.Add(b).Quantities().Equal(a.Quantities().Add(b.Quantities())))
	})
}

// checkForm holds what makes the representation unique.
func checkForm(t *rapid.T, s Set) {
	for i, n := 0, s.len(); i < n; i++ {
		p := s.at(i)
		if p.empty() || i > 0 && s.at(i-1).compareLabel(p) >= 0 {
			t.Fatalf("part %d of %s", i, s)
		}
		for j := 1; j < len(p.ports); j++ {
			if p.ports[j-1].touches(p.ports[j]) {
				t.Fatalf("ports of %s", s)
			}
		}
	}
}

func TestOperationsDoNotWriteToTheirArguments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSet(t, "a"), drawSet(t, "b")
		x, y := a.String(), b.String()
		a.Add(b).Add(b).Sub(a).Add(a).Allocate("z")
		a.Sub(b).Add(a)
		b.Add(a).Sub(b)
		if x != a.String() || y != b.String() {
			t.Fatalf("%s became %s, %s became %s", x, a, y, b)
		}
	})
}

func TestProtoRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSet(t, "s")
		back, err := FromProto(s.Proto())
		if err != nil || !back.Equal(s) || back.String() != s.String() {
			t.Fatalf("%s came back as %s, %v", s, back, err)
		}
		old, err := s.PreRefinement()
		if s.Refined().Empty() != (err == nil) {
			t.Fatalf("%s: %v", s, err)
		}
		if err != nil {
			return
		}
		if back, err := FromProto(old); err != nil || !back.Equal(s) {
			t.Fatalf("%s came back as %s, %v", s, back, err)
		}
	})
}

func FuzzFromProto(f *testing.F) {
	for _, text := range []string{volume1, shared1, mount1, path1} {
		f.Add(encode(f, messages(f, text)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		offer := &mesos.Offer{} // any message with repeated resources
		if proto.Unmarshal(b, offer) != nil {
			return
		}
		s, err := FromProto(offer.Resources)
		if err != nil {
			return
		}
		back, err := FromProto(s.Proto())
		if err != nil || !back.Equal(s) || !s.Contains(back) || !s.Sub(back).Empty() {
			t.Fatalf("%s came back as %s, %v", s, back, err)
		}
	})
}

func encode(t testing.TB, rs []*mesos.Resource) []byte {
	b, err := proto.MarshalOptions{AllowPartial: true}.Marshal(&mesos.Offer{Resources: rs})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"cpus:2;mem:1024;ports:[31000-32000];disk(role):10", "z:{a,b};cpus{REV}:0.5", `[{"name":"cpus","type":"SCALAR","scalar":{"value":2}}]`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if back, err := FromProto(s.Proto()); err != nil || !back.Equal(s) {
			t.Fatalf("%s came back as %s, %v", s, back, err)
		}
	})
}

func benchmarkSets(b *testing.B) (total, used, free Set) {
	total = parse(b, "cpus:24;mem:4096;disk:4096;ports:[31000-32000]")
	used = parse(b, "cpus:16;mem:2014;disk:1024;ports:[31000,31002,31004,31006,31008,31010,31012]")
	return total, used, total.Sub(used)
}

func BenchmarkAdd(b *testing.B) {
	_, used, free := benchmarkSets(b)
	b.ReportAllocs()
	for b.Loop() {
		used.Add(free)
	}
}

func BenchmarkAddScalars(b *testing.B) {
	x := parse(b, "cpus:1;mem:2")
	b.ReportAllocs()
	for b.Loop() {
		x.Add(x)
	}
}

func BenchmarkSub(b *testing.B) {
	total, used, _ := benchmarkSets(b)
	b.ReportAllocs()
	for b.Loop() {
		total.Sub(used)
	}
}

func BenchmarkContains(b *testing.B) {
	total, used, _ := benchmarkSets(b)
	b.ReportAllocs()
	for b.Loop() {
		total.Contains(used)
	}
}

func BenchmarkAllocate(b *testing.B) {
	total, _, _ := benchmarkSets(b)
	b.ReportAllocs()
	for b.Loop() {
		total.Allocate("role")
	}
}

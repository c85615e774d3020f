package resource

import (
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

func parse(t testing.TB, text string) Set {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fromText reads resources as messages in text form, one each.
func fromText(t testing.TB, texts ...string) Set {
	t.Helper()
	s, err := FromProto(messages(t, texts...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func messages(t testing.TB, texts ...string) []*mesos.Resource {
	t.Helper()
	var rs []*mesos.Resource
	for _, text := range texts {
		r := &mesos.Resource{}
		if err := prototext.Unmarshal([]byte(text), r); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	return rs
}

const (
	volume1 = `name:"disk" type:SCALAR scalar{value:64} reservations{type:STATIC role:"a"} disk{persistence{id:"v1"} volume{container_path:"data" mode:RW}}`
	shared1 = volume1 + ` shared{}`
	mount1  = `name:"disk" type:SCALAR scalar{value:64} disk{source{type:MOUNT mount{root:"/mnt/1"}}}`
	path1   = `name:"disk" type:SCALAR scalar{value:64} disk{source{type:PATH path{root:"/mnt/2"}}}`
)

func TestAddAndSub(t *testing.T) {
	for _, c := range []struct{ name, a, b, sum, difference string }{
		{"scalars", "cpus:1.5;mem:10", "cpus:0.5", "cpus:2; mem:10", "cpus:1; mem:10"},
		{"fixed point", "cpus:0.1", "cpus:0.2", "cpus:0.3", "{}"},
		{"nothing negative", "cpus:1;mem:5", "cpus:2", "cpus:3; mem:5", "mem:5"},
		{"ranges join", "ports:[1-5,10-12]", "ports:[6-9]", "ports:[1-12]", "ports:[1-5, 10-12]"},
		{"ranges split", "ports:[1-10]", "ports:[3,5-6,10]", "ports:[1-10]", "ports:[1-2, 4-4, 7-9]"},
		{"sets", "z:{a,b,c}", "z:{b,d}", "z:{a, b, c, d}", "z:{a, c}"},
		{"custom names", "x:1;cpus:1", "x:0.5;y:1", "cpus:1; x:1.5; y:1", "cpus:1; x:0.5"},
		{"reservations are apart", "cpus:1;cpus(a):2", "cpus(a):1;cpus(b):1",
			"cpus:1; cpus(reservations: [(STATIC,a)]):3; cpus(reservations: [(STATIC,b)]):1",
			"cpus:1; cpus(reservations: [(STATIC,a)]):1"},
		{"revocable is apart", "cpus:1;cpus{REV}:2", "cpus{REV}:1", "cpus:1; cpus{REV}:3", "cpus:1; cpus{REV}:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := parse(t, c.a), parse(t, c.b)
			if got := a.Add(b).String(); got != c.sum {
				t.Errorf("a+b = %s, want %s", got, c.sum)
			}
			if got := a.Sub(b).String(); got != c.difference {
				t.Errorf("a-b = %s, want %s", got, c.difference)
			}
		})
	}
}

func TestVolumesAreIndivisible(t *testing.T) {
	for _, text := range []string{volume1, mount1} {
		whole := fromText(t, text)
		smaller := messages(t, text)
		smaller[0].Scalar.Value = proto.Float64(32)
		part, err := FromProto(smaller)
		if err != nil {
			t.Fatal(err)
		}
		if whole.Contains(part) || !whole.Sub(part).Equal(whole) {
			t.Errorf("a part was taken from %s", whole)
		}
		if !whole.Sub(whole).Empty() {
			t.Errorf("%s was not taken whole", whole)
		}
	}
	path := fromText(t, path1)
	half := messages(t, path1)
	half[0].Scalar.Value = proto.Float64(32)
	part, err := FromProto(half)
	if err != nil {
		t.Fatal(err)
	}
	if !path.Contains(part) || path.Sub(part).Scalar("disk") != 32*Milli {
		t.Errorf("%s cannot be divided", path)
	}
}

func TestSharedVolumeCountsUsesNotSizes(t *testing.T) {
	once := fromText(t, shared1)
	twice := once.Add(once)
	if twice.Scalar("disk") != 64*Milli || twice.Quantities().Get("disk") != 64*Milli {
		t.Errorf("two uses have size %d", twice.Scalar("disk"))
	}
	if once.Contains(twice) || !twice.Contains(once) || !twice.Sub(once).Equal(once) {
		t.Error("uses are not counted")
	}
	two := fromText(t, volume1, volume1)
	if two.Scalar("disk") != 128*Milli {
		t.Errorf("two exclusive volumes have size %d", two.Scalar("disk"))
	}
}

func TestHowAVolumeIsUsedIsNotCompared(t *testing.T) {
	a := fromText(t, volume1)
	b := messages(t, volume1)
	b[0].Disk.Volume.ContainerPath = proto.String("elsewhere")
	b[0].Disk.Persistence.Principal = proto.String("someone")
	other, err := FromProto(b)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Equal(other) || !a.Sub(other).Empty() {
		t.Error("volume or principal of the persistence was compared")
	}
}

func TestFilters(t *testing.T) {
	all := parse(t, "cpus:1;cpus(a):2;cpus(a/b):3;cpus(ab):4;cpus{REV}:5").Add(fromText(t, shared1))
	for _, c := range []struct {
		name string
		got  Set
		want string
	}{
		{"unreserved", all.Unreserved(), "cpus:1;cpus{REV}:5"},
		{"reserved to a", all.ReservedTo("a").NonShared(), "cpus(a):2"},
		{"allocatable to *", all.AllocatableTo("*"), "cpus:1;cpus{REV}:5"},
		{"allocatable to a", all.AllocatableTo("a").NonShared(), "cpus:1;cpus{REV}:5;cpus(a):2"},
		{"allocatable to a/b", all.AllocatableTo("a/b").NonShared(), "cpus:1;cpus{REV}:5;cpus(a):2;cpus(a/b):3"},
		{"revocable", all.Revocable(), "cpus{REV}:5"},
		{"non-revocable", all.NonRevocable().Unreserved(), "cpus:1"},
		{"without", all.Without("cpus").NonShared(), ""},
	} {
		if want := parse(t, c.want); !c.got.Equal(want) {
			t.Errorf("%s: %s, want %s", c.name, c.got, want)
		}
	}
	if !all.Shared().Equal(all.PersistentVolumes()) || all.Shared().Empty() {
		t.Errorf("shared %s, persistent %s", all.Shared(), all.PersistentVolumes())
	}
	if got := all.ReservedRoles(); len(got) != 3 || got[0] != "a" || got[1] != "a/b" || got[2] != "ab" {
		t.Errorf("reserved roles %v", got)
	}
}

func TestAllocate(t *testing.T) {
	s := parse(t, "cpus:1;cpus(a):2;ports:[1-2]")
	a := s.Allocate("a").Add(s.Allocate("b"))
	if got := a.AllocatedRoles(); len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Errorf("roles %v", got)
	}
	if !a.AllocatedTo("a").Unallocate().Equal(s) {
		t.Errorf("allocated to a: %s", a.AllocatedTo("a"))
	}
	if got, want := a.Unallocate(), parse(t, "cpus:2;cpus(a):4;ports:[1-2]"); !got.Equal(want) {
		t.Errorf("unallocated %s, want %s", got, want)
	}
}

func TestReserve(t *testing.T) {
	dynamic := func(role string) *mesos.Resource_ReservationInfo {
		return &mesos.Resource_ReservationInfo{
			Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: proto.String(role), Principal: proto.String("p"),
		}
	}
	s := parse(t, "cpus:1;cpus(a):2")
	refined, err := s.ReservedTo("a").Reserve(dynamic("a/b"))
	if err != nil || refined.String() != "cpus(reservations: [(STATIC,a),(DYNAMIC,a/b,p)]):2" {
		t.Fatalf("%s, %v", refined, err)
	}
	if back, err := refined.Unreserve(); err != nil || !back.Equal(s.ReservedTo("a")) {
		t.Errorf("unreserved %s, %v", back, err)
	}
	if _, err := s.Reserve(dynamic("b")); !errors.Is(err, ErrReservation) {
		t.Errorf("b was stacked on a: %v", err)
	}
	if _, err := s.Unreserve(); !errors.Is(err, ErrReservation) {
		t.Errorf("the unreserved was unreserved: %v", err)
	}
	if got := refined.Add(s).StripReservations(); !got.Equal(parse(t, "cpus:5")) {
		t.Errorf("stripped %s", got)
	}
	if _, err := refined.PreRefinement(); !errors.Is(err, ErrReservation) {
		t.Errorf("a refined reservation has an old form: %v", err)
	}
}

func TestBothFormatsMeanTheSame(t *testing.T) {
	for _, c := range []struct{ before, after string }{
		{`name:"cpus" type:SCALAR scalar{value:1} role:"*"`, `name:"cpus" type:SCALAR scalar{value:1}`},
		{`name:"cpus" type:SCALAR scalar{value:1} role:"a"`,
			`name:"cpus" type:SCALAR scalar{value:1} reservations{type:STATIC role:"a"}`},
		{`name:"cpus" type:SCALAR scalar{value:1} role:"a" reservation{principal:"p" labels{labels{key:"k"}}}`,
			`name:"cpus" type:SCALAR scalar{value:1} reservations{type:DYNAMIC role:"a" principal:"p" labels{labels{key:"k"}}}`},
	} {
		before, after := fromText(t, c.before), fromText(t, c.after)
		if !before.Equal(after) {
			t.Errorf("%s is not %s", before, after)
		}
		old, err := after.PreRefinement()
		if err != nil || len(old) != 1 || !proto.Equal(old[0], messages(t, c.before)[0]) {
			t.Errorf("old form of %s: %v, %v", c.after, old, err)
		}
		if got := after.Proto(); len(got) != 1 || !proto.Equal(got[0], messages(t, c.after)[0]) {
			t.Errorf("new form of %s: %v", c.after, got)
		}
	}
}

func TestValidateNamesTheField(t *testing.T) {
	scalar := `type:SCALAR scalar{value:1} `
	for _, c := range []struct{ text, want string }{
		{`name:"" ` + scalar, `name is empty`},
		{`name:"x" type:SCALAR`, `exactly the scalar must be set`},
		{`name:"x" type:TEXT`, `unsupported type TEXT`},
		{`name:"cpus" type:SET set{item:"a"}`, `type must be SCALAR`},
		{`name:"x" type:SCALAR scalar{value:-1}`, `negative or below 0.001`},
		{`name:"x" type:SCALAR scalar{value:0.0001}`, `negative or below 0.001`},
		{`name:"x" type:SCALAR scalar{value:nan}`, `is not a number`},
		{`name:"x" type:SCALAR scalar{value:inf}`, `is not a number`},
		{`name:"x" type:RANGES ranges{range{begin:2 end:1}}`, `begins after its end`},
		{`name:"x" type:RANGES ranges{range{begin:3 end:9} range{begin:1 end:4}}`, `ranges overlap`},
		{`name:"x" type:SET set{item:"a" item:"a"}`, `duplicated elements`},
		{`name:"cpus" disk{} ` + scalar, `disk: must be set for disks only`},
		{`name:"disk" shared{} ` + scalar, `only persistent volumes can be shared`},
		{`name:"disk" disk{source{type:RAW mount{}}} ` + scalar, `neither mount nor path`},
		{`name:"disk" disk{source{type:UNKNOWN}} ` + scalar, `disk.source.type`},
		{`name:"cpus" role:"a b" ` + scalar, `role: `},
		{`name:"cpus" reservation{} ` + scalar, `cannot be dynamically reserved`},
		{`name:"cpus" role:"a" reservation{type:DYNAMIC} ` + scalar, `reservation.type`},
		{`name:"cpus" reservations{role:"a"} ` + scalar, `reservations.type`},
		{`name:"cpus" reservations{type:STATIC role:"*"} ` + scalar, `role "*" cannot be reserved`},
		{`name:"cpus" reservations{type:STATIC role:"a"} reservations{type:STATIC role:"a/b"} ` + scalar, `cannot be STATIC`},
		{`name:"cpus" reservations{type:STATIC role:"a"} reservations{type:DYNAMIC role:"b"} ` + scalar, `not a refinement`},
		{`name:"cpus" role:"b" reservations{type:STATIC role:"a"} ` + scalar, `does not match the role`},
		{`name:"cpus" role:"a" reservations{type:DYNAMIC role:"a"} ` + scalar, `set both or none`},
	} {
		err := Validate(messages(t, c.text))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestValidateRole(t *testing.T) {
	for role, valid := range map[string]bool{
		"*": true, "a": true, "a/b-c/d": true, "a.b": true, "": false, "/a": false, "a/": false, "a//b": false, "a/../b": false,
		".": false, "-a": false, "a/-b": false, "a/*": false, "a b": false, "a\x7f": false, "a\x00": false, "...": true,
	} {
		if err := ValidateRole(role); (err == nil) != valid {
			t.Errorf("%q: %v", role, err)
		}
	}
}

func TestHugeAmountsSaturate(t *testing.T) {
	s := parse(t, "cpus:1e12;x:1e12")
	for range 20 {
		s = s.Add(s)
	}
	if s.Scalar("cpus") != math.MaxInt64 || s.Quantities().Get("x") != math.MaxInt64 {
		t.Errorf("%d %d", s.Scalar("cpus"), s.Quantities().Get("x"))
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "{}"},
		{" cpus : 2 ; mem(a) : 1024;; ports : [ 1 - 2 , 4 ] ", "cpus:2; ports:[1-2, 4-4]; mem(reservations: [(STATIC,a)]):1024"},
		{`[{"name":"cpus","type":"SCALAR","scalar":{"value":2},"new":1}]`, "cpus:2"},
		{"cpus(*):1;cpus(a:b){REV}:1", "cpus:1; cpus(reservations: [(STATIC,a:b)]){REV}:1"},
		{"z:{a:b, c}", "z:{a:b, c}"},
		{"cpus:0;ports:[]", "{}"},
	} {
		s, err := Parse(c.text)
		if err != nil || s.String() != c.want {
			t.Errorf("%q: %s, %v, want %s", c.text, s, err, c.want)
		}
	}
	for _, text := range []string{
		"cpus", "cpus:", ":1", "cpus:a", "cpus:[1-2]", "ports:1", "ports:[2-1]", "ports:[1-", "cpus(a:1", "cpus)a(:1", "cpus:-1", "cpus:nan",
		"cpus:0x1p2", "[{]", `[{"name":"cpus"}]`, "ports:[-1-2]", "cpus(a)b:1",
	} {
		if s, err := Parse(text); err == nil {
			t.Errorf("%q was read as %s", text, s)
		}
	}
}

func TestQuantities(t *testing.T) {
	q, err := ParseQuantities("mem:32;cpus:0.01;x:1")
	if err != nil || q.String() != "cpus:0.01;mem:32;x:1" {
		t.Fatalf("%s, %v", q, err)
	}
	s := parse(t, "cpus:1;cpus(a):0.5;mem{REV}:64;x:2;ports:[1-2];z:{a}").Quantities()
	if s.String() != "cpus:1.5;mem:64;x:2" || !s.Contains(q) || q.Contains(s) {
		t.Errorf("%s", s)
	}
	if got := s.Sub(q).Add(q); !got.Equal(s) {
		t.Errorf("%s", got)
	}
	for _, text := range []string{"cpus:1;cpus:2", "ports:[1-2]", "cpus(a):1", "cpus:-1"} {
		if _, err := ParseQuantities(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

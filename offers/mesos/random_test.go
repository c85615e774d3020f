package mesos_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"muster/offers/mesos"
)

// generator fills messages at random, down to a depth.
type generator struct{ r *rand.Rand }

func (g generator) fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.Cardinality() != protoreflect.Required && (depth <= 0 || g.r.Intn(3) == 0) {
			continue
		}
		switch {
		case fd.IsMap():
			for range 1 + g.r.Intn(3) {
				m.Mutable(fd).Map().Set(protoreflect.ValueOfString(g.text()).MapKey(), g.mapValue(m, fd, depth))
			}
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range 1 + g.r.Intn(3) {
				if fd.Message() != nil {
					g.fill(list.AppendMutable().Message(), depth-1)
				} else {
					list.Append(g.scalar(fd))
				}
			}
		case fd.Message() != nil:
			g.fill(m.Mutable(fd).Message(), depth-1)
		default:
			m.Set(fd, g.scalar(fd))
		}
	}
}

func (g generator) mapValue(m protoreflect.Message, fd protoreflect.FieldDescriptor, depth int) protoreflect.Value {
	if fd.MapValue().Message() == nil {
		return g.scalar(fd.MapValue())
	}
	v := m.Mutable(fd).Map().NewValue()
	g.fill(v.Message(), depth-1)
	return v
}

func (g generator) scalar(fd protoreflect.FieldDescriptor) protoreflect.Value {
	n := int64(g.r.Uint64() >> g.r.Intn(64))
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n&1 == 1)
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(g.r.Intn(values.Len())).Number())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(n)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(g.double())
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(g.text()))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(g.text())
	}
	panic("no scalar of kind " + fd.Kind().String())
}

func (g generator) double() float64 {
	switch g.r.Intn(8) {
	case 0:
		return math.Inf(1 - 2*g.r.Intn(2))
	case 1:
		return float64(g.r.Intn(100))
	case 2:
		return math.Copysign(0, -1)
	case 3:
		for {
			if x := math.Float64frombits(g.r.Uint64()); !math.IsNaN(x) {
				return x
			}
		}
	}
	return float64(g.r.Intn(1000000)) / 1000
}

func (g generator) text() string {
	alphabet := []rune("abcdefgh0123/*.-_ \"\\\n\t\x00\x7f\u0085\u2028é😀")
	out := make([]rune, g.r.Intn(12))
	for i := range out {
		out[i] = alphabet[g.r.Intn(len(alphabet))]
	}
	return string(out)
}

// TestEveryMessageSurvivesItsJSON fills every message type of the API at random,
// those newer than mesos-go too.
func TestEveryMessageSurvivesItsJSON(t *testing.T) {
	g := generator{rand.New(rand.NewSource(2))}
	types := 0
	protoregistry.GlobalTypes.RangeMessages(func(mt protoreflect.MessageType) bool {
		name := mt.Descriptor().FullName()
		if !bytes.HasPrefix([]byte(name), []byte("mesos.v1.")) {
			return true
		}
		types++
		for range 8 {
			m := mt.New()
			g.fill(m, 4)
			checkJSON(t, m.Interface())
		}
		return !t.Failed()
	})
	if types < 200 {
		t.Errorf("only %d message types were found", types)
	}
}

func checkJSON(t *testing.T, m proto.Message) {
	t.Helper()
	text, err := mesos.MarshalJSON(m)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) || bytes.ContainsAny(text, "\n\r\u0085\u2028") {
		t.Fatalf("not JSON in one line: %s", text)
	}
	got := m.ProtoReflect().New().Interface()
	if err := mesos.UnmarshalJSON(text, got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := equal(m, got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	again, err := mesos.MarshalJSON(got)
	if err != nil || !bytes.Equal(text, again) && proto.Equal(m, got) {
		t.Fatalf("written twice, it differs: %v\n%s\n%s", err, text, again)
	}
	// protojson, which knows the descriptors but not us, reads the same.
	if bytes.Contains(text, []byte(`"max_grace_period"`)) {
		return // it knows durations as text only
	}
	other := m.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal(text, other); err != nil {
		t.Fatalf("protojson: %v\n%s", err, text)
	}
	if err := equal(m, other); err != nil {
		t.Fatalf("protojson: %v\n%s", err, text)
	}
}

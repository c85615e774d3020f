package mesos

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// shape says how a field is held by its generated Go struct.
type shape uint8

const (
	shapePointer shape = iota // *T of a scalar or enum: nil is unset
	shapePlain                // T of a proto3 scalar: zero is unset
	shapeBytes                // []byte: nil is unset
	shapeMessage              // *Message: nil is unset
	shapeList                 // []T
	shapeMap                  // map[string]T
	shapeOneof                // an interface holding *wrapper{T}
)

// plan is what the coders know of one message type, found once by reflection.
type plan struct {
	fields   []*field          // in declaration order, the order of the output
	byName   map[string]*field // by proto name
	byNumber []*field          // those that hold messages, by field number
	duration bool              // google.protobuf.Duration, which has a text form too

	holdsEnums bool // itself or deeper
}

// field is one field of a plan.
type field struct {
	name     string
	key      string // `"name":`
	index    int    // of the Go struct's field
	number   protoreflect.FieldNumber
	kind     protoreflect.Kind
	shape    shape
	required bool
	unset    string       // what is written when the field is unset: its explicit default, or nothing
	enum     *enum        // for enums
	message  *plan        // for messages, also as elements and map values
	wrapper  reflect.Type // for members of a oneof: the struct that holds the value
}

// enum maps the names of an enum to its numbers and back.
type enum struct {
	byNumber map[int32]string // quoted
	byName   map[string]int32
}

// plans holds every plan made so far. Readers never wait; a writer replaces the
// map, and two writers at worst do the same work twice.
var plans atomic.Pointer[map[reflect.Type]*plan]

// planOf returns the plan for the struct type t, which belongs to m.
func planOf(t reflect.Type, m proto.Message) (*plan, error) {
	if known := plans.Load(); known != nil {
		if p := (*known)[t]; p != nil {
			return p, nil
		}
	}
	b := planner{made: map[reflect.Type]*plan{}}
	p, err := b.plan(t, m.ProtoReflect())
	if err != nil {
		return nil, err
	}
	b.findEnums()
	for {
		old := plans.Load()
		next := b.made
		if old != nil {
			next = maps.Clone(*old)
			maps.Copy(next, b.made)
		}
		if plans.CompareAndSwap(old, &next) {
			return p, nil
		}
	}
}

// planner makes the plan of a message type and of all it can hold.
type planner struct {
	made map[reflect.Type]*plan
}

func (b *planner) plan(t reflect.Type, m protoreflect.Message) (*plan, error) {
	if p := b.made[t]; p != nil {
		return p, nil
	}
	desc := m.Descriptor()
	p := &plan{byName: map[string]*field{}, duration: desc.FullName() == "google.protobuf.Duration"}
	b.made[t] = p // before its fields: messages may hold themselves
	fields := desc.Fields()
	for i := range fields.Len() {
		f, err := b.field(t, m, fields.Get(i))
		if err != nil {
			return nil, fmt.Errorf("message %s: %w", desc.FullName(), err)
		}
		p.fields = append(p.fields, f)
		p.byName[f.name] = f
		if f.message != nil {
			p.byNumber = append(p.byNumber, f)
		}
	}
	slices.SortFunc(p.byNumber, func(a, b *field) int { return int(a.number) - int(b.number) })
	return p, nil
}

// findEnums notes which messages hold enums, also by way of others.
func (b *planner) findEnums() {
	for changed := true; changed; {
		changed = false
		for _, p := range b.made {
			holds := slices.ContainsFunc(p.fields, func(f *field) bool { return f.enum != nil || f.message != nil && f.message.holdsEnums })
			changed = changed || holds && !p.holdsEnums
			p.holdsEnums = holds
		}
	}
}

func (b *planner) field(t reflect.Type, m protoreflect.Message, fd protoreflect.FieldDescriptor) (*field, error) {
	name := string(fd.Name())
	f := &field{
		name:     name,
		key:      `"` + name + `":`,
		number:   fd.Number(),
		kind:     fd.Kind(),
		required: fd.Cardinality() == protoreflect.Required,
		unset:    unsetText(fd),
	}
	var err error
	if f.index, err = structField(t, fd); err != nil {
		return nil, err
	}
	if f.shape, err = shapeOf(fd, t.Field(f.index).Type); err != nil {
		return nil, err
	}
	if f.shape == shapeOneof {
		// The wrapper's type shows only in a message that holds this member.
		sample := m.New()
		sample.Set(fd, sample.NewField(fd))
		f.wrapper = reflect.ValueOf(sample.Interface()).Elem().Field(f.index).Elem().Type().Elem()
	}
	value := fd
	if f.shape == shapeMap {
		value = fd.MapValue()
		f.kind = value.Kind()
	}
	switch f.kind {
	case protoreflect.EnumKind:
		f.enum = enumOf(value.Enum())
	case protoreflect.MessageKind:
		sample := m.New()
		f.message, err = b.nested(sample, fd, value)
	}
	return f, err
}

// nested returns the plan of the messages that field fd holds; value is fd, or
// its value if it is a map.
func (b *planner) nested(m protoreflect.Message, fd, value protoreflect.FieldDescriptor) (*plan, error) {
	var v protoreflect.Value
	switch {
	case fd.IsMap():
		v = m.NewField(fd).Map().NewValue()
	case value.IsList():
		v = m.NewField(fd).List().NewElement()
	default:
		v = m.NewField(fd)
	}
	inner := v.Message()
	t := reflect.TypeOf(inner.Interface())
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("field %s: no generated struct for %s", fd.Name(), inner.Descriptor().FullName())
	}
	return b.plan(t.Elem(), inner)
}

// structField finds the Go field of a proto field, by the tags protoc-gen-go writes.
func structField(t reflect.Type, fd protoreflect.FieldDescriptor) (int, error) {
	oneof := fd.ContainingOneof()
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		if oneof != nil && !oneof.IsSynthetic() {
			if tag.Get("protobuf_oneof") == string(oneof.Name()) {
				return i, nil
			}
			continue
		}
		if parts := strings.Split(tag.Get("protobuf"), ","); len(parts) > 1 && parts[1] == strconv.Itoa(int(fd.Number())) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("field %s: not found in %s", fd.Name(), t)
}

func shapeOf(fd protoreflect.FieldDescriptor, t reflect.Type) (shape, error) {
	switch {
	case fd.IsMap():
		if fd.MapKey().Kind() != protoreflect.StringKind {
			return 0, fmt.Errorf("field %s: only maps by string are supported", fd.Name())
		}
		return shapeMap, nil
	case fd.IsList():
		return shapeList, nil
	case fd.ContainingOneof() != nil && !fd.ContainingOneof().IsSynthetic():
		return shapeOneof, nil
	case fd.Kind() == protoreflect.GroupKind:
		return 0, fmt.Errorf("field %s: groups are not supported", fd.Name())
	case fd.Kind() == protoreflect.MessageKind:
		return shapeMessage, nil
	case fd.Kind() == protoreflect.BytesKind:
		return shapeBytes, nil
	case t.Kind() == reflect.Pointer:
		return shapePointer, nil
	default:
		return shapePlain, nil
	}
}

// unsetText is the JSON of a field's explicit default. Mesos writes it for
// unset fields too, unless they are deprecated.
// Mesos: 3rdparty/stout/include/stout/protobuf.hpp, json.
func unsetText(fd protoreflect.FieldDescriptor) string {
	options, _ := fd.Options().(*descriptorpb.FieldOptions)
	if !fd.HasDefault() || fd.Cardinality() == protoreflect.Repeated || options.GetDeprecated() {
		return ""
	}
	value := fd.Default()
	switch fd.Kind() {
	case protoreflect.EnumKind:
		return string(appendString(nil, string(fd.DefaultEnumValue().Name())))
	case protoreflect.StringKind:
		return string(appendString(nil, value.String()))
	case protoreflect.BytesKind:
		return string(appendBytes(nil, value.Bytes()))
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return string(appendFloat(nil, value.Float()))
	default:
		return value.String()
	}
}

func enumOf(desc protoreflect.EnumDescriptor) *enum {
	e := &enum{byNumber: map[int32]string{}, byName: map[string]int32{}}
	values := desc.Values()
	for i := range values.Len() {
		v := values.Get(i)
		e.byName[string(v.Name())] = int32(v.Number())
		if _, alias := e.byNumber[int32(v.Number())]; !alias {
			e.byNumber[int32(v.Number())] = string(appendString(nil, string(v.Name())))
		}
	}
	return e
}

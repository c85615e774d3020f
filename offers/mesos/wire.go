package mesos

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"
)

// maxDepth is how deep messages may nest, in JSON and in protobuf.
const maxDepth = 100

// Unmarshal reads m from the protobuf wire format and checks its required
// fields. Unlike proto.Unmarshal it bounds how deep messages nest, drops unknown
// fields, takes an optional enum whose number has no name for unset, as C++ does
// and as JSON is read, and names every missing field by its path.
func Unmarshal(b []byte, m proto.Message) error {
	p, v, err := open(m)
	if err != nil {
		return fmt.Errorf("read protobuf: %w", err)
	}
	options := proto.UnmarshalOptions{AllowPartial: true, DiscardUnknown: true, RecursionLimit: maxDepth}
	if err := options.Unmarshal(b, m); err != nil {
		return fmt.Errorf("read protobuf: %w", err)
	}
	if err := CheckRequired(m); err != nil {
		return err
	}
	dropUnnamed(p, v)
	return nil
}

// dropUnnamed clears the enums of a struct, and of all it holds, whose numbers
// have no names.
func dropUnnamed(p *plan, v reflect.Value) {
	if !p.holdsEnums || !v.IsValid() {
		return
	}
	for _, f := range p.fields {
		switch {
		case f.enum != nil:
			f.dropUnnamed(v.Field(f.index))
		case f.message != nil && f.message.holdsEnums:
			f.each(v.Field(f.index), func(inner reflect.Value) { dropUnnamed(f.message, inner) })
		}
	}
}

func (f *field) dropUnnamed(v reflect.Value) {
	switch f.shape {
	case shapePointer:
		if !v.IsNil() && !f.named(v.Elem()) {
			v.SetZero()
		}
	case shapeOneof:
		if f.holds(v) && !f.named(v.Elem().Elem().Field(0)) {
			v.SetZero()
		}
	case shapeList:
		kept := 0
		for i := range v.Len() {
			if f.named(v.Index(i)) {
				v.Index(kept).Set(v.Index(i))
				kept++
			}
		}
		v.SetLen(kept)
	}
}

func (f *field) named(v reflect.Value) bool {
	_, named := f.enum.byNumber[int32(v.Int())]
	return named
}

// each calls do for every message that the field v holds.
func (f *field) each(v reflect.Value, do func(reflect.Value)) {
	switch f.shape {
	case shapeList:
		for i := range v.Len() {
			do(v.Index(i).Elem())
		}
	case shapeMap:
		for values := v.MapRange(); values.Next(); {
			do(values.Value().Elem())
		}
	case shapeOneof:
		if f.holds(v) {
			do(v.Elem().Elem().Field(0).Elem())
		}
	default:
		do(v.Elem())
	}
}

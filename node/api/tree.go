package api

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"muster/offers/mesos"
)

// field is a field of a message.
type field struct {
	name   string
	number protowire.Number
}

func fieldOf(m proto.Message, name string) field {
	return field{name, m.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name)).Number()}
}

// tree writes a message part by part. The state of a large cluster, made as one
// message, would be sized, encoded and copied as a whole for every reader.
type tree interface {
	message(f field, fill func()) // a field that holds a message
	list(f field, fill func())    // a field that holds a list, not an empty one
	element(f field, fill func()) // of the list that f holds
	put(b []byte)                 // what append or fields made; it is kept, not copied

	append(dst []byte, f field, m proto.Message) []byte // m as an element of f
	fields(dst []byte, m proto.Message) []byte          // what m holds

	parts() *encoding
	body() ([][]byte, error)
}

// newTree returns a tree in one of the two formats, whose parts e keeps.
func newTree(c codec, e *encoding) tree {
	if c.media == mediaProtobuf {
		return &wire{enc: e}
	}
	return &object{writer: writer{b: []byte{'{'}, enc: e}}
}

// wire is a tree in protobuf.
type wire struct {
	enc    *encoding
	pieces [][]byte
	size   int
	err    error
}

func (t *wire) parts() *encoding        { return t.enc }
func (t *wire) body() ([][]byte, error) { return t.pieces, t.err }

func (t *wire) message(f field, fill func()) {
	at, before := len(t.pieces), t.size
	t.put(nil)
	fill()
	head := protowire.AppendTag(nil, f.number, protowire.BytesType)
	t.pieces[at] = protowire.AppendVarint(head, uint64(t.size-before))
	t.size += len(t.pieces[at])
}

func (t *wire) list(_ field, fill func())    { fill() }
func (t *wire) element(f field, fill func()) { t.message(f, fill) }

func (t *wire) put(b []byte) {
	t.pieces = append(t.pieces, b)
	t.size += len(b)
}

func (t *wire) append(dst []byte, f field, m proto.Message) []byte {
	dst = protowire.AppendTag(dst, f.number, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(proto.Size(m)))
	return t.marshal(dst, m, true)
}

func (t *wire) fields(dst []byte, m proto.Message) []byte { return t.marshal(dst, m, false) }

func (t *wire) marshal(dst []byte, m proto.Message, sized bool) []byte {
	out, err := proto.MarshalOptions{AllowPartial: true, UseCachedSize: sized}.MarshalAppend(dst, m)
	if err != nil {
		t.err = unencodable(m, err)
		return dst
	}
	return out
}

// object is a tree in Mesos's JSON.
type object struct {
	writer
	err error
}

func (t *object) parts() *encoding             { return t.enc }
func (t *object) message(f field, fill func()) { t.key(f.name).object(fill) }
func (t *object) list(f field, fill func())    { t.key(f.name).array(fill) }
func (t *object) element(_ field, fill func()) { t.object(fill) }

func (t *object) body() ([][]byte, error) {
	t.close('}')
	return t.chunks(), t.err
}

func (t *object) append(dst []byte, _ field, m proto.Message) []byte {
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	return t.marshal(dst, m)
}

func (t *object) fields(dst []byte, m proto.Message) []byte {
	return bytes.TrimSuffix(bytes.TrimPrefix(t.marshal(dst, m), []byte{'{'}), []byte{'}'})
}

func (t *object) marshal(dst []byte, m proto.Message) []byte {
	out, err := mesos.AppendJSON(dst, m)
	if err != nil {
		t.err = unencodable(m, err)
	}
	return out
}

func unencodable(m proto.Message, err error) error {
	return fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
}

// runs writes a list that a view keeps in runs.
func runs[M proto.Message](t tree, f field, lists [][]M) {
	if len(lists) == 0 {
		return
	}
	t.list(f, func() {
		for _, run := range lists {
			t.put(t.parts().part(&run[0], func(dst []byte) []byte {
				for _, m := range run {
					dst = t.append(dst, f, m)
				}
				return dst
			}))
		}
	})
}

// each writes a list of messages that come and go one by one.
func each[M proto.Message](t tree, f field, list []M) {
	if len(list) == 0 {
		return
	}
	t.list(f, func() {
		for _, m := range list {
			t.put(t.parts().part(m, func(dst []byte) []byte { return t.append(dst, f, m) }))
		}
	})
}

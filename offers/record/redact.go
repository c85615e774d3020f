package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// secret names the fields whose values may be secrets, and of which the core asks
// only whether they are there and whether two are equal.
var secret = map[protoreflect.FullName]bool{
	"mesos.v1.Secret.Value.data":                      true,
	"mesos.v1.Environment.Variable.value":             true,
	"mesos.v1.CommandInfo.value":                      true,
	"mesos.v1.CommandInfo.arguments":                  true,
	"mesos.v1.CommandInfo.URI.value":                  true,
	"mesos.v1.Parameter.value":                        true,
	"mesos.v1.TaskInfo.data":                          true,
	"mesos.v1.ExecutorInfo.data":                      true,
	"mesos.v1.TaskStatus.data":                        true,
	"mesos.v1.scheduler.Call.Message.data":            true,
	"mesos.v1.scheduler.Event.Message.data":           true,
	"muster.protocol.v1.FrameworkMessage.data":        true,
	"muster.protocol.v1.ExecutorMessage.data":         true,
	"muster.registry.v1.InitCluster.ca_key":           true,
	"muster.registry.v1.InitCluster.join_secret_hash": true,
}

// Redactor replaces what may be secret by a salted digest. Equal values stay equal
// and empty ones empty, so the core decides the same on what is left. One goroutine
// may use it at a time.
type Redactor struct {
	salt  []byte // written nowhere
	plans map[protoreflect.FullName]*plan
}

// plan is the fields of a message below which there may be a secret.
type plan struct {
	fields []protoreflect.FieldDescriptor
}

// NewRedactor returns one whose digests nobody without the salt can guess.
func NewRedactor(salt []byte) *Redactor {
	return &Redactor{salt: salt, plans: map[protoreflect.FullName]*plan{}}
}

// Redact returns m, or a copy without its secrets if it has any.
func (r *Redactor) Redact(m proto.Message) proto.Message {
	if m == nil || !m.ProtoReflect().IsValid() || !r.finds(m.ProtoReflect()) {
		return m
	}
	c := proto.Clone(m)
	r.blot(c.ProtoReflect())
	return c
}

// finds reports whether there is a secret in m.
func (r *Redactor) finds(m protoreflect.Message) bool {
	for _, f := range r.plan(m.Descriptor()).fields {
		if !m.Has(f) {
			continue
		}
		found := secret[f.FullName()]
		each(m, f, func(child protoreflect.Message) { found = found || r.finds(child) })
		if found {
			return true
		}
	}
	return false
}

func (r *Redactor) blot(m protoreflect.Message) {
	for _, f := range r.plan(m.Descriptor()).fields {
		switch {
		case !m.Has(f):
		case secret[f.FullName()] && f.IsList():
			list := m.Mutable(f).List()
			for i := range list.Len() {
				list.Set(i, r.digest(f, list.Get(i)))
			}
		case secret[f.FullName()]:
			m.Set(f, r.digest(f, m.Get(f)))
		default:
			each(m, f, r.blot)
		}
	}
}

// digest stands for a value. A zero byte stays one, for a secret must not have any.
func (r *Redactor) digest(f protoreflect.FieldDescriptor, v protoreflect.Value) protoreflect.Value {
	text := f.Kind() == protoreflect.StringKind
	value := []byte(v.String())
	if !text {
		value = v.Bytes()
	}
	if len(value) == 0 {
		return v
	}
	sum := sha256.Sum256(append(bytes.Clone(r.salt), value...))
	out := append([]byte("redacted-"), hex.AppendEncode(nil, sum[:8])...)
	if bytes.IndexByte(value, 0) >= 0 {
		out = append(out, 0)
	}
	if text {
		return protoreflect.ValueOfString(string(out))
	}
	return protoreflect.ValueOfBytes(out)
}

// each calls do for the messages that a field holds.
func each(m protoreflect.Message, f protoreflect.FieldDescriptor, do func(protoreflect.Message)) {
	switch {
	case f.Message() == nil:
	case f.IsMap():
		if f.MapValue().Message() != nil {
			m.Get(f).Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { do(v.Message()); return true })
		}
	case f.IsList():
		for i, list := 0, m.Get(f).List(); i < list.Len(); i++ {
			do(list.Get(i).Message())
		}
	default:
		do(m.Get(f).Message())
	}
}

func (r *Redactor) plan(d protoreflect.MessageDescriptor) *plan {
	p := r.plans[d.FullName()]
	if p == nil {
		p = &plan{}
		r.plans[d.FullName()] = p
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			if secret[f.FullName()] || f.Message() != nil && reaches(f.Message(), map[protoreflect.FullName]bool{}) {
				p.fields = append(p.fields, f)
			}
		}
	}
	return p
}

// reaches reports whether a message of a kind can hold a secret.
func reaches(d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if seen[d.FullName()] {
		return false // asked for already, further up
	}
	seen[d.FullName()] = true
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if secret[f.FullName()] || f.Message() != nil && reaches(f.Message(), seen) {
			return true
		}
	}
	return false
}

package mesos

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
)

// ErrMissingRequired marks a message that lacks required fields.
//
//lint:ignore ST1005 this is the text that Mesos's clients know
var ErrMissingRequired = errors.New("Missing required fields")

// maxMissing bounds how many missing fields one error names, so that a small
// request cannot make a large answer.
const maxMissing = 32

// CheckRequired returns nil if every required field of m and of all it holds is
// set; else an error that names the missing ones by their paths, such as
// "Missing required fields: subscribe.framework_info.user". A required enum
// whose number has no name counts as missing.
func CheckRequired(m proto.Message) error {
	p, v, err := open(m)
	if err != nil {
		return fmt.Errorf("check required fields: %w", err)
	}
	var c missing
	c.message(p, v)
	if len(c.paths) == 0 {
		return nil
	}
	text := strings.Join(c.paths[:min(len(c.paths), maxMissing)], ", ")
	if len(c.paths) > maxMissing {
		text += ", ..."
	}
	return fmt.Errorf("%w: %s", ErrMissingRequired, text)
}

// missing collects the paths of required fields that are not set: those of a
// message first, then those of what it holds by field number.
type missing struct {
	paths []string
}

func (c *missing) full() bool { return len(c.paths) > maxMissing }

func (c *missing) message(p *plan, v reflect.Value) {
	for _, f := range p.fields {
		if f.required && (!v.IsValid() || !f.isSet(v.Field(f.index))) {
			c.paths = append(c.paths, f.name)
		}
	}
	if !v.IsValid() {
		return
	}
	for _, f := range p.byNumber {
		if c.full() {
			return
		}
		c.field(f, v.Field(f.index))
	}
}

func (c *missing) field(f *field, v reflect.Value) {
	switch f.shape {
	case shapeList:
		for i := 0; i < v.Len() && !c.full(); i++ {
			if n := c.inside(f, v.Index(i)); n < len(c.paths) {
				c.prefix(n, f.name+"["+strconv.Itoa(i)+"].")
			}
		}
	case shapeMap:
		for _, key := range sortedKeys(v) {
			if n := c.inside(f, v.MapIndex(key)); n < len(c.paths) {
				c.prefix(n, f.name+"["+key.String()+"].")
			}
		}
	default:
		if f.shape == shapeOneof {
			if !f.holds(v) {
				return
			}
			v = v.Elem().Elem().Field(0)
		}
		if v.IsNil() {
			return
		}
		if n := c.inside(f, v); n < len(c.paths) {
			c.prefix(n, f.name+".")
		}
	}
}

// inside looks into one message and returns where the paths it added begin.
func (c *missing) inside(f *field, v reflect.Value) int {
	n := len(c.paths)
	c.message(f.message, v.Elem())
	return n
}

func (c *missing) prefix(from int, prefix string) {
	for i := from; i < len(c.paths); i++ {
		c.paths[i] = prefix + c.paths[i]
	}
}

func (f *field) isSet(v reflect.Value) bool {
	if v.IsNil() {
		return false
	}
	return f.enum == nil || f.named(v.Elem())
}

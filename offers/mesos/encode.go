package mesos

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// MarshalJSON returns m as Mesos writes it: one line, the names of the .proto
// files, enums by name, 64-bit integers as numbers, bytes in standard base64,
// and explicit defaults also of unset fields unless those are deprecated. The
// same message always gives the same bytes. It does not ask for required fields.
// Mesos: 3rdparty/stout/include/stout/protobuf.hpp.
func MarshalJSON(m proto.Message) ([]byte, error) {
	return AppendJSON(nil, m)
}

// AppendJSON appends what MarshalJSON returns to dst.
func AppendJSON(dst []byte, m proto.Message) ([]byte, error) {
	p, v, err := open(m)
	if err != nil {
		return dst, fmt.Errorf("write JSON: %w", err)
	}
	return appendMessage(dst, p, v), nil
}

// open returns the plan of a generated message and its struct.
func open(m proto.Message) (*plan, reflect.Value, error) {
	v := reflect.ValueOf(m)
	if v.Kind() != reflect.Pointer || v.Type().Elem().Kind() != reflect.Struct {
		return nil, v, fmt.Errorf("%T is not a generated message", m)
	}
	p, err := planOf(v.Type().Elem(), m)
	return p, v.Elem(), err
}

// appendMessage writes a struct; an invalid v stands for a nil message.
func appendMessage(dst []byte, p *plan, v reflect.Value) []byte {
	dst = append(dst, '{')
	start := len(dst)
	for _, f := range p.fields {
		var x reflect.Value
		if v.IsValid() {
			x = v.Field(f.index)
			if f.unset == "" && f.shape != shapePlain && x.IsNil() {
				continue // as most fields are: no key is written that is taken back
			}
		}
		before := len(dst)
		if before > start {
			dst = append(dst, ',')
		}
		dst = append(dst, f.key...)
		value := len(dst)
		if x.IsValid() {
			dst = f.append(dst, x)
		}
		if len(dst) == value && f.unset != "" {
			dst = append(dst, f.unset...)
		}
		if len(dst) == value {
			dst = dst[:before]
		}
	}
	return append(dst, '}')
}

// append writes the value of a field, or nothing if the field is unset.
func (f *field) append(dst []byte, v reflect.Value) []byte {
	switch f.shape {
	case shapePointer:
		if v.IsNil() {
			return dst
		}
		return f.appendValue(dst, v.Elem())
	case shapePlain:
		if v.IsZero() {
			return dst
		}
		return f.appendValue(dst, v)
	case shapeList:
		return f.appendList(dst, v)
	case shapeMap:
		return f.appendMap(dst, v)
	case shapeOneof:
		if !f.holds(v) {
			return dst
		}
		return f.appendValue(dst, v.Elem().Elem().Field(0))
	default:
		if v.IsNil() {
			return dst
		}
		return f.appendValue(dst, v)
	}
}

// appendValue writes one value. An enum's number that has no name counts as
// unset, as it does where a C++ client would have read it.
func (f *field) appendValue(dst []byte, v reflect.Value) []byte {
	switch f.kind {
	case protoreflect.StringKind:
		return appendString(dst, v.String())
	case protoreflect.MessageKind:
		return appendMessage(dst, f.message, v.Elem())
	case protoreflect.EnumKind:
		return append(dst, f.enum.byNumber[int32(v.Int())]...)
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return appendFloat(dst, v.Float())
	case protoreflect.BoolKind:
		return strconv.AppendBool(dst, v.Bool())
	case protoreflect.BytesKind:
		return appendBytes(dst, v.Bytes())
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return strconv.AppendUint(dst, v.Uint(), 10)
	default:
		return strconv.AppendInt(dst, v.Int(), 10)
	}
}

func (f *field) appendList(dst []byte, v reflect.Value) []byte {
	n := v.Len()
	if n == 0 {
		return dst
	}
	dst = append(dst, '[')
	start := len(dst)
	for i := range n {
		before := len(dst)
		if before > start {
			dst = append(dst, ',')
		}
		value := len(dst)
		if dst = f.appendValue(dst, v.Index(i)); len(dst) == value {
			dst = dst[:before]
		}
		if i == sample && i < n-1 {
			dst = slices.Grow(dst, (len(dst)-start)/sample*(n-i)*9/8)
		}
	}
	return append(dst, ']')
}

// sample is how many elements of a list tell how much room the others take: what
// grows step by step to the state of a large cluster is copied several times over.
const sample = 64

func (f *field) appendMap(dst []byte, v reflect.Value) []byte {
	if v.Len() == 0 {
		return dst
	}
	keys := sortedKeys(v)
	dst = append(dst, '{')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, key.String()), ':')
		value := len(dst)
		if dst = f.appendValue(dst, v.MapIndex(key)); len(dst) == value {
			dst = append(dst, "null"...)
		}
	}
	return append(dst, '}')
}

// holds says whether the oneof v holds the member f.
func (f *field) holds(v reflect.Value) bool {
	return !v.IsNil() && v.Elem().Type().Elem() == f.wrapper
}

func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}

// appendFloat writes the shortest decimal that reads back the same, always with
// a point or an exponent. What JSON has no number for becomes a string.
func appendFloat(dst []byte, x float64) []byte {
	switch {
	case math.IsInf(x, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(dst, `"-Infinity"`...)
	case math.IsNaN(x):
		return append(dst, `"NaN"`...)
	}
	if size := math.Abs(x); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.AppendFloat(dst, x, 'e', -1, 64)
	}
	if x == math.Trunc(x) {
		return strconv.AppendFloat(dst, x, 'f', 1, 64)
	}
	return strconv.AppendFloat(dst, x, 'f', -1, 64)
}

func appendBytes(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// appendString writes s quoted. Everything that some client takes for the end
// of a line is escaped; bytes that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if replaced := escapeRune(r, size); replaced != "" {
			dst = append(append(dst, s[start:i]...), replaced...)
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func escapeRune(r rune, size int) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return "\uFFFD"
	case r == '\u0085':
		return `\u0085`
	case r == '\u2028':
		return `\u2028`
	case r == '\u2029':
		return `\u2029`
	}
	return ""
}

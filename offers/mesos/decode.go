package mesos

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// SyntaxError says that a text is not JSON at all, rather than JSON that does
// not fit the message.
type SyntaxError struct {
	Offset  int64 // bytes read before the error
	Problem string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at byte %d", e.Problem, e.Offset)
}

// fieldError says which field does not fit.
type fieldError struct {
	path    string // from the outermost message
	problem string
}

func (e *fieldError) Error() string { return "field '" + e.path + "': " + e.problem }

// UnmarshalJSON replaces m by what b says and checks its required fields. It
// forgives what Mesos forgives: unknown fields and nulls are skipped, numbers
// and booleans may be quoted, one value may stand for a list of one, and an
// unknown name leaves an optional enum unset. A *SyntaxError is returned if b is
// not JSON; ErrMissingRequired is wrapped if required fields are missing.
// Mesos: 3rdparty/stout/include/stout/protobuf.hpp, internal::Parser.
func UnmarshalJSON(b []byte, m proto.Message) error {
	p, v, err := open(m)
	if err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	if !v.IsValid() {
		return fmt.Errorf("read JSON: nil %T", m)
	}
	if err := checkSyntax(b); err != nil {
		return err
	}
	proto.Reset(m)
	s := scanner{text: b}
	if s.peek() != '{' {
		return errors.New("expecting a JSON object")
	}
	if problem := readMessage(&s, p, v, maxDepth); problem != nil {
		return problem
	}
	return CheckRequired(m)
}

func checkSyntax(b []byte) error {
	if json.Valid(b) {
		return nil
	}
	var raw json.RawMessage
	err := json.Unmarshal(b, &raw)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return &SyntaxError{Offset: syntax.Offset, Problem: syntax.Error()}
	}
	return &SyntaxError{Problem: fmt.Sprintf("invalid JSON: %v", err)}
}

// readMessage reads an object into the struct v.
func readMessage(s *scanner, p *plan, v reflect.Value, depth int) *fieldError {
	if depth == 0 {
		return &fieldError{problem: fmt.Sprintf("nested deeper than %d messages", maxDepth)}
	}
	for s.expect('{'); s.more('}'); {
		name := s.string()
		s.expect(':')
		f := p.byName[string(name)]
		if f == nil || s.peek() == 'n' {
			s.skip()
			continue
		}
		if problem := f.read(s, v.Field(f.index), depth); problem != nil {
			return problem.in(f.name)
		}
	}
	return nil
}

func (e *fieldError) in(name string) *fieldError {
	switch {
	case e.path == "":
		e.path = name
	case e.path[0] == '[':
		e.path = name + e.path
	default:
		e.path = name + "." + e.path
	}
	return e
}

// read reads the value of a field into the Go field v.
func (f *field) read(s *scanner, v reflect.Value, depth int) *fieldError {
	if s.peek() == '[' && f.shape != shapeList {
		return unexpected(s)
	}
	switch f.shape {
	case shapeList:
		return f.readList(s, v, depth)
	case shapeMap:
		return f.readMap(s, v, depth)
	case shapeOneof:
		wrapper := reflect.New(f.wrapper)
		present, problem := f.readValue(s, wrapper.Elem().Field(0), depth)
		if present {
			v.Set(wrapper)
		}
		return problem
	case shapePointer:
		pointer := reflect.New(v.Type().Elem())
		present, problem := f.readValue(s, pointer.Elem(), depth)
		if present {
			v.Set(pointer)
		}
		return problem
	default:
		_, problem := f.readValue(s, v, depth)
		return problem
	}
}

func (f *field) readList(s *scanner, v reflect.Value, depth int) *fieldError {
	single := s.peek() != '['
	list := reflect.MakeSlice(v.Type(), 0, 1)
	index := 0
	read := func() *fieldError {
		list = reflect.Append(list, reflect.Zero(v.Type().Elem()))
		present, problem := f.readValue(s, list.Index(list.Len()-1), depth)
		if !present {
			list = list.Slice(0, list.Len()-1)
		}
		return problem
	}
	if single {
		problem := read()
		v.Set(list)
		return problem
	}
	for s.expect('['); s.more(']'); index++ {
		if s.peek() == 'n' {
			s.skip()
			continue
		}
		if problem := read(); problem != nil {
			return problem.in("[" + strconv.Itoa(index) + "]")
		}
	}
	v.Set(list)
	return nil
}

func (f *field) readMap(s *scanner, v reflect.Value, depth int) *fieldError {
	if s.peek() != '{' {
		return unexpected(s)
	}
	if depth == 0 {
		return &fieldError{problem: fmt.Sprintf("nested deeper than %d messages", maxDepth)}
	}
	values := reflect.MakeMap(v.Type())
	for s.expect('{'); s.more('}'); {
		key := string(s.string())
		s.expect(':')
		if s.peek() == 'n' {
			s.skip()
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		present, problem := f.readValue(s, value, depth)
		if problem != nil {
			return problem.in("[" + key + "]")
		}
		if present {
			values.SetMapIndex(reflect.ValueOf(key), value)
		}
	}
	v.Set(values)
	return nil
}

// readValue reads one value that is not null into v; present is false if the
// value is to be ignored.
func (f *field) readValue(s *scanner, v reflect.Value, depth int) (present bool, problem *fieldError) {
	switch f.kind {
	case protoreflect.MessageKind:
		return true, f.readNested(s, v, depth)
	case protoreflect.StringKind:
		if s.peek() != '"' {
			return true, unexpected(s)
		}
		v.SetString(string(s.string()))
		return true, nil
	case protoreflect.BytesKind:
		if s.peek() != '"' {
			return true, unexpected(s)
		}
		b, err := base64.StdEncoding.DecodeString(string(s.string()))
		if err != nil {
			return true, &fieldError{problem: "not base64: " + err.Error()}
		}
		v.SetBytes(b)
		return true, nil
	case protoreflect.EnumKind:
		return f.readEnum(s, v)
	case protoreflect.BoolKind:
		return true, readBool(s, v)
	default:
		return true, f.readNumber(s, v)
	}
}

func (f *field) readNested(s *scanner, v reflect.Value, depth int) *fieldError {
	if s.peek() == '"' && f.message.duration {
		return readDuration(string(s.string()), v)
	}
	if s.peek() != '{' {
		return unexpected(s)
	}
	inner := reflect.New(v.Type().Elem())
	v.Set(inner)
	return readMessage(s, f.message, inner.Elem(), depth-1)
}

func (f *field) readEnum(s *scanner, v reflect.Value) (bool, *fieldError) {
	if s.peek() != '"' {
		return true, unexpected(s)
	}
	name := string(s.string())
	number, known := f.enum.byName[name]
	if !known {
		if f.required {
			return true, &fieldError{problem: "unknown value '" + clip(name) + "'"}
		}
		return false, nil
	}
	v.SetInt(int64(number))
	return true, nil
}

func readBool(s *scanner, v reflect.Value) *fieldError {
	token := s.token()
	switch token {
	case "true", "false":
		v.SetBool(token == "true")
		return nil
	}
	return &fieldError{problem: "not a boolean: " + clip(token)}
}

func (f *field) readNumber(s *scanner, v reflect.Value) *fieldError {
	quoted := s.peek() == '"'
	if c := s.peek(); c != '-' && (c < '0' || c > '9') && !quoted {
		return unexpected(s)
	}
	token := s.token()
	if f.kind == protoreflect.DoubleKind || f.kind == protoreflect.FloatKind {
		switch token {
		case "Infinity":
			v.SetFloat(math.Inf(1))
			return nil
		case "-Infinity":
			v.SetFloat(math.Inf(-1))
			return nil
		}
	}
	if quoted && (token == "" || strings.TrimLeft(token[:1], "-0123456789") != "" || !json.Valid([]byte(token))) {
		return &fieldError{problem: "not a number: '" + clip(token) + "'"}
	}
	if !setNumber(v, token) {
		return &fieldError{problem: "number out of range: " + clip(token)}
	}
	return nil
}

// setNumber stores a JSON number and says whether it fits. Integers given as
// decimals lose their fraction, as in Mesos.
func setNumber(v reflect.Value, token string) bool {
	switch v.Kind() {
	case reflect.Float64, reflect.Float32:
		x, err := strconv.ParseFloat(token, v.Type().Bits())
		v.SetFloat(x)
		return err == nil
	case reflect.Uint32, reflect.Uint64:
		if n, err := strconv.ParseUint(token, 10, v.Type().Bits()); err == nil {
			v.SetUint(n)
			return true
		}
		x, err := strconv.ParseFloat(token, 64)
		x = math.Trunc(x)
		if err != nil || x < 0 || x >= math.Ldexp(1, v.Type().Bits()) {
			return false
		}
		v.SetUint(uint64(x))
		return true
	default:
		if n, err := strconv.ParseInt(token, 10, v.Type().Bits()); err == nil {
			v.SetInt(n)
			return true
		}
		x, err := strconv.ParseFloat(token, 64)
		x = math.Trunc(x)
		limit := math.Ldexp(1, v.Type().Bits()-1)
		if err != nil || x < -limit || x >= limit {
			return false
		}
		v.SetInt(int64(x))
		return true
	}
}

func unexpected(s *scanner) *fieldError {
	kind := "number"
	switch s.peek() {
	case '{':
		kind = "object"
	case '[':
		kind = "array"
	case '"':
		kind = "string"
	case 't', 'f':
		kind = "boolean"
	case 'n':
		kind = "null"
	}
	return &fieldError{problem: "not expecting a JSON " + kind}
}

// clip shortens a client's text for an error.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

package api

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// writer appends JSON. The state of the largest clusters is hundreds of megabytes;
// maps of it would take several times that, and sorting their keys. A slice that grew
// to it would be copied several times over, so it is kept in chunks.
type writer struct {
	b    []byte
	full [][]byte  // before b
	enc  *encoding // keeps what put is given; may be nil
}

// chunkSize is from where on a chunk is full, in bytes.
const chunkSize = 1 << 20

// chunks returns all that was written.
func (w *writer) chunks() [][]byte { return append(w.full, w.b) }

// sep writes the comma that is due before a name, or before a value in an array.
func (w *writer) sep() {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' && w.b[n-1] != ':' {
		w.b = append(w.b, ',')
	}
}

func (w *writer) open(c byte) {
	w.sep()
	w.b = append(w.b, c)
}

// close ends what open began, in a new chunk if this one is full. sep looks at the last
// byte, so there always is one.
func (w *writer) close(c byte) {
	if len(w.b) >= chunkSize {
		w.full = append(w.full, w.b)
		w.b = make([]byte, 0, chunkSize+chunkSize/16)
	}
	w.b = append(w.b, c)
}

// key writes the name of the value that follows.
func (w *writer) key(name string) *writer {
	w.str(name)
	w.b = append(w.b, ':')
	return w
}

// object writes {…}, and array […], with what fill writes.
func (w *writer) object(fill func()) {
	w.open('{')
	fill()
	w.close('}')
}

func (w *writer) array(fill func()) {
	w.open('[')
	fill()
	w.close(']')
}

// put writes values or names and values that are encoded already, without a copy.
func (w *writer) put(b []byte) {
	if len(b) == 0 {
		return
	}
	w.sep()
	last := len(b) - 1
	w.full = append(w.full, w.b, b[:last])
	w.b = append(make([]byte, 0, 64), b[last]) // for sep to look at
}

// kept writes what one writes of each run of a view.
func kept[T any](w *writer, lists [][]T, one func(*writer, T)) {
	for _, run := range lists {
		w.part(&run[0], func(w *writer) {
			for _, x := range run {
				one(w, x)
			}
		})
	}
}

// part writes what fill writes of a message or a run that is never modified.
func (w *writer) part(of any, fill func(*writer)) {
	w.put(w.enc.part(of, func(dst []byte) []byte {
		p := writer{b: dst}
		fill(&p)
		if len(p.full) > 0 {
			return slices.Concat(p.chunks()...)
		}
		return p.b
	}))
}

func (w *writer) str(s string) {
	w.sep()
	w.b = appendString(w.b, s)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...) // never: every string can be quoted
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func (w *writer) strs(list []string) {
	w.open('[')
	for _, s := range list {
		w.str(s)
	}
	w.close(']')
}

func (w *writer) bool(v bool) {
	w.sep()
	w.b = strconv.AppendBool(w.b, v)
}

func (w *writer) int(v int) {
	w.sep()
	w.b = strconv.AppendInt(w.b, int64(v), 10)
}

// num writes a number; JSON has no infinities.
func (w *writer) num(v float64) {
	w.sep()
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		w.b = append(w.b, "null"...)
	case v != 0 && (math.Abs(v) < 1e-6 || math.Abs(v) >= 1e21):
		w.b = strconv.AppendFloat(w.b, v, 'e', -1, 64)
	default:
		w.b = strconv.AppendFloat(w.b, v, 'f', -1, 64)
	}
}

// message writes m in Mesos's own JSON; null if it cannot be encoded.
func (w *writer) message(m proto.Message) {
	w.sep()
	if b, err := mesos.AppendJSON(w.b, m); err == nil {
		w.b = b
		return
	}
	w.b = append(w.b, "null"...)
}

func messages[M proto.Message](w *writer, list []M) {
	w.open('[')
	for _, m := range list {
		w.message(m)
	}
	w.close(']')
}

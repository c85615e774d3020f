package estimate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// What a Node and a Learned remember can be stored and read by the next version:
// fields are only added, at the end of what they belong to, and the version rises.
const stateVersion = 1

// ErrState is why a stored state cannot be read.
var ErrState = errors.New("stored state of the estimator")

// maxTasks and maxID bound what is read.
const maxTasks, maxID = 1 << 16, 1 << 12

// MarshalBinary stores what the node remembers.
func (n *Node) MarshalBinary() ([]byte, error) {
	w := writer{byte('N'), stateVersion}
	w.uint(uint64(n.cfg.Step))
	w.uint(uint64(n.step))
	w.bool(n.started)
	w.uint(uint64(len(n.tasks)))
	for _, t := range n.tasks {
		if len(t.id) > maxID {
			return nil, fmt.Errorf("%w: task %.40q…: its ID has %d bytes, at most %d can be stored", ErrState, t.id, len(t.id), maxID)
		}
		w.uint(uint64(len(t.id)))
		w = append(w, t.id...)
		w.uint(uint64(t.born))
		for k := range t.kinds {
			t.kinds[k].write(&w)
		}
	}
	return w, nil
}

// UnmarshalBinary reads what MarshalBinary stored, into a node that was made with
// the same step. The node is unchanged if it fails.
func (n *Node) UnmarshalBinary(text []byte) error {
	r := reader{rest: text}
	r.header('N')
	if step := r.uint(); r.err == nil && step != uint64(n.cfg.Step) {
		return fmt.Errorf("%w: it is in steps of %d ns, not %v", ErrState, step, n.cfg.Step)
	}
	next := &Node{cfg: n.cfg, step: int64(r.uint()), started: r.bool()}
	for range r.count(maxTasks) {
		t := n.newTask(string(r.bytes(r.count(maxID))))
		t.born = int64(r.uint())
		for k := range t.kinds {
			t.kinds[k].read(&r)
		}
		next.tasks = append(next.tasks, t)
	}
	if !slices.IsSortedFunc(next.tasks, func(a, b *task) int { return strings.Compare(a.id, b.id) }) {
		r.fail("its tasks are not in order")
	}
	if r.err == nil {
		*n = *next
	}
	return r.err
}

func (u *usage) write(w *writer) {
	w.float(u.limit)
	w.uint(uint64(u.age))
	w.uint(uint64(u.blind))
	w.float(u.sum)
	w.uint(uint64(u.count))
	w.float(u.now)
	w.uint(uint64(u.past.len()))
	for lag := u.past.len() - 1; lag >= 0; lag-- {
		w.float32(float32(u.past.at(lag)))
	}
	w.uint(uint64(u.week.steps))
	w.uint(uint64(len(u.week.ring)))
	for lag := len(u.week.ring) - 1; lag >= 0; lag-- {
		w.float32(float32(u.week.at(lag)))
	}
}

func (u *usage) read(r *reader) {
	u.limit = r.float()
	u.age, u.blind = int(r.uint()), int(r.uint())
	u.sum, u.count, u.now = r.float(), int(r.uint()), r.float()
	if u.age < 0 || u.blind < 0 || u.count < 0 {
		r.fail("it counts below 0")
	}
	for range r.count(u.past.size) {
		u.past.push(float64(r.float32()))
	}
	steps := r.uint()
	for range r.count(u.week.size) {
		u.week.append(r.float32())
	}
	if steps > coarse || steps > 0 && len(u.week.ring) == 0 {
		r.fail("a value covers too many steps")
	}
	u.week.steps = int(steps)
}

// MarshalBinary stores what was learned of the node.
func (l *Learned) MarshalBinary() ([]byte, error) {
	w := writer{byte('L'), stateVersion}
	w.uint(uint64(l.step))
	for k := range l.kinds {
		m := &l.kinds[k]
		w.uint(m.seen)
		w.float(m.shift)
		w.uint(uint64(len(m.pending)))
		for _, f := range m.pending {
			w.uint(uint64(f.step))
			w.float(f.predicted)
			w.float(f.peak)
		}
	}
	return w, nil
}

// maxPending bounds how many predictions may wait for their time to be over.
const maxPending = 1 << 12

// UnmarshalBinary reads what MarshalBinary stored. The estimator is unchanged if
// it fails.
func (l *Learned) UnmarshalBinary(text []byte) error {
	r := reader{rest: text}
	r.header('L')
	next := *l
	next.step = int64(r.uint())
	for k := range next.kinds {
		m := margin{seen: r.uint(), shift: min(max(r.float(), narrowest), widest)}
		for range r.count(maxPending) {
			m.pending = append(m.pending, forecast{int64(r.uint()), r.float(), r.float()})
		}
		next.kinds[k] = m
	}
	if r.err == nil {
		*l = next
	}
	return r.err
}

type writer []byte

func (w *writer) uint(v uint64)     { *w = binary.AppendUvarint(*w, v) }
func (w *writer) float(v float64)   { *w = binary.LittleEndian.AppendUint64(*w, math.Float64bits(v)) }
func (w *writer) float32(v float32) { *w = binary.LittleEndian.AppendUint32(*w, math.Float32bits(v)) }
func (w *writer) bool(v bool) {
	n := byte(0)
	if v {
		n = 1
	}
	*w = append(*w, n)
}

// reader keeps the first error and then gives zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrState, why)
	}
	r.rest = nil
}

func (r *reader) header(of byte) {
	h := r.bytes(2)
	switch {
	case r.err != nil:
	case h[0] != of:
		r.fail("it is of something else")
	case h[1] != stateVersion:
		r.fail(fmt.Sprintf("version %d is not known", h[1]))
	}
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.rest) {
		r.fail("it is cut short")
	}
	if r.err != nil {
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail("it is cut short")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count is a number of things to follow, each of at least one byte.
func (r *reader) count(most int) int {
	n := r.uint()
	if n > uint64(most) || n > uint64(len(r.rest)) {
		r.fail("it holds too much")
		return 0
	}
	return int(n)
}

// float gives what is not a number as 0.
func (r *reader) float() float64 {
	b := r.bytes(8)
	if b == nil {
		return 0
	}
	return finite(math.Float64frombits(binary.LittleEndian.Uint64(b)))
}

func (r *reader) float32() float32 {
	b := r.bytes(4)
	if b == nil {
		return 0
	}
	return float32(finite(float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))))
}

func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

func (r *reader) bool() bool {
	b := r.bytes(1)
	return b != nil && b[0] == 1
}

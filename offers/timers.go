package offers

import (
	"container/heap"
	"time"
)

// timer is one thing that will happen at a time unless it is stopped.
type timer struct {
	at    time.Time
	seq   uint64 // those of one time fire in the order they were set
	index int    // in the heap; -1 when not set
	fire  func()
}

// timers is what is due, soonest first.
type timers struct {
	heap timerHeap
	seq  uint64
}

// set arms a timer.
func (ts *timers) set(at time.Time, fire func()) *timer {
	ts.seq++
	t := &timer{at: at, seq: ts.seq, fire: fire}
	heap.Push(&ts.heap, t)
	return t
}

// stop disarms a timer, if it is armed. nil is allowed.
func (ts *timers) stop(t *timer) {
	if t != nil && t.index >= 0 {
		heap.Remove(&ts.heap, t.index)
	}
}

// due fires what is due, and what that makes due.
func (ts *timers) due(now time.Time) {
	for len(ts.heap) > 0 && !ts.heap[0].at.After(now) {
		heap.Pop(&ts.heap).(*timer).fire()
	}
}

// next returns when the next timer fires, zero when none is set.
func (ts *timers) next() time.Time {
	if len(ts.heap) == 0 {
		return time.Time{}
	}
	return ts.heap[0].at
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}

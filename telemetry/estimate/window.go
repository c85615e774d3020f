package estimate

import (
	"math"
	"slices"
)

// window holds the latest values of a series, in the order of time and in that
// of size.
type window struct {
	size   int
	ring   []float32 // grows to size, then wraps at next
	next   int
	sorted []float32
}

func (w *window) len() int { return len(w.ring) }

func (w *window) push(v float64) {
	x := float32(v)
	if len(w.ring) < w.size {
		w.ring = append(w.ring, x)
	} else {
		old, _ := slices.BinarySearch(w.sorted, w.ring[w.next])
		w.sorted = slices.Delete(w.sorted, old, old+1)
		w.ring[w.next] = x
	}
	w.next = (w.next + 1) % w.size
	at, _ := slices.BinarySearch(w.sorted, x)
	w.sorted = slices.Insert(w.sorted, at, x)
}

// at returns the value lag steps before the latest.
func (w *window) at(lag int) float64 {
	i := w.next - 1 - lag
	if i < 0 {
		i += w.size
	}
	return float64(w.ring[i])
}

func (w *window) last() float64 { return w.at(0) }

// quantile is the smallest value that at least the share q of all do not exceed.
func (w *window) quantile(q float64) float64 {
	i := int(math.Ceil(q*float64(len(w.sorted)))) - 1
	return float64(w.sorted[min(max(i, 0), len(w.sorted)-1)])
}

func (w *window) mean() float64 {
	sum := 0.0
	for _, v := range w.ring {
		sum += float64(v)
	}
	return sum / float64(len(w.ring))
}

// coarse is how many steps share one value of peaks.
const coarse = 3

// peaks holds the highest of each coarse steps of a series, the latest under way.
type peaks struct {
	size  int
	ring  []float32 // grows to size, then wraps at next
	next  int
	steps int // in the value under way
}

func (p *peaks) push(v float64) {
	if p.steps == 0 || p.steps == coarse {
		p.append(0)
		p.steps = 0
	}
	p.steps++
	i := (p.next - 1 + p.size) % p.size
	p.ring[i] = max(p.ring[i], float32(v))
}

func (p *peaks) append(v float32) {
	if len(p.ring) < p.size {
		p.ring = append(p.ring, v)
	} else {
		p.ring[p.next] = v
	}
	p.next = (p.next + 1) % p.size
}

func (p *peaks) at(lag int) float64 {
	i := p.next - 1 - lag
	if i < 0 {
		i += p.size
	}
	return float64(p.ring[i])
}

package telemetry

import (
	"cmp"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"
)

// The grain of a History. A task takes at most 5 kB: 30 means of two seconds and
// 288 steps of five minutes, of CPU and memory.
const (
	Grain   = 2 * time.Second
	Recent  = time.Minute
	StepLen = 5 * time.Minute
	Day     = 24 * time.Hour

	grains = int(Recent / Grain)
	steps  = int(Day / StepLen)
)

// Use is what a task used, and what it was allocated. Mem is in bytes.
type Use struct {
	CPUs, Mem             float64
	CPUsLimit, MemLimit   float64
	Framework, Task, Role string // for people: who it is
	Revocable             bool
}

// clean makes 0 of what is no amount.
func (u *Use) clean() {
	for _, v := range []*float64{&u.CPUs, &u.Mem, &u.CPUsLimit, &u.MemLimit} {
		if !(*v >= 0) || math.IsInf(*v, 1) {
			*v = 0
		}
	}
}

// Step is what a task used in one step of a History; all are 0 in a step in
// which nobody looked, with Seen false.
type Step struct {
	CPUs, CPUsMax, Mem, MemMax float32
	Seen                       bool
}

// Spread of a figure over a window.
type Spread struct{ Mean, Max, P50, P90, P99 float64 }

// History remembers what tasks used over two seconds, a minute and a day, in
// bounded memory, by container. Safe for concurrent use.
type History struct {
	max int
	log *slog.Logger

	mu    sync.Mutex
	tasks map[string]*past
	full  bool    // no room for a task: said once
	ended []ended // their days, the one that ended first in front
	kept  int     // steps of these
}

// ended is a task that is gone, for those who ask what was used.
type ended struct {
	id string
	*past
}

// Bounds of what is remembered of tasks that ended; a step takes 20 bytes, so all
// of them 2.6 MB.
const (
	endedTasks = 4096
	endedSteps = 1 << 17
)

// past of one task.
type past struct {
	use    Use // the latest
	at     time.Time
	grain  sums
	recent ring[[2]float32]
	step   int64 // number of the one under way, since the epoch
	sums   sums
	day    ring[Step]
}

// sums of the readings of a grain or step.
type sums struct {
	number int64
	n      int
	cpu    float64
	mem    float64
	cpuMax float64
	memMax float64
}

func (s *sums) add(u Use) {
	s.n++
	s.cpu, s.mem = s.cpu+u.CPUs, s.mem+u.Mem
	s.cpuMax, s.memMax = max(s.cpuMax, u.CPUs), max(s.memMax, u.Mem)
}

// step is what a step would be that ended now.
func (s *sums) step() Step {
	if s.n == 0 {
		return Step{}
	}
	cpu, mem := s.mean()
	return Step{float32(cpu), float32(s.cpuMax), float32(mem), float32(s.memMax), true}
}

func (s *sums) mean() (cpu, mem float64) {
	if s.n == 0 {
		return 0, 0
	}
	return s.cpu / float64(s.n), s.mem / float64(s.n)
}

// NewHistory has room for so many tasks [16384]. log may be nil.
func NewHistory(tasks int, log *slog.Logger) *History {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &History{max: cmp.Or(tasks, 16384), log: log, tasks: map[string]*past{}}
}

// Observe takes a reading of one task. A moment before the latest counts as it:
// a clock that is set back loses nothing, one that is set forward leaves a gap.
func (h *History) Observe(at time.Time, id string, u Use) {
	u.clean()
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.tasks[id]
	if p == nil {
		if len(h.tasks) >= h.max {
			if !h.full {
				h.log.Warn("usage of more tasks is not remembered", "tasks", h.max)
			}
			h.full = true
			return
		}
		p = &past{step: at.UnixNano() / int64(StepLen)}
		p.grain.number = at.UnixNano() / int64(Grain)
		h.tasks[id] = p
	}
	if at.Before(p.at) {
		at = p.at
	}
	p.observe(at, u)
}

func (p *past) observe(at time.Time, u Use) {
	if grain := at.UnixNano() / int64(Grain); grain != p.grain.number {
		p.closeGrain(grain)
	}
	if step := at.UnixNano() / int64(StepLen); step != p.step {
		p.closeStep(step)
	}
	p.use, p.at = u, at
	p.grain.add(u)
	p.sums.add(u)
}

func (p *past) closeGrain(next int64) {
	if p.grain.n > 0 {
		cpu, mem := p.grain.mean()
		p.recent.push([2]float32{float32(cpu), float32(mem)}, grains)
	}
	if next-p.grain.number > int64(grains) {
		p.recent = ring[[2]float32]{} // all of it is older than a minute
	}
	p.grain = sums{number: next}
}

func (p *past) closeStep(next int64) {
	if p.sums.n > 0 {
		p.day.push(p.sums.step(), steps)
		p.step++
	}
	for range min(next-p.step, int64(steps)) {
		p.day.push(Step{}, steps)
	}
	p.step, p.sums = next, sums{}
}

// Keep ends all tasks but these. Their days are kept while there is room; nothing
// but Save and WriteCSV tells of them.
func (h *History) Keep(ids map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var gone []ended
	for id, p := range h.tasks {
		if !ids[id] {
			delete(h.tasks, id)
			gone = append(gone, ended{id, p})
		}
	}
	slices.SortFunc(gone, func(a, b ended) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	for _, e := range gone {
		h.end(e)
	}
	h.full = h.full && len(h.tasks) >= h.max
}

// end puts a task with those that are gone, of which the first give way.
func (h *History) end(e ended) {
	if e.sums.n > 0 {
		e.closeStep(e.step + 1)
	}
	e.recent = ring[[2]float32]{}
	h.ended, h.kept = append(h.ended, e), h.kept+len(e.day.values)
	drop := 0
	for len(h.ended)-drop > endedTasks || h.kept > endedSteps {
		h.kept -= len(h.ended[drop].day.values)
		drop++
	}
	h.ended = slices.Delete(h.ended, 0, drop)
}

// IDs are the containers of which something is known, in their order.
func (h *History) IDs() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]string, 0, len(h.tasks))
	for id := range h.tasks {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Latest is what a task used when it was last read.
func (h *History) Latest(id string) (Use, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.tasks[id]; p != nil {
		return p.use, true
	}
	return Use{}, false
}

// Steps returns a task's day: one entry a step, the latest complete one last,
// and when that began.
func (h *History) Steps(id string) (last time.Time, day []Step) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.tasks[id]
	if p == nil {
		return time.Time{}, nil
	}
	return stepTime(p.step - 1), p.day.list()
}

// stepTime is when a step begins.
func stepTime(number int64) time.Time { return time.Unix(0, number*int64(StepLen)) }

// Recent is what a task used over the last minute, by means of two seconds.
func (h *History) Recent(id string) (cpus, mem Spread) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.tasks[id]
	if p == nil {
		return
	}
	var c, m []float64
	for _, g := range p.recent.list() {
		c, m = append(c, float64(g[0])), append(m, float64(g[1]))
	}
	if p.grain.n > 0 {
		cpu, used := p.grain.mean()
		c, m = append(c, cpu), append(m, used)
	}
	c, m = c[max(0, len(c)-grains):], m[max(0, len(m)-grains):]
	return spread(c, c), spread(m, m)
}

// Day is what a task used over the last day: percentiles are of means of five
// minutes, the highest is that of single readings.
func (h *History) Day(id string) (cpus, mem Spread) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.tasks[id]
	if p == nil {
		return
	}
	var c, cMax, m, mMax []float64
	add := func(s Step) {
		c, cMax = append(c, float64(s.CPUs)), append(cMax, float64(s.CPUsMax))
		m, mMax = append(m, float64(s.Mem)), append(mMax, float64(s.MemMax))
	}
	for _, s := range p.day.list() {
		if s.Seen {
			add(s)
		}
	}
	if p.sums.n > 0 {
		add(p.sums.step())
	}
	return spread(c, cMax), spread(m, mMax)
}

func spread(values, tops []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	s := Spread{Max: slices.Max(tops)}
	for _, v := range values {
		s.Mean += v
	}
	s.Mean /= float64(len(values))
	slices.Sort(values)
	at := func(q float64) float64 { return values[min(int(q*float64(len(values))), len(values)-1)] }
	s.P50, s.P90, s.P99 = at(.50), at(.90), at(.99)
	return s
}

// ring holds the last values, in slices that grow to the size and no further.
type ring[T any] struct {
	values []T
	next   int
}

func (r *ring[T]) push(v T, size int) {
	if n := len(r.values); n < size {
		if n == cap(r.values) { // append alone would make room for more than size
			r.values = append(make([]T, 0, min(max(2*n, 4), size)), r.values...)
		}
		r.values = append(r.values, v)
		return
	}
	r.values[r.next] = v
	r.next = (r.next + 1) % size
}

// list returns the values, oldest first.
func (r *ring[T]) list() []T {
	return append(slices.Clone(r.values[r.next:]), r.values[:r.next]...)
}

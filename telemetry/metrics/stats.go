package metrics

import (
	"slices"
	"time"
)

// stats of a timer at one moment. count and sum are of all time, the
// percentiles of the latest durations.
type stats struct {
	count  uint64
	sum    time.Duration
	last   time.Duration
	sorted []time.Duration
}

func (t *Timer) stats() stats {
	t.mu.Lock()
	st := stats{t.count, t.sum, t.last, slices.Clone(t.recent)}
	t.mu.Unlock()
	slices.Sort(st.sorted)
	return st
}

var percentiles = []struct {
	name string
	q    float64
}{{"p50", .5}, {"p90", .9}, {"p95", .95}, {"p99", .99}, {"p999", .999}, {"p9999", .9999}}

// snapshot writes the keys Mesos gives a timer. Those of an unused one are left out.
// Mesos: 3rdparty/libprocess/include/process/metrics/timer.hpp.
func (st stats) snapshot(name string, values map[string]float64) {
	if st.count == 0 {
		return
	}
	values[name] = ms(st.last)
	values[name+"/count"] = float64(st.count)
	values[name+"/min"] = ms(st.sorted[0])
	values[name+"/max"] = ms(st.sorted[len(st.sorted)-1])
	for _, p := range percentiles {
		values[name+"/"+p.name] = ms(st.quantile(p.q))
	}
}

// quantile interpolates between the two durations nearest to q.
func (st stats) quantile(q float64) time.Duration {
	if len(st.sorted) == 0 {
		return 0
	}
	pos := q * float64(len(st.sorted)-1)
	i := int(pos)
	if i+1 == len(st.sorted) {
		return st.sorted[i]
	}
	lo, hi := st.sorted[i], st.sorted[i+1]
	return lo + time.Duration((pos-float64(i))*float64(hi-lo))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

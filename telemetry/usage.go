package telemetry

import (
	"math/bits"
	"time"
)

// Usage is what one container uses: its latest sample, and rates over the
// window that ends there.
type Usage struct {
	Sample
	Rate   Rates
	Source string // name of the source that measured it
	Final  bool   // the container was removed; nothing will follow
}

// Rates are averages per second over a window. All are 0 while it is empty.
type Rates struct {
	Window     time.Duration // what they cover; 0: there is only one sample yet
	CPUs       float64       // CPUs kept busy
	RunQueue   float64       // seconds waited for a CPU, summed over the container's threads
	Throttled  float64       // seconds throttled by the container's own quota
	Switches   float64
	MinorFlt   float64
	MajorFlt   float64
	ReadBytes  float64
	WriteBytes float64
	RxBytes    float64
	TxBytes    float64

	// Waits for a CPU in the window, as upper bounds of their log2 bucket;
	// 0 where none were seen.
	WaitP50, WaitP99 time.Duration
}

// ratesOf compares the first and the last sample of a window.
func ratesOf(first, last Sample) Rates {
	span := last.At.Sub(first.At)
	if span <= 0 {
		return Rates{}
	}
	secs := span.Seconds()
	count := func(from, to uint64) float64 { return float64(since(from, to)) / secs }
	spent := func(from, to time.Duration) float64 { return max(to-from, 0).Seconds() / secs }

	var waits [len(last.Delays)]uint64
	for i := range waits {
		waits[i] = since(first.Delays[i], last.Delays[i])
	}
	return Rates{
		Window:     span,
		CPUs:       spent(first.CPU, last.CPU),
		RunQueue:   spent(first.RunQueue, last.RunQueue),
		Throttled:  spent(first.Throttled, last.Throttled),
		Switches:   count(first.Switches, last.Switches),
		MinorFlt:   count(first.MinorFlt, last.MinorFlt),
		MajorFlt:   count(first.MajorFlt, last.MajorFlt),
		ReadBytes:  count(first.ReadBytes, last.ReadBytes),
		WriteBytes: count(first.WriteBytes, last.WriteBytes),
		RxBytes:    count(first.RxBytes, last.RxBytes),
		TxBytes:    count(first.TxBytes, last.TxBytes),
		WaitP50:    quantile(waits[:], .50),
		WaitP99:    quantile(waits[:], .99),
	}
}

// since is to − from of a counter, 0 if it was reset in between.
func since(from, to uint64) uint64 {
	if to < from {
		return 0
	}
	return to - from
}

// DelayBucket tells where a wait is counted in Sample.Delays: bucket 0 holds
// waits below 1 µs, bucket i those in [2^(i-1), 2^i) µs, the last all longer ones.
func DelayBucket(wait time.Duration) int {
	return min(bits.Len64(uint64(max(wait, 0)/time.Microsecond)), len(Sample{}.Delays)-1)
}

// quantile is the upper bound of the bucket in which the q-quantile lies.
func quantile(buckets []uint64, q float64) time.Duration {
	var total uint64
	for _, n := range buckets {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank := q * float64(total)
	var seen uint64
	for i, n := range buckets {
		seen += n
		if n > 0 && float64(seen) >= rank {
			return time.Microsecond << i
		}
	}
	return time.Microsecond << (len(buckets) - 1)
}

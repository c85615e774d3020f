package runc_test

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkContainer creates, runs and ends a container. cpu-ms is what that
// cost in all processes, start-ms the time until its command ran.
func BenchmarkContainer(b *testing.B) {
	w := newBench(b)
	var starting time.Duration
	before := used(b)
	for b.Loop() {
		spec := w.shell("exit 0")
		begin := time.Now()
		if _, err := w.Start(b.Context(), spec); err != nil {
			b.Fatal(err)
		}
		starting += time.Since(begin)
		if _, err := w.Wait(b.Context(), spec.ID); err != nil {
			b.Fatal(err)
		}
		if err := w.Destroy(b.Context(), spec.ID); err != nil {
			b.Fatal(err)
		}
	}
	n := time.Duration(b.N)
	b.ReportMetric(float64((used(b)-before)/n)/1e6, "cpu-ms/op")
	b.ReportMetric(float64(starting/n)/1e6, "start-ms/op")
}

// used is the CPU time of this process and of the children it has reaped.
func used(b *testing.B) time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return total
}

package bpf

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"muster/isolate/isolatetest"
	"muster/telemetry"
)

// many makes n empty cgroups in the cgroup2 tree alone and measures them.
func many(b *testing.B, s *Source, n int) {
	b.Helper()
	parent := filepath.Join(s.tree.mount, "muster", fmt.Sprintf("bench-bpf-%d", os.Getpid()))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := os.Remove(parent); err != nil {
			b.Error(err)
		}
		_ = os.Remove(filepath.Dir(parent)) // works for the last user of it
	})
	for i := range n {
		id := strconv.Itoa(i)
		dir := filepath.Join(parent, id)
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.Remove(dir) })
		add(b, s, telemetry.Container{ID: id, Cgroups: map[string]string{"": dir}})
	}
}

// BenchmarkCounters reads what the programs counted for all containers.
func BenchmarkCounters(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := opened(b)
			many(b, s, n)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.reader.flush(); err != nil {
					b.Fatal(err)
				}
				seen := 0
				if err := s.reader.each(func(uint64, *usage) { seen++ }); err != nil || seen != n+1 {
					b.Fatal(seen, err)
				}
			}
		})
	}
}

// BenchmarkRead is a whole reading, with as many files as the budget allows, also in
// CPU time, which neighbours do not change.
func BenchmarkRead(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := opened(b)
			many(b, s, n)
			began := cpuTime(b)
			for b.Loop() {
				if got, err := s.Read(); err != nil || len(got) != n {
					b.Fatal(len(got), err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N)/1e6, "cpu-ms/op")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSwitch tells what the programs add to a context switch of two threads
// that pass a byte to and fro on one CPU, with and without them in turn.
func BenchmarkSwitch(b *testing.B) {
	isolatetest.NeedRoot(b)
	box := newBox(b, "switch")
	measure := func() time.Duration {
		p := box.start("time 300")
		ns, err := strconv.ParseInt(p.begin().line(), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		p.done()
		return time.Duration(ns)
	}
	off, on := time.Hour, time.Hour
	for b.Loop() {
		off = min(off, measure())
		s, err := Open(nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Add(box.Container); err != nil {
			b.Fatal(err)
		}
		on = min(on, measure())
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(off), "ns/switch-off")
	b.ReportMetric(float64(on), "ns/switch-on")
	b.ReportMetric(float64(on-off), "ns/switch-added")
	b.ReportMetric(100*(float64(on)/float64(off)-1), "%-slower")
}

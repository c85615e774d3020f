package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// usage is what one CPU counted for one container: struct usage of usage.bpf.c.
// (The generated type has blank fields, for which cilium/ebpf copies by reflection.)
type usage struct {
	CPU, RunDelay         uint64 // ns
	Preempted             uint64 // ns
	Switches              uint64
	MinFlt, MajFlt        uint64
	ReadBytes, WriteBytes uint64
	RxBytes, TxBytes      uint64
	RxPackets, TxPackets  uint64
	OOMKills              uint64
	Delays                [24]uint64
}

func (u *usage) add(o *usage) {
	u.CPU += o.CPU
	u.RunDelay += o.RunDelay
	u.Preempted += o.Preempted
	u.Switches += o.Switches
	u.MinFlt += o.MinFlt
	u.MajFlt += o.MajFlt
	u.ReadBytes += o.ReadBytes
	u.WriteBytes += o.WriteBytes
	u.RxBytes += o.RxBytes
	u.TxBytes += o.TxBytes
	u.RxPackets += o.RxPackets
	u.TxPackets += o.TxPackets
	u.OOMKills += o.OOMKills
	for i, n := range o.Delays {
		u.Delays[i] += n
	}
}

// reader reads all counters in a few system calls, into memory of its own.
// One goroutine at a time.
type reader struct {
	p      *programs
	cpus   int
	keys   []uint64
	values []usage // of keys[i]: values[i*cpus : (i+1)*cpus]
	slots  []slot
}

type slot struct {
	Task      uint64
	Used      [6]uint64
	FromOther uint64
}

// chunk of values asked for at once, in bytes.
const chunk = 1 << 20

func newReader(p *programs) (*reader, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count CPUs: %w", err)
	}
	n := max(64, chunk/(int(p.usages.ValueSize())*cpus))
	return &reader{p: p, cpus: cpus, keys: make([]uint64, n), values: make([]usage, n*cpus), slots: make([]slot, cpus)}, nil
}

// flush has every busy CPU charge its current task for what it used until now.
func (r *reader) flush() error {
	if r.p.flush == nil {
		return nil
	}
	if err := r.p.slots.Lookup(uint32(0), r.slots); err != nil {
		return fmt.Errorf("read current tasks: %w", err)
	}
	for cpu, s := range r.slots {
		if s.Task == 0 {
			continue // idle
		}
		_, err := r.p.flush.Run(&ebpf.RunOptions{CPU: uint32(cpu), Flags: unix.BPF_F_TEST_RUN_ON_CPU})
		if err != nil && !errors.Is(err, unix.ENXIO) { // ENXIO: the CPU went offline
			return fmt.Errorf("charge the task on CPU %d: %w", cpu, err)
		}
	}
	return nil
}

// each passes on the counters of every key, summed over the CPUs. They are
// overwritten when visit returns.
func (r *reader) each(visit func(key uint64, total *usage)) error {
	var cursor ebpf.MapBatchCursor
	for {
		n, err := r.p.usages.BatchLookup(&cursor, r.keys, r.values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("read counters: %w", err)
		}
		for i, key := range r.keys[:n] {
			visit(key, sum(r.values[i*r.cpus:(i+1)*r.cpus]))
		}
		if err != nil {
			return nil // that was the last
		}
	}
}

func (r *reader) one(key uint64) (usage, error) {
	if err := r.p.usages.Lookup(key, r.values[:r.cpus]); err != nil {
		return usage{}, fmt.Errorf("read counters of cgroup %d: %w", key, err)
	}
	return *sum(r.values[:r.cpus]), nil
}

// sum adds all up in the first.
func sum(perCPU []usage) *usage {
	for i := range perCPU[1:] {
		perCPU[0].add(&perCPU[i+1])
	}
	return &perCPU[0]
}

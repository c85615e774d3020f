package bpf

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// programs are what this daemon has in the kernel. They end with it: nothing is
// pinned, and other daemons on the machine have their own.
type programs struct {
	usages, slots, waits, levels *ebpf.Map
	flush, level                 *ebpf.Program
	links                        []link.Link
	network, oom                 bool // whether these are counted

	refused string // for tests

	spec  *ebpf.CollectionSpec
	cache *btf.Cache
}

const mapLevels = ".bss" // the section that holds the variable levels, and only it

// load brings the programs into the kernel one by one. Without the first there
// is nothing to measure; each of the others costs one metric.
func load(cgroupRoot string, o options, log *slog.Logger) (_ *programs, err error) {
	p := &programs{cache: btf.NewCache()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.spec, err = loadUsage(); err != nil {
		return nil, err
	}
	if o.containers > 0 {
		p.spec.Maps[usageMapUsages].MaxEntries = o.containers + 1 // and what belongs to none
	}
	p.refused = o.refused
	if err := p.makeMaps(); err != nil {
		return nil, err
	}
	if err := p.attach(usageProgSchedSwitch, tracing); err != nil {
		return nil, err
	}
	if p.level, err = p.program(usageProgLevel); err != nil {
		return nil, err
	}
	if p.flush, err = p.program(usageProgFlush); err != nil {
		p.flush = nil
		log.Warn("usage of running tasks shows late", "err", err)
	}
	if err := p.attach(usageProgMarkVictim, tracing); err != nil {
		log.Debug("oom kills are read from cgroup files", "err", err)
	} else {
		p.oom = true
	}
	if err := errors.Join(
		p.attach(usageProgIngress, ingressOf(cgroupRoot)),
		p.attach(usageProgEgress, egressOf(cgroupRoot))); err != nil {
		log.Warn("network traffic is not measured", "err", err)
	} else {
		p.network = true
	}
	p.spec, p.cache = nil, nil // the kernel's types take megabytes
	return p, nil
}

func (p *programs) makeMaps() error {
	p.spec.Maps[mapLevels].Flags |= unix.BPF_F_MMAPABLE // as cilium/ebpf has all data sections
	for name, m := range p.maps() {
		made, err := ebpf.NewMap(p.spec.Maps[name])
		if err != nil {
			return fmt.Errorf("make map %s: %w", name, err)
		}
		*m = made
	}
	if err := p.usages.Put(uint64(0), make([]usage, ebpf.MustPossibleCPU())); err != nil {
		return fmt.Errorf("make the entry of what belongs to no container: %w", err)
	}
	return nil
}

// maps that all programs share, by name.
func (p *programs) maps() map[string]**ebpf.Map {
	return map[string]**ebpf.Map{
		usageMapUsages: &p.usages, usageMapSlots: &p.slots, usageMapWaits: &p.waits, mapLevels: &p.levels,
	}
}

// program loads one program, bound to the maps that all share.
func (p *programs) program(name string) (*ebpf.Program, error) {
	if name == p.refused {
		return nil, fmt.Errorf("load program %s: %w", name, unix.EPERM)
	}
	one := p.spec.Copy()
	for other := range one.Programs {
		if other != name {
			delete(one.Programs, other)
		}
	}
	shared := map[string]*ebpf.Map{}
	for name, m := range p.maps() {
		shared[name] = *m
	}
	c, err := ebpf.NewCollectionWithOptions(one, ebpf.CollectionOptions{Cache: p.cache, MapReplacements: shared})
	if err != nil {
		return nil, fmt.Errorf("load program %s: %w", name, err)
	}
	defer c.Close()
	return c.DetachProgram(name), nil
}

func (p *programs) attach(name string, to func(*ebpf.Program) (link.Link, error)) error {
	prog, err := p.program(name)
	if err != nil {
		return err
	}
	defer prog.Close() // the link holds it
	l, err := to(prog)
	if err != nil {
		return fmt.Errorf("attach program %s: %w", name, err)
	}
	p.links = append(p.links, l)
	return nil
}

func tracing(prog *ebpf.Program) (link.Link, error) {
	return link.AttachTracing(link.TracingOptions{Program: prog})
}

func ingressOf(cgroup string) func(*ebpf.Program) (link.Link, error) {
	return func(prog *ebpf.Program) (link.Link, error) {
		return link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: ebpf.AttachCGroupInetIngress, Program: prog})
	}
}

func egressOf(cgroup string) func(*ebpf.Program) (link.Link, error) {
	return func(prog *ebpf.Program) (link.Link, error) {
		return link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: ebpf.AttachCGroupInetEgress, Program: prog})
	}
}

func (p *programs) close() error {
	var errs []error
	for _, l := range p.links {
		errs = append(errs, l.Close())
	}
	for _, prog := range []*ebpf.Program{p.flush, p.level} {
		errs = append(errs, prog.Close())
	}
	for _, m := range p.maps() {
		errs = append(errs, (*m).Close())
	}
	return errors.Join(errs...)
}

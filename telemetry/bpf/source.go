package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cilium/ebpf"

	"muster/telemetry"
	"muster/telemetry/cgroup"
)

// filesBudget bounds what one Read spends on cgroup files: a hundredth of a CPU
// at one reading per second. Who was read longest ago comes first.
const filesBudget = 10 * time.Millisecond

// insertTries bounds how long, in milliseconds, Add waits for kernel memory.
const insertTries = 100

// Source measures containers with eBPF programs. Safe for concurrent use.
type Source struct {
	log  *slog.Logger
	tree hierarchy

	mu      sync.Mutex // one change or reading at a time; the kernel answers at once
	p       *programs
	reader  *reader
	all     map[string]*container
	byKey   map[uint64]*container
	levels  levels
	crowded bool // a container found no room: said once
}

type container struct {
	id    string
	key   uint64 // inode of its cgroup2 directory
	level int
	group *cgroup.Group
	spent time.Duration // CPU time before it was added

	counted bool             // it has counters of its own; else files tell all
	files   telemetry.Sample // latest figures from files
	readAt  time.Time        // of files
	gone    bool
}

// Open loads the programs, which takes root or CAP_BPF, CAP_PERFMON and
// CAP_NET_ADMIN, and a kernel with BTF. A caller that gets an error can still
// measure with telemetry/cgroup. log may be nil.
func Open(log *slog.Logger) (*Source, error) { return open(log, options{}) }

// options are for tests: what a kernel may refuse.
type options struct {
	containers uint32 // room for so many, if not 0
	refused    string // program that cannot be loaded
}

func open(log *slog.Logger, o options) (*Source, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	tree, err := findHierarchy()
	if err != nil {
		return nil, err
	}
	p, err := load(tree.mount, o, log)
	if err != nil {
		return nil, err
	}
	s := &Source{log: log, tree: tree, p: p, all: map[string]*container{}, byKey: map[uint64]*container{}, levels: levels{}}
	if s.reader, err = newReader(p); err == nil {
		err = s.tree.locate(p.level)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return s, nil
}

// Name is "ebpf".
func (*Source) Name() string { return "ebpf" }

// Close takes the programs out of the kernel.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.p.close()
}

// Add starts counting for c. CPU time that its cgroup already has is added to
// what is counted from now on, so that it is complete also after a restart.
func (s *Source) Add(c telemetry.Container) error {
	group, err := cgroup.Open(c)
	if err != nil {
		return fmt.Errorf("measure %s: %w", c.ID, err)
	}
	n, err := s.identify(group)
	if err != nil {
		return fmt.Errorf("measure %s: %w", c.ID, err)
	}
	n.id = c.ID
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(c.ID)
	if s.byKey[n.key] != nil {
		return fmt.Errorf("measure %s: its cgroup is that of %s", n.id, s.byKey[n.key].id)
	}
	err = s.insert(n)
	if errors.Is(err, syscall.E2BIG) || errors.Is(err, ErrLevels) {
		// What it does counts as what belongs to no container.
		if !s.crowded {
			s.log.Warn("some containers are measured from their cgroup files: there is no room to count more", "container_id", n.id, "err", err)
		}
		s.crowded = true
		s.readFiles(n)
		s.all[n.id] = n
		return nil
	}
	if err != nil {
		return fmt.Errorf("measure %s: %w", n.id, err)
	}
	n.counted = true
	s.all[n.id], s.byKey[n.key] = n, n
	return nil
}

func (s *Source) identify(group *cgroup.Group) (*container, error) {
	dir := group.Unified()
	if dir == "" {
		return nil, errors.New("no cgroup2 directory")
	}
	st, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, telemetry.ErrVanished
	}
	if err != nil {
		return nil, err
	}
	level, err := s.tree.level(dir)
	if err != nil {
		return nil, err
	}
	return &container{key: st.Sys().(*syscall.Stat_t).Ino, level: level, group: group}, nil
}

// insert gives n counters of its own, and finds out what CPU time it had before.
func (s *Source) insert(n *container) error {
	s.levels[n.level]++
	if err := s.publishLevels(); err != nil {
		s.levels.remove(n.level)
		return err
	}
	if err := s.insertCounters(n.key); err != nil {
		s.levels.remove(n.level)
		return err
	}
	if err := s.findSpent(n); err != nil {
		s.drop(n)
		return err
	}
	s.readFiles(n)
	return nil
}

// findSpent compares what the kernel accounts with what was counted at the same
// moment. The container may be running and so may others that keep us from it:
// of some attempts the one counts during which least was used.
func (s *Source) findSpent(n *container) error {
	least := time.Duration(math.MaxInt64)
	for range 5 {
		before := n.group.CPU()
		if err := s.reader.flush(); err != nil {
			return err
		}
		counted, err := s.reader.one(n.key)
		if err != nil {
			return err
		}
		used := n.group.CPU() - before
		if used < least {
			least, n.spent = used, max(0, before+used/2-time.Duration(counted.CPU))
		}
		if used == 0 {
			return nil
		}
	}
	return nil
}

// insertCounters retries for want of memory: the kernel takes it from a small
// pool that it refills in the background, which many containers started at once
// can outrun.
func (s *Source) insertCounters(key uint64) error {
	zero := make([]usage, s.reader.cpus)
	for tries := 0; ; tries++ {
		err := s.p.usages.Update(key, zero, ebpf.UpdateNoExist)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.ENOMEM) || tries == insertTries {
			return fmt.Errorf("insert counters: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *Source) publishLevels() error {
	list, err := s.levels.deepestFirst()
	if err != nil {
		return err
	}
	if err := s.p.levels.Put(uint32(0), list); err != nil {
		return fmt.Errorf("tell the programs where containers are: %w", err)
	}
	return nil
}

// Remove stops counting.
func (s *Source) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(id)
}

func (s *Source) remove(id string) {
	n := s.all[id]
	if n == nil {
		return
	}
	delete(s.all, id)
	if n.counted {
		delete(s.byKey, n.key)
		s.drop(n)
	}
}

// drop takes n's counters from the programs.
func (s *Source) drop(n *container) {
	if err := s.p.usages.Delete(n.key); err != nil {
		s.log.Warn("counters of a removed container remain", "container_id", n.id, "err", err)
	}
	s.levels.remove(n.level)
	if err := s.publishLevels(); err != nil {
		s.log.Warn("programs look for containers in vain", "err", err)
	}
}

// Read samples every container whose cgroup exists. Counters are of now; the
// figures from files may be older if there are very many containers.
func (s *Source) Read() (map[string]telemetry.Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	if err := s.reader.flush(); err != nil {
		return nil, err
	}
	at := time.Now()
	samples := make(map[string]telemetry.Sample, len(s.all))
	err := s.reader.each(func(key uint64, u *usage) {
		if n := s.byKey[key]; n != nil && !n.gone {
			samples[n.id] = s.sample(n, u, at)
		}
	})
	if err != nil {
		return nil, err
	}
	if s.crowded {
		for id, n := range s.all {
			if !n.counted && !n.gone {
				samples[id] = n.files
			}
		}
	}
	return samples, nil
}

// Pulse reads only what the programs count, of some containers.
func (s *Source) Pulse(ids []string) (map[string]telemetry.Pulse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.reader.flush(); err != nil {
		return nil, err
	}
	at := time.Now()
	wanted := make(map[uint64]*container, len(ids))
	pulses := make(map[string]telemetry.Pulse, len(ids))
	for _, id := range ids {
		switch n := s.all[id]; {
		case n == nil:
		case n.counted:
			wanted[n.key] = n
		default:
			s.readFiles(n)
			if !n.gone {
				pulses[id] = telemetry.Pulse{At: n.readAt, CPU: n.files.CPU}
			}
		}
	}
	err := s.reader.each(func(key uint64, u *usage) {
		if n := wanted[key]; n != nil {
			pulses[n.id] = telemetry.Pulse{At: at, CPU: n.spent + time.Duration(u.CPU), Preempted: time.Duration(u.Preempted)}
		}
	})
	return pulses, err
}

// ReadOne samples one container; if its cgroup has vanished, with the last
// figures that its files gave.
func (s *Source) ReadOne(id string) (telemetry.Sample, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.all[id]
	if n == nil {
		return telemetry.Sample{}, false
	}
	if !n.counted {
		s.readFiles(n)
		return n.files, true
	}
	if err := s.reader.flush(); err != nil {
		return telemetry.Sample{}, false
	}
	counted, err := s.reader.one(n.key)
	if err != nil {
		return telemetry.Sample{}, false
	}
	at := time.Now()
	s.readFiles(n)
	return s.sample(n, &counted, at), true
}

// Other is what all tasks used together that belong to no container of ours,
// since Open. Kernel threads are left out.
func (s *Source) Other() (telemetry.Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.reader.flush(); err != nil {
		return telemetry.Sample{}, err
	}
	counted, err := s.reader.one(0)
	if err != nil {
		return telemetry.Sample{}, err
	}
	return s.sample(&container{}, &counted, time.Now()), nil
}

// refresh reads files, of those first that were read longest ago.
func (s *Source) refresh() {
	queue := slices.SortedFunc(maps.Values(s.all), func(a, b *container) int { return a.readAt.Compare(b.readAt) })
	began := time.Now()
	for _, n := range queue {
		if n.gone {
			continue
		}
		s.readFiles(n)
		if n.readAt.Sub(began) > filesBudget {
			return
		}
	}
}

func (s *Source) readFiles(n *container) {
	fresh := telemetry.Sample{At: time.Now()}
	if err := n.group.Read(&fresh); err != nil {
		n.gone = true
	} else {
		n.files = fresh
	}
	n.readAt = time.Now()
}

// sample joins what was counted with what the files told.
func (s *Source) sample(n *container, u *usage, at time.Time) telemetry.Sample {
	out := n.files
	out.At = at
	out.CPU = n.spent + time.Duration(u.CPU)
	out.CPUUser, out.CPUSys = split(out.CPU, n.files.CPUUser, n.files.CPUSys)
	out.RunQueue, out.Preempted = time.Duration(u.RunDelay), time.Duration(u.Preempted)
	out.Delays = u.Delays
	out.Switches = u.Switches
	out.MinorFlt, out.MajorFlt = u.MinFlt, u.MajFlt
	out.ReadBytes, out.WriteBytes = u.ReadBytes, u.WriteBytes
	out.RxBytes, out.TxBytes = u.RxBytes, u.TxBytes
	out.RxPackets, out.TxPackets = u.RxPackets, u.TxPackets
	out.OOMKills = max(u.OOMKills, n.files.OOMKills)
	return out
}

// split divides CPU time as the kernel's last division into user and system.
func split(cpu, user, sys time.Duration) (time.Duration, time.Duration) {
	if user+sys <= 0 {
		return 0, 0
	}
	u := time.Duration(float64(cpu) * (float64(user) / float64(user+sys)))
	return u, cpu - u
}

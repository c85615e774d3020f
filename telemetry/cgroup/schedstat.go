package cgroup

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// threads adds up what the kernel keeps per thread only: run-queue delay and
// times on a CPU. What a thread did after the reading before its end is lost.
type threads struct {
	group *Group

	mu       sync.Mutex // one update at a time
	seen     map[string]schedstat
	waited   time.Duration
	switches uint64
	others   time.Duration
}

type schedstat struct {
	waited   time.Duration
	switches uint64
}

func (t *threads) update() (waited time.Duration, switches uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := map[string]schedstat{}
	for _, tid := range t.group.tids() {
		st, ok := readSchedstat(tid)
		if !ok {
			continue
		}
		before := t.seen[tid]
		if st.waited < before.waited || st.switches < before.switches {
			before = schedstat{} // the thread ID was used again
		}
		t.waited += st.waited - before.waited
		t.switches += st.switches - before.switches
		now[tid] = st
	}
	t.seen = now
	return t.waited, t.switches
}

// forOthers is what of all waiting was for CPUs that others held, as far as files
// tell: what was not for the container's own quota. It waits for its own threads,
// too, which they do not tell. It never falls.
func (t *threads) forOthers(waited, throttled time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.others = max(t.others, waited-throttled)
	return t.others
}

// tids lists the container's threads, without those of nested cgroups.
func (g *Group) tids() []string {
	for _, at := range [][2]string{{g.unified, "cgroup.threads"}, {g.cpu, "tasks"}, {g.memory, "tasks"}} {
		if text := read(at[0], at[1]); text != "" {
			return strings.Fields(text)
		}
	}
	return nil
}

// readSchedstat reads "time on a CPU, time waiting, times on a CPU", in ns.
func readSchedstat(tid string) (schedstat, bool) {
	f := strings.Fields(read("/proc/"+tid, "schedstat"))
	if len(f) != 3 {
		return schedstat{}, false
	}
	waited, err1 := strconv.ParseUint(f[1], 10, 63)
	switches, err2 := strconv.ParseUint(f[2], 10, 64)
	return schedstat{time.Duration(waited), switches}, err1 == nil && err2 == nil
}

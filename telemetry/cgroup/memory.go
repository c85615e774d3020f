package cgroup

import "muster/telemetry"

// The working set is what could not be freed at once: usage without the file
// cache that was not used lately.

func (g *Group) readMemory2(s *telemetry.Sample) {
	total, ok := number(g.memory, "memory.current")
	if !ok {
		return
	}
	kv := keyed(g.memory, "memory.stat")
	s.MemTotal, s.MemRSS, s.MemCache = total, kv["anon"], kv["file"]
	s.MemWorkingSet = less(total, kv["inactive_file"])
	s.MemSwap, _ = number(g.memory, "memory.swap.current")
	s.MemLimit, _ = number(g.memory, "memory.max") // "max" reads as 0: no limit
	s.MajorFlt, s.MinorFlt = kv["pgmajfault"], less(kv["pgfault"], kv["pgmajfault"])
	s.OOMKills = keyed(g.memory, "memory.events")["oom_kill"]
}

func (g *Group) readMemory1(s *telemetry.Sample) {
	total, ok := number(g.memory, "memory.usage_in_bytes")
	if !ok {
		return
	}
	kv := keyed(g.memory, "memory.stat")
	s.MemTotal, s.MemRSS, s.MemCache = total, kv["total_rss"], kv["total_cache"]
	s.MemWorkingSet = less(total, kv["total_inactive_file"])
	s.MemSwap = kv["total_swap"]
	if limit, ok := number(g.memory, "memory.limit_in_bytes"); ok && limit < unlimited1 {
		s.MemLimit = limit
	}
	s.MajorFlt, s.MinorFlt = kv["total_pgmajfault"], less(kv["total_pgfault"], kv["total_pgmajfault"])
	s.OOMKills = keyed(g.memory, "memory.oom_control")["oom_kill"]
}

// unlimited1 is below what v1 shows for no limit: the largest multiple of the
// page size, whatever that is.
const unlimited1 = 1 << 62

func less(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}

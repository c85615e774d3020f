package qos

import "time"

// relief is how far below the mark memory must fall before it counts as low
// again, as a share of the machine's.
const relief = .05

// memory tells from looks whether too much of it is in use.
type memory struct {
	cfg     Config
	count   int  // looks above the mark in a row
	high    bool // above it for some time, and not yet clearly below
	evicted time.Duration
	acted   bool
}

// look returns by how many bytes the mark is passed, for some looks in a row,
// and whether there is no time to lose.
func (m *memory) look(l *Look) (excess uint64, critical bool) {
	if l.MemTotal == 0 {
		return 0, false
	}
	used := float64(l.MemUsed) / float64(l.MemTotal)
	switch {
	case used > m.cfg.MemoryHigh:
		m.count++
	case used < m.cfg.MemoryHigh-relief:
		m.count, m.high = 0, false
	default:
		m.count = 0
	}
	if m.count < m.cfg.Bad {
		return 0, false
	}
	m.high = true
	return l.MemUsed - uint64(m.cfg.MemoryHigh*float64(l.MemTotal)), used > (1+m.cfg.MemoryHigh)/2
}

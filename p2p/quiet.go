package p2p

import (
	"sync"
	"time"
)

// quiet lets a repeated message through once a minute for each peer, and keeps
// a bounded number of peers.
type quiet struct {
	mu   sync.Mutex
	last map[PeerID]time.Time
}

func (q *quiet) loud(p PeerID, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if last, ok := q.last[p]; ok && now.Sub(last) < strangerQuiet {
		return false
	}
	if q.last == nil {
		q.last = map[PeerID]time.Time{}
	}
	if len(q.last) >= maxStrangers {
		for old := range q.last {
			delete(q.last, old)
			break
		}
	}
	q.last[p] = now
	return true
}

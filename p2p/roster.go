package p2p

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxStrangers  = 1024             // refused peers remembered at a time
	strangerQuiet = time.Minute      // a refused peer is logged once in this time
	refusalHolds  = 2 * time.Second  // a refusal is not asked for again in this time
	maxMembers    = 1 << 16          // certificates kept
	greetTimeout  = 3 * time.Second  // of one exchange of certificates
	strangerStays = 30 * time.Second // a connection without certificate is closed after this
)

// roster remembers whose certificates were verified and who was refused.
type roster struct {
	mu        sync.Mutex
	members   map[peer.ID]*Certificate
	greeted   map[peer.ID]string    // the connection on which both sides know each other
	greeting  map[peer.ID]*greeting // under way
	strangers map[peer.ID]stranger
	removed   map[PeerID]bool
}

type greeting struct {
	done chan struct{}
	err  error // set before done is closed
}

type stranger struct {
	err   error
	since time.Time
}

func newRoster() *roster {
	return &roster{
		members: map[peer.ID]*Certificate{}, greeted: map[peer.ID]string{},
		greeting: map[peer.ID]*greeting{}, strangers: map[peer.ID]stranger{}, removed: map[PeerID]bool{},
	}
}

// member says whether the peer's certificate is known and holds now.
func (r *roster) member(p peer.ID, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.valid(p, now)
}

func (r *roster) valid(p peer.ID, now time.Time) bool {
	c := r.members[p]
	return c != nil && !r.removed[c.Peer] && c.check(c.Peer, now) == nil
}

func (r *roster) met(p peer.ID, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.greeted[p] != "" && r.valid(p, now)
}

// admit notes a verified certificate.
func (r *roster) admit(p peer.ID, c *Certificate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.members) >= maxMembers {
		for old := range r.members {
			if r.greeted[old] == "" {
				delete(r.members, old)
				break
			}
		}
	}
	r.members[p] = c
	delete(r.strangers, p)
}

// shake notes that both sides know each other; it says whether that is news.
func (r *roster) shake(p peer.ID, conn string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	news := r.greeted[p] == ""
	if news {
		r.greeted[p] = conn
	}
	return news
}

// part forgets the greeting if it was made on the connection that ended.
func (r *roster) part(p peer.ID, conn string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.greeted[p] != conn {
		return false
	}
	delete(r.greeted, p)
	return true
}

// greetedOn is the connection of the greeting that stands, "" if none does.
func (r *roster) greetedOn(p peer.ID) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.greeted[p]
}

// refuse notes a refused peer.
func (r *roster) refuse(p peer.ID, err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.strangers) >= maxStrangers {
		for old := range r.strangers {
			delete(r.strangers, old)
			break
		}
	}
	r.strangers[p] = stranger{err: err, since: now}
}

// refusedLately gives the refusal that still holds, so that a peer that comes
// again and again costs nothing.
func (r *roster) refusedLately(p peer.ID, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.strangers[p]; ok && now.Sub(s.since) < refusalHolds {
		return s.err
	}
	return nil
}

// remove replaces the set of removed members and gives those that are new in it.
func (r *roster) remove(all []PeerID) (fresh []PeerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[PeerID]bool, len(all))
	for _, p := range all {
		next[p] = true
		if !r.removed[p] {
			fresh = append(fresh, p)
		}
	}
	r.removed = next
	return fresh
}

func (r *roster) isRemoved(p PeerID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removed[p]
}

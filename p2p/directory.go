package p2p

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	recordEvery      = 30 * time.Second // a node's record is announced again this often
	leadershipEvery  = 2 * time.Second  // the leader's announcement
	forgetAfter      = time.Hour        // a node that has said nothing for this long is forgotten
	takeoverGrace    = 3 * leadershipEvery
	recordsPerSecond = 10          // at most, over all nodes: with more than 300 nodes each announces more rarely
	linger           = time.Second // a peer whose connection broke counts as alive this much longer, if it can be dialled
	maxNodes         = 1 << 14
)

var (
	errStale    = errors.New("known already, or older than what is known")
	errTakeover = errors.New("not a voter of the leadership that is known, whose leader is alive")
)

// Node is what this node knows of one member.
type Node struct {
	Peer PeerID
	NodeRecord
	Addresses []string // multiaddrs
	LastSeen  time.Time
	Alive     bool // it answers this node; of a node that is not connected: it has lately been heard of
}

// Directory is who is there and who leads, as far as this node knows. Its
// methods may be called by anyone.
type Directory struct {
	self    PeerID
	alive   time.Duration // how long one sign of life holds
	mu      sync.Mutex
	entries map[PeerID]*entry
	leading *announcement // the latest leadership
	led     uint64        // the sequence that brought it as it is
	heard   time.Time     // when it came
	changed chan struct{}
	checked time.Time // the last time expire ran
	overlay bool      // there are more nodes than this one connects to
}

type entry struct {
	record    *announcement // nil: connected, but its record has not come yet
	since     uint64        // the sequence that brought the record as it is
	connected bool
	until     time.Time // answers this node until then
	heard     time.Time // when its record came, or was made if that is not known; zero: it is gone
	seen      time.Time
	isAlive   bool // as was last told
}

func newDirectory(self PeerID, alive time.Duration) *Directory {
	return &Directory{self: self, alive: alive, entries: map[PeerID]*entry{}, changed: make(chan struct{})}
}

// Changed is closed at the next change of leadership, of a record or of who is
// alive. Take it first, look then, and wait last.
func (d *Directory) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// Leadership is the latest that is known; false as long as none is.
func (d *Directory) Leadership() (Leadership, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leading == nil {
		return Leadership{}, false
	}
	return d.leading.Leadership.clone(), true
}

// Nodes lists the members whose records are known, this one too, by name.
func (d *Directory) Nodes() []Node {
	d.mu.Lock()
	defer d.mu.Unlock()
	nodes := make([]Node, 0, len(d.entries))
	for p, e := range d.entries {
		if e.record != nil {
			nodes = append(nodes, d.node(p, e))
		}
	}
	slices.SortFunc(nodes, func(a, b Node) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Peer, b.Peer))
	})
	return nodes
}

// Node is one member; false if its record is not known.
func (d *Directory) Node(p PeerID) (Node, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[p]
	if e == nil || e.record == nil {
		return Node{}, false
	}
	return d.node(p, e), true
}

// node is called with the lock held.
func (d *Directory) node(p PeerID, e *entry) Node {
	n := Node{Peer: p, NodeRecord: *e.record.Record, LastSeen: e.seen, Alive: e.isAlive}
	n.Labels = maps.Clone(n.Labels)
	n.Addresses = slices.Clone(e.record.Addresses)
	if p == d.self {
		n.Alive, n.LastSeen = true, time.Now()
	}
	return n
}

// tell wakes those who wait for a change. Called with the lock held.
func (d *Directory) tell() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// apply takes a verified announcement. It says whether that told anything new;
// the error says why it was not even a newer word for what is known.
// gossiped: it came as fresh gossip, not in an exchange of what is known.
func (d *Directory) apply(a *announcement, gossiped bool, now time.Time) (news bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a.Leadership != nil {
		return d.applyLeadership(a, now)
	}
	return d.applyRecord(a, gossiped, now)
}

func (d *Directory) applyRecord(a *announcement, gossiped bool, now time.Time) (bool, error) {
	if now.Sub(a.issued()) > forgetAfter {
		return false, fmt.Errorf("record of %s: %w", a.Peer.short(), errStale)
	}
	e := d.entries[a.Peer]
	if e == nil {
		if len(d.entries) >= maxNodes {
			return false, fmt.Errorf("record of %s: more than %d nodes", a.Peer.short(), maxNodes)
		}
		e = new(entry)
		d.entries[a.Peer] = e
	}
	if e.record != nil && e.record.Sequence >= a.Sequence {
		return false, fmt.Errorf("record of %s: %w", a.Peer.short(), errStale)
	}
	news := e.record == nil || !sameRecord(e.record, a)
	if e.record = a; news {
		e.since = a.Sequence
	}
	heard := a.issued()
	if gossiped || heard.After(now) {
		heard = now
	}
	if heard.After(e.seen) {
		e.seen = heard
	}
	e.heard = heard
	if d.judge(e, now) || news {
		d.tell()
	}
	return news, nil
}

// recordEvery is how often a node announces its record again: the more nodes,
// the rarer, so that all records together stay at ten a second. Called with the
// lock held.
func (d *Directory) recordEvery() time.Duration {
	return max(recordEvery, time.Duration(len(d.entries))*time.Second/recordsPerSecond)
}

func sameRecord(a, b *announcement) bool {
	x, y := a.Record, b.Record
	return x.Name == y.Name && x.API == y.API && x.AgentAPI == y.AgentAPI && x.Version == y.Version &&
		x.Started.Equal(y.Started) && maps.Equal(x.Labels, y.Labels) && slices.Equal(a.Addresses, b.Addresses)
}

// applyLeadership: the newer term wins, and within a term its leader's newer
// word. A member that was no voter cannot depose a leader that is alive: a new
// leader comes out of the voters that everyone knows, or the old one is gone.
func (d *Directory) applyLeadership(a *announcement, now time.Time) (bool, error) {
	l, known := a.Leadership, d.leading
	if known == nil {
		return d.lead(a, now)
	}
	k := known.Leadership
	switch {
	case l.Term < k.Term, l.Term == k.Term && (l.Leader != k.Leader || a.Sequence <= known.Sequence):
		return false, fmt.Errorf("leadership of %s in term %d: %w", l.Leader.short(), l.Term, errStale)
	case l.Term > k.Term && a.Peer != d.self && !slices.Contains(k.Voters, l.Leader) &&
		d.aliveNow(k.Leader, now) && now.Sub(d.heard) < takeoverGrace:
		return false, fmt.Errorf("leadership of %s in term %d: %w", l.Leader.short(), l.Term, errTakeover)
	}
	return d.lead(a, now)
}

func (d *Directory) lead(a *announcement, now time.Time) (bool, error) {
	news := d.leading == nil || !d.leading.Leadership.equal(*a.Leadership)
	d.leading, d.heard = a, now
	for _, p := range a.Leadership.Removed {
		if p != d.self && d.entries[p] != nil {
			delete(d.entries, p)
		}
	}
	if news {
		d.led = a.Sequence
		d.tell()
	}
	return news, nil
}

func (d *Directory) aliveNow(p PeerID, now time.Time) bool {
	e := d.entries[p]
	return p == d.self || e != nil && d.judged(e, now)
}

// snapshot is all announcements, for a peer that asks: the leadership first.
func (d *Directory) snapshot() [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([][]byte, 0, len(d.entries)+1)
	if d.leading != nil {
		all = append(all, d.leading.raw)
	}
	for _, e := range d.entries {
		if e.record != nil {
			all = append(all, e.record.raw)
		}
	}
	return all
}

// version is how new a directory is in what matters most: numbers of the
// announcements that changed it, not of those that repeated it.
type version struct {
	term   uint64 // of the leadership
	led    uint64 // sequence that brought the leadership as it is
	record uint64 // sequence that brought the node's own record as it is
}

func (d *Directory) version() version {
	d.mu.Lock()
	defer d.mu.Unlock()
	var v version
	if d.leading != nil {
		v.term, v.led = d.leading.Leadership.Term, d.led
	}
	if e := d.entries[d.self]; e != nil {
		v.record = e.since
	}
	return v
}

// misses says whether a peer of this version has something to tell.
func (d *Directory) misses(p PeerID, theirs version) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.entries[p]; theirs.record > 0 && (e == nil || e.record == nil || e.record.Sequence < theirs.record) {
		return true
	}
	if d.leading == nil {
		return theirs.term > 0
	}
	term := d.leading.Leadership.Term
	return theirs.term > term || theirs.term == term && theirs.led > d.leading.Sequence
}

// addresses of every member that is known, for dialling.
func (d *Directory) addresses() map[PeerID][]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[PeerID][]string, len(d.entries))
	for p, e := range d.entries {
		if p != d.self && e.record != nil {
			all[p] = e.record.Addresses
		}
	}
	return all
}

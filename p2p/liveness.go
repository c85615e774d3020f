package p2p

import (
	"time"
)

// The half of the Directory that judges who is alive.

// judge updates what is told of an entry; it says whether that changed. Called
// with the lock held.
func (d *Directory) judge(e *entry, now time.Time) bool {
	alive := d.judged(e, now)
	changed := alive != e.isAlive
	e.isAlive = alive
	return changed && e.record != nil
}

// judged: a node that answers is alive; in an overlay, where most nodes are not
// connected, so is one that has lately been heard of.
func (d *Directory) judged(e *entry, now time.Time) bool {
	return e.until.After(now) || d.overlay && !e.connected && e.heard.Add(5*d.recordEvery()/2).After(now)
}

func (d *Directory) entryOf(p PeerID) *entry {
	e := d.entries[p]
	if e == nil {
		e = new(entry)
		d.entries[p] = e
	}
	return e
}

// contact notes a sign of life that holds for a time.
func (d *Directory) contact(p PeerID, holds time.Duration, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entryOf(p)
	if e.seen = now; e.until.Before(now.Add(holds)) {
		e.until = now.Add(holds)
	}
	if d.judge(e, now) {
		d.tell()
	}
}

// connected notes that a member is connected.
func (d *Directory) connected(p PeerID, now time.Time) {
	d.mu.Lock()
	d.entryOf(p).connected = true
	d.mu.Unlock()
	d.contact(p, d.alive, now)
}

// disconnected: the peer may be dialled again in a moment, so it is not dead yet.
func (d *Directory) disconnected(p PeerID, now time.Time) {
	d.end(p, now.Add(linger), now)
}

// unreachable: it is not connected and could not be dialled.
func (d *Directory) unreachable(p PeerID, now time.Time) {
	d.end(p, now, now)
}

func (d *Directory) end(p PeerID, until, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[p]
	if e == nil {
		return
	}
	e.connected = false
	if e.record == nil {
		delete(d.entries, p)
		return
	}
	e.heard = time.Time{}
	if e.until.After(until) {
		e.until = until
	}
	if d.judge(e, now) {
		d.tell()
	}
}

// doubtful are some nodes that spoke lately but do not answer: in an overlay a
// connection that broke says little, so they are dialled to find out.
func (d *Directory) doubtful(now time.Time) (some []PeerID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.overlay {
		return nil
	}
	for p, e := range d.entries {
		if len(some) == dialsAtOnce {
			break
		}
		if p != d.self && e.record != nil && !e.isAlive && now.Sub(e.record.issued()) < 5*d.recordEvery()/2 {
			some = append(some, p)
		}
	}
	return some
}

// setOverlay says whether nodes are judged by gossip where there is no connection.
func (d *Directory) setOverlay(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.overlay = on
}

// expire judges everyone anew. It gives the connected peers that have been
// silent for long, and when to call it next. If it is called much later than it
// asked to be, this process itself stood still (SIGSTOP, a suspended machine):
// that time counts against nobody.
func (d *Directory) expire(now time.Time) (silent []PeerID, next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next = now.Add(maxPause)
	lost := time.Duration(0)
	if !d.checked.IsZero() && now.Sub(d.checked) > 2*maxPause {
		lost = now.Sub(d.checked)
	}
	d.checked = now
	changed := false
	for p, e := range d.entries {
		if p == d.self {
			continue
		}
		if lost > 0 && e.isAlive {
			e.until = e.until.Add(lost)
		}
		changed = d.judge(e, now) || changed
		switch {
		case e.isAlive && e.until.After(now) && e.until.Before(next):
			next = e.until
		case e.connected && now.Sub(e.until) > d.alive:
			silent = append(silent, p)
		case !e.connected && !e.isAlive && e.record != nil && now.Sub(e.record.issued()) > forgetAfter:
			delete(d.entries, p)
			changed = true
		}
	}
	if changed {
		d.tell()
	}
	if earliest := now.Add(minPause); next.Before(earliest) {
		next = earliest
	}
	return silent, next
}

const (
	minPause = 50 * time.Millisecond // between two judgements
	maxPause = time.Second
)

package allocator

import (
	"cmp"
	"slices"
	"sort"

	"muster/offers/resource"
)

// item is what competes with its siblings for a fair share: a framework within
// a role, a role within the role above.
type item struct {
	name      string
	allocated resource.Quantities
	count     uint64  // allocations ever made
	weight    float64 // by which its share is divided

	in      *order // where it competes, nil while it wants nothing
	key     key    // its place there
	pending bool   // the key is out of date

	client *client // what it stands for: this, or
	role   *role   // the subtree of this, or, if self,
	self   bool    // the frameworks of the role itself
}

// key is the order of fairness: the smaller share first, then whoever was
// chosen less often, then by name. Ranks part it, so that those of one can be
// found at once.
// Mesos: src/master/allocator/mesos/sorter/drf/sorter.hpp, compareDRF.
type key struct {
	rank  rank
	share float64
	count uint64
}

type rank int8

const (
	owed     rank = iota - 1 // something is kept for it
	ordinary                 // the only one where there are no quotas
	barred                   // its limit leaves too little to offer
	ranks    = 3
)

type entry struct {
	key
	item *item
}

func (e entry) compare(o entry) int {
	if e.rank != o.rank {
		return cmp.Compare(e.rank, o.rank)
	}
	return e.compareFairness(o)
}

func (e entry) compareFairness(o entry) int {
	switch {
	case e.share != o.share:
		return cmp.Compare(e.share, o.share)
	case e.count != o.count:
		return cmp.Compare(e.count, o.count)
	}
	return cmp.Compare(e.item.name, o.item.name)
}

// order keeps items sorted: in blocks, so that one that moves moves little
// else. Changes wait until refresh: who walks the order is not disturbed by the
// allocations he makes, as Mesos walks a copy.
type order struct {
	blocks  [][]entry
	n       int
	spare   []entry // an empty block, kept
	pending []*item
	version uint64 // of the total that the shares were computed with
}

const maxBlock = 128

func (o *order) insert(it *item) {
	it.in = o
	o.place(it)
	it.touch()
}

func (o *order) remove(it *item) {
	o.take(it)
	it.in = nil
	if it.pending {
		it.pending = false
		o.pending = slices.DeleteFunc(o.pending, func(p *item) bool { return p == it })
	}
}

// touch notes that what the key is made of has changed.
func (it *item) touch() {
	if it.in != nil && !it.pending {
		it.pending = true
		it.in.pending = append(it.in.pending, it)
	}
}

// refresh puts every item where it belongs.
func (o *order) refresh(a *Allocator) {
	if o.version != a.version || len(o.pending) > 16 && len(o.pending)*4 > o.n {
		o.rebuild(a)
		return
	}
	for _, it := range o.pending {
		it.pending = false
		o.move(it, it.fairness(a))
	}
	o.pending = o.pending[:0]
}

// move gives the item another key.
func (o *order) move(it *item, to key) {
	if o.n == 1 {
		it.key = to
		o.blocks[0][0].key = to
		return
	}
	o.take(it)
	it.key = to
	o.place(it)
}

func (it *item) fairness(a *Allocator) key {
	k := key{share: it.allocated.DominantShare(&a.shares) / it.weight, count: it.count}
	if it.role != nil && !it.self {
		k.rank = a.rank(it.role)
	}
	return k
}

func (o *order) rebuild(a *Allocator) {
	o.pending, o.version = o.pending[:0], a.version
	if len(o.blocks) == 1 {
		renew(a, o.blocks[0])
		return
	}
	all := slices.Concat(o.blocks...)
	renew(a, all)
	clear(o.blocks)
	o.blocks = o.blocks[:0]
	for part := range slices.Chunk(all, maxBlock/2) {
		o.blocks = append(o.blocks, append(make([]entry, 0, maxBlock), part...))
	}
}

// renew gives the entries their keys and sorts them.
func renew(a *Allocator, entries []entry) {
	for i := range entries {
		it := entries[i].item
		it.key, it.pending = it.fairness(a), false
		entries[i].key = it.key
	}
	slices.SortFunc(entries, entry.compare)
}

// find returns the block and the position that e has or should have.
func (o *order) find(e entry) (int, int) {
	b := sort.Search(len(o.blocks), func(i int) bool {
		block := o.blocks[i]
		return block[len(block)-1].compare(e) >= 0
	})
	if b == len(o.blocks) {
		return b, 0
	}
	i, _ := slices.BinarySearchFunc(o.blocks[b], e, entry.compare)
	return b, i
}

func (o *order) place(it *item) {
	e := entry{it.key, it}
	b, i := o.find(e)
	if b == len(o.blocks) {
		if b == 0 {
			o.blocks = append(o.blocks, o.block(1)) // most roles have a single framework
		} else {
			b--
			i = len(o.blocks[b])
		}
	}
	o.blocks[b] = slices.Insert(o.blocks[b], i, e)
	o.n++
	if block := o.blocks[b]; len(block) == maxBlock {
		upper := append(o.block(maxBlock), block[maxBlock/2:]...)
		clear(block[maxBlock/2:])
		o.blocks[b] = block[:maxBlock/2]
		o.blocks = slices.Insert(o.blocks, b+1, upper)
	}
}

// block returns an empty one with space for n at the least, which grows.
func (o *order) block(n int) []entry {
	block := o.spare
	o.spare = nil
	if cap(block) < n {
		block = make([]entry, 0, n)
	}
	return block
}

// take removes the entry; the item is there.
func (o *order) take(it *item) {
	o.n--
	if first := o.blocks[0]; first[0].item == it && len(first) > 1 { // as whoever was just offered something
		first[0] = entry{}
		o.blocks[0] = first[1:]
		return
	}
	b, i := o.find(entry{it.key, it})
	o.blocks[b] = slices.Delete(o.blocks[b], i, i+1)
	if len(o.blocks[b]) == 0 {
		o.spare = o.blocks[b]
		o.blocks = slices.Delete(o.blocks, b, b+1)
	}
}

// upTo calls yield with the items of the ranks from first to last, the most
// entitled first. The order must be fresh and must not be inserted into or
// removed from meanwhile.
func (o *order) upTo(first, last rank, yield func(*item) bool) {
	if o.n == 0 {
		return
	}
	bottom := o.blocks[len(o.blocks)-1]
	if top := o.blocks[0][0].rank; top == bottom[len(bottom)-1].rank {
		if top >= first && top <= last {
			o.all(yield)
		}
		return
	}
	var heads [ranks]cursor
	for i := range heads {
		if r := owed + rank(i); r >= first && r <= last {
			heads[i] = o.cursor(r)
		}
	}
	for {
		next := -1
		for i := range heads {
			if e := heads[i].entry; e.item != nil && (next < 0 || e.compareFairness(heads[next].entry) < 0) {
				next = i
			}
		}
		if next < 0 || !yield(heads[next].entry.item) {
			return
		}
		heads[next].advance(o)
	}
}

// cursor goes through the items of one rank.
type cursor struct {
	rank        rank
	block, next int
	entry       entry // without item: at the end
}

func (o *order) cursor(r rank) cursor {
	c := cursor{rank: r}
	c.block, c.next = o.find(entry{key: key{rank: r, share: -1}})
	c.advance(o)
	return c
}

func (c *cursor) advance(o *order) {
	c.entry = entry{}
	if c.block < len(o.blocks) && c.next == len(o.blocks[c.block]) {
		c.block, c.next = c.block+1, 0
	}
	if c.block == len(o.blocks) {
		return
	}
	if e := o.blocks[c.block][c.next]; e.rank == c.rank {
		c.entry = e
		c.next++
	}
}

// all calls yield with the items in order.
func (o *order) all(yield func(*item) bool) {
	for _, block := range o.blocks {
		for i := range block {
			if !yield(block[i].item) {
				return
			}
		}
	}
}

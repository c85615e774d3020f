package api

import (
	"maps"
	"slices"
)

// offersKept is how many offers of one session are remembered at least.
const offersKept = 50_000

// outstanding is the set of offers that a session was sent and has not used, as far
// as its gateway knows. It forgets the oldest when it holds twice offersKept: those
// were used by calls that another gateway carried.
type outstanding struct{ young, old map[string]struct{} }

func (o *outstanding) add(id string) {
	if len(o.young) >= offersKept {
		o.young, o.old = nil, o.young
	}
	if o.young == nil {
		o.young = map[string]struct{}{}
	}
	o.young[id] = struct{}{}
}

func (o *outstanding) remove(id string) {
	delete(o.young, id)
	delete(o.old, id)
}

func (o *outstanding) all() []string {
	ids := slices.AppendSeq(slices.Collect(maps.Keys(o.old)), maps.Keys(o.young))
	slices.Sort(ids)
	return ids
}

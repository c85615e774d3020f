package registry

import (
	"maps"
	"slices"
)

// history remembers the last IDs added, oldest first.
type history struct {
	max   int
	order []string
	set   map[string]struct{}
}

func newHistory(max int) history { return history{max: max, set: map[string]struct{}{}} }

func (h *history) has(id string) bool {
	_, ok := h.set[id]
	return ok
}

func (h *history) add(id string) {
	if h.has(id) {
		return
	}
	h.set[id] = struct{}{}
	h.order = append(h.order, id)
	if len(h.order) > h.max {
		delete(h.set, h.order[0])
		h.order = h.order[1:]
	}
}

func (h *history) clone() history {
	return history{max: h.max, order: slices.Clone(h.order), set: maps.Clone(h.set)}
}

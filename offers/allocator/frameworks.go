package allocator

import (
	"slices"
	"time"

	"muster/offers/resource"
)

// framework is one that was added, or one that agents have named as a user of
// theirs before it was added: known is false until it is.
type framework struct {
	id      string
	known   bool
	active  bool
	caps    Capabilities
	clients []*client // sorted by role
	ordinal int       // scratch of a run: 1 + place among those offered to
}

// client is a framework under one role: it exists while the framework is
// subscribed to the role or has something allocated under it.
type client struct {
	item
	framework  *framework
	role       *role
	slot       uint32 // its bit in refusals; another one once these are forgiven
	subscribed bool
	suppressed bool
	fresh      bool                  // may have become entitled since the last run
	minimum    []resource.Quantities // nil: the general one
	screen     *screen               // its constraints, nil: none
	demand     *demand               // what it asked for, nil: anything
	holds      int                   // agents on which it has something
}

// slots numbers clients densely. The slot of a client that is gone, or has another
// one now, is given anew when the last of its filters is dropped.
type slots struct {
	clients []*client // nil: free, or given up
	filters []int     // of each slot
	free    []uint32
	retired int // neither free nor a client's
}

// taken is how many are a client's.
func (s *slots) taken() int { return len(s.clients) - len(s.free) - s.retired }

func (s *slots) add(c *client) {
	if n := len(s.free); n > 0 {
		c.slot, s.free = s.free[n-1], s.free[:n-1]
		s.clients[c.slot] = c
		return
	}
	c.slot = uint32(len(s.clients))
	s.clients, s.filters = append(s.clients, c), append(s.filters, 0)
}

func (s *slots) remove(c *client) {
	s.clients[c.slot] = nil
	if s.filters[c.slot] == 0 {
		s.free = append(s.free, c.slot)
	} else {
		s.retired++
	}
}

// drop counts a filter of a slot that is no more.
func (s *slots) drop(slot uint32) {
	if s.filters[slot]--; s.filters[slot] == 0 && s.clients[slot] == nil {
		s.free = append(s.free, slot)
		s.retired--
	}
}

// AddFramework adds a framework. What agents have already said of it is its.
func (a *Allocator) AddFramework(now time.Time, id string, o FrameworkOptions) {
	a.observe(now)
	f := a.framework(id)
	f.known = true
	a.configure(f, o)
}

// UpdateFramework replaces what is known of it. Filters of roles it left are
// dropped; the others stay.
func (a *Allocator) UpdateFramework(now time.Time, id string, o FrameworkOptions) {
	a.observe(now)
	if f := a.known(id); f != nil {
		a.configure(f, o)
	}
}

// RemoveFramework forgets it and frees all it has.
func (a *Allocator) RemoveFramework(id string) {
	f := a.frameworks[id]
	if f == nil {
		return
	}
	f.known, f.active = false, false
	for _, ag := range a.list {
		if !f.holds() {
			break // as always, once its master has taken all back
		}
		if held := ag.heldBy(f); !held.Empty() {
			a.free(f, ag, held)
		}
	}
	for _, c := range slices.Clone(f.clients) {
		c.subscribed = false
		a.settle(c)
	}
	delete(a.frameworks, id) // it may have had no role
}

// holds reports whether the framework has something of any agent.
func (f *framework) holds() bool {
	return slices.ContainsFunc(f.clients, func(c *client) bool { return c.holds > 0 })
}

// ActivateFramework lets a connected framework have offers.
func (a *Allocator) ActivateFramework(now time.Time, id string) {
	a.observe(now)
	a.setActive(id, true)
}

// DeactivateFramework stops offers to it and drops its filters. What it has
// stays allocated.
func (a *Allocator) DeactivateFramework(now time.Time, id string) {
	a.observe(now)
	a.setActive(id, false)
}

func (a *Allocator) setActive(id string, active bool) {
	f := a.known(id)
	if f == nil || f.active == active {
		return
	}
	f.active = active
	for _, c := range f.clients {
		if !active {
			a.forgive(c)
			a.forgo(c)
		}
		a.settle(c)
	}
}

// Suppress stops offers under the roles; none named is all.
func (a *Allocator) Suppress(id string, roles []string) {
	for _, c := range a.named(id, roles) {
		c.suppressed = true
		a.forgo(c)
		a.settle(c)
	}
}

// Revive undoes Suppress and drops the filters of the roles; none named is all.
func (a *Allocator) Revive(now time.Time, id string, roles []string) {
	a.observe(now)
	for _, c := range a.named(id, roles) {
		c.suppressed = false
		a.forgive(c)
		a.settle(c)
		a.freshen(c)
	}
}

// named returns the subscribed clients of the roles, or all when none is named.
func (a *Allocator) named(id string, roles []string) []*client {
	f := a.known(id)
	if f == nil {
		return nil
	}
	var out []*client
	for _, c := range f.clients {
		if c.subscribed && (len(roles) == 0 || slices.Contains(roles, c.role.name)) {
			out = append(out, c)
		}
	}
	return out
}

func (a *Allocator) configure(f *framework, o FrameworkOptions) {
	a.revision++
	f.caps, f.active = o.Capabilities, o.Active
	for _, role := range o.Roles {
		f.client(a, role).subscribed = true
	}
	for _, c := range slices.Clone(f.clients) {
		if c.subscribed = slices.Contains(o.Roles, c.role.name); !c.subscribed || !f.active {
			a.forgive(c)
			a.forgo(c)
		}
		c.suppressed = slices.Contains(o.Suppressed, c.role.name)
		a.setMinimum(c, o.MinAllocatable)
		a.setConstraints(c, o.Constraints[c.role.name])
		a.settle(c)
		a.freshen(c)
	}
}

func (a *Allocator) setMinimum(c *client, minimum map[string][]resource.Quantities) {
	had := c.minimum != nil
	c.minimum = nil
	m, has := minimum[c.role.name]
	if has {
		c.minimum = append([]resource.Quantities{}, m...)
	}
	if had == has {
		return
	}
	for r := c.role; r != nil; r = r.parent {
		if has {
			r.overrides++
		} else {
			r.overrides--
		}
		r.below.touch()
	}
}

// settle lets the client compete, or not, and forgets it when nothing is left.
func (a *Allocator) settle(c *client) {
	entitled := c.framework.active && c.subscribed && !c.suppressed
	switch {
	case entitled && c.in == nil:
		c.role.admit(c)
		a.freshen(c)
	case !entitled && c.in != nil:
		c.role.dismiss(c)
	}
	if c.subscribed || c.holds > 0 {
		return
	}
	a.forgive(c)
	a.setMinimum(c, nil)
	a.setConstraints(c, nil)
	a.forgo(c)
	a.slots.remove(c)
	c.framework.clients = slices.DeleteFunc(c.framework.clients, func(o *client) bool { return o == c })
	a.release(c.role)
	a.abandon(c.framework)
}

// abandon forgets a framework that was never added when it uses nothing.
func (a *Allocator) abandon(f *framework) {
	if !f.known && len(f.clients) == 0 {
		delete(a.frameworks, f.id)
	}
}

// freshen makes the next run consider every open agent for the client.
func (a *Allocator) freshen(c *client) {
	if c.in != nil && !c.fresh {
		c.fresh = true
		a.fresh = append(a.fresh, c)
		a.all = true
	}
}

// framework returns the one of that ID, made if need be.
func (a *Allocator) framework(id string) *framework {
	f := a.frameworks[id]
	if f == nil {
		f = &framework{id: id}
		a.frameworks[id] = f
	}
	return f
}

func (a *Allocator) known(id string) *framework {
	if f := a.frameworks[id]; f != nil && f.known {
		return f
	}
	return nil
}

// find returns the framework's client under the role, or nil.
func (f *framework) find(role string) *client {
	for _, c := range f.clients {
		if c.role.name == role {
			return c
		}
	}
	return nil
}

// client returns the framework's client under the role, made if need be.
func (f *framework) client(a *Allocator, role string) *client {
	if c := f.find(role); c != nil {
		return c
	}
	r := a.role(role)
	r.users++
	c := &client{framework: f, role: r}
	c.item = item{name: f.id, client: c, weight: 1}
	a.slots.add(c)
	f.clients = append(f.clients, c)
	slices.SortFunc(f.clients, func(x, y *client) int { return compareRoles(x.role, y.role) })
	return c
}

package allocator

import (
	"strings"
)

// role is a node of the tree of roles. Below the root stand the roles without
// a slash. A role competes with its siblings for all of its subtree; within it,
// its own frameworks compete, together, with its children.
type role struct {
	name     string // the whole path
	parent   *role  // nil for the root
	below    item   // the subtree among the siblings
	self     item   // its own frameworks among the children
	children order  // of self and of the children's below
	clients  order  // of its own frameworks
	quota    quota

	overrides int // clients in the tree with a minimum of their own
	users     int // clients, children, reservations, a quota or a weight that keep it
}

func newRole(name string, parent *role) *role {
	r := &role{name: name, parent: parent}
	r.below = item{name: name[strings.LastIndexByte(name, '/')+1:], role: r, weight: 1}
	r.self = item{name: ".", role: r, self: true, weight: 1}
	return r
}

// role returns the node of a name, made with those above it if need be.
func (a *Allocator) role(name string) *role {
	if r := a.roles[name]; r != nil {
		return r
	}
	parent := a.root
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		parent = a.role(name[:i])
	}
	parent.users++
	r := newRole(name, parent)
	a.roles[name] = r
	return r
}

// release forgets the role, and those above it, when nobody uses it.
func (a *Allocator) release(r *role) {
	for r.users--; r.users == 0 && r.parent != nil; r.users-- {
		delete(a.roles, r.name)
		r = r.parent
	}
}

// admit lets a client compete, and the roles it is the first of.
func (r *role) admit(c *client) {
	r.clients.insert(&c.item)
	if r.clients.n > 1 {
		return
	}
	r.children.insert(&r.self)
	for ; r.parent != nil && r.children.n == 1; r = r.parent {
		r.parent.children.insert(&r.below)
	}
}

// dismiss is the reverse of admit.
func (r *role) dismiss(c *client) {
	r.clients.remove(&c.item)
	if r.clients.n > 0 {
		return
	}
	r.children.remove(&r.self)
	for ; r.parent != nil && r.children.n == 0; r = r.parent {
		r.parent.children.remove(&r.below)
	}
}

// walk visits the roles with clients in the order of fairness until visit
// returns false, which walk then returns too. It leaves out ranks after last.
func (r *role) walk(a *Allocator, last rank, visit func(*role) bool) bool {
	r.children.refresh(a)
	on := true
	r.children.upTo(owed, last, func(it *item) bool {
		if it.self {
			on = visit(r)
		} else {
			on = it.role.walk(a, last, visit)
		}
		return on
	})
	return on
}

// walkOwed visits those roles only which may have of what is kept for
// guarantees: for their own, or for that of a role above.
func (r *role) walkOwed(a *Allocator, visit func(*role) bool) bool {
	if r.quota.claims() {
		return r.walk(a, ordinary, visit)
	}
	r.children.refresh(a)
	on := true
	r.children.upTo(owed, owed, func(it *item) bool {
		on = it.role.walkOwed(a, visit)
		return on
	})
	return on
}

// each calls do with the clients in the tree that compete.
func (r *role) each(do func(*client)) {
	for it := range r.children.all {
		if !it.self {
			it.role.each(do)
			continue
		}
		for it := range r.clients.all {
			do(it.client)
		}
	}
}

// before reports whether c comes before o in the walk.
func (c *client) before(a *Allocator, o *client) bool {
	x, y := c.path(), o.path()
	for i := range min(len(x), len(y)) {
		if x[i] == y[i] {
			continue
		}
		x[i].in.refresh(a)
		return entry{x[i].key, x[i]}.compareFairness(entry{y[i].key, y[i]}) < 0
	}
	return false
}

// path is the items from below the root to the client.
func (c *client) path() []*item {
	depth := 2
	for r := c.role; r.parent != nil; r = r.parent {
		depth++
	}
	path := make([]*item, depth)
	path[depth-1], path[depth-2] = &c.item, &c.role.self
	for r, i := c.role, depth-3; r.parent != nil; r, i = r.parent, i-1 {
		path[i] = &r.below
	}
	return path
}

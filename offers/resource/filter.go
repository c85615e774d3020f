package resource

import "strings"

// filter keeps what is of the kinds for which keep holds.
func (s Set) filter(keep func(*kind) bool) Set {
	if s.tail == nil {
		if s.Empty() || keep(s.head.kind) {
			return s
		}
		return Set{}
	}
	out := Set{}
	if keep(s.head.kind) {
		out.push(s.head)
	}
	for _, p := range s.tail {
		if keep(p.kind) {
			out.push(p)
		}
	}
	return out
}

// Plain reports whether all of the set has one label and is unreserved, firm,
// exclusive, without disk info and of the agent itself: no filter but that for
// allocation changes it.
func (s *Set) Plain() bool { return s.tail == nil && s.head.kind == nil }

// Unreserved is what is reserved to no role.
func (s Set) Unreserved() Set {
	return s.filter(func(k *kind) bool { return k.role() == "" })
}

// Reserved is what is reserved to any role.
func (s Set) Reserved() Set {
	return s.filter(func(k *kind) bool { return k.role() != "" })
}

// ReservedTo is what is reserved to exactly this role.
func (s Set) ReservedTo(role string) Set {
	return s.filter(func(k *kind) bool { return k.role() == role })
}

// AllocatableTo is what a framework of the role may be offered: unreserved, or
// reserved to the role or a role above it.
func (s Set) AllocatableTo(role string) Set {
	return s.filter(func(k *kind) bool {
		r := k.role()
		return r == "" || r == role || IsBelow(role, r)
	})
}

// Refined is what has more than one reservation.
func (s Set) Refined() Set {
	return s.filter(func(k *kind) bool { return k != nil && len(k.stack) > 1 })
}

// Unrefined is what has at most one reservation.
func (s Set) Unrefined() Set {
	return s.filter(func(k *kind) bool { return k == nil || len(k.stack) <= 1 })
}

// Revocable is what may be taken back at any time.
func (s Set) Revocable() Set {
	return s.filter(func(k *kind) bool { return k.isRevocable() })
}

// NonRevocable is what is not revocable.
func (s Set) NonRevocable() Set {
	return s.filter(func(k *kind) bool { return !k.isRevocable() })
}

// Shared is the volumes that several tasks may use at once.
func (s Set) Shared() Set {
	return s.filter(func(k *kind) bool { return k.isShared() })
}

// NonShared is what is not shared.
func (s Set) NonShared() Set {
	return s.filter(func(k *kind) bool { return !k.isShared() })
}

// PersistentVolumes is the disks that have a persistence ID.
func (s Set) PersistentVolumes() Set {
	return s.filter(func(k *kind) bool { return k.isPersistent() })
}

// FromProvider is what the given resource provider has; "" is the agent itself.
func (s Set) FromProvider(id string) Set {
	return s.filter(func(k *kind) bool { return k == nil && id == "" || k != nil && k.provider == id })
}

// AllocatedTo is what is allocated to exactly this role.
func (s Set) AllocatedTo(role string) Set {
	out := Set{}
	for i, n := 0, s.len(); i < n; i++ {
		if p := s.at(i); p.alloc == role {
			out.push(*p)
		}
	}
	return out
}

// Named is what has one of the names.
func (s Set) Named(names ...string) Set {
	return s.project(func(name string) bool {
		for _, n := range names {
			if n == name {
				return true
			}
		}
		return false
	})
}

// Scalars is all amounts, volumes among them.
func (s Set) Scalars() Set {
	out := Set{}
	for i, n := 0, s.len(); i < n; i++ {
		p := s.at(i)
		q := part{alloc: p.alloc, kind: p.kind, base: p.base}
		if p.more != nil {
			var values []value
			for _, v := range p.more.values {
				if v.typ == typeScalar {
					values = append(values, v)
				}
			}
			q.more = newMore(values, p.more.volumes)
		}
		out.push(q)
	}
	return out
}

// Without is what has none of the names.
func (s Set) Without(names ...string) Set { return s.Sub(s.Named(names...)) }

func (s Set) project(keep func(name string) bool) Set {
	out := Set{}
	for i, n := 0, s.len(); i < n; i++ {
		p := s.at(i)
		q := part{alloc: p.alloc, kind: p.kind}
		for j, v := range p.base {
			if keep(baseNames[j]) {
				q.base[j] = v
			}
		}
		if keep(portsName) {
			q.ports = p.ports
		}
		if p.more != nil {
			var values []value
			for _, v := range p.more.values {
				if keep(v.name) {
					values = append(values, v)
				}
			}
			var volumes []volume
			if keep(baseNames[disk]) {
				volumes = p.more.volumes
			}
			q.more = newMore(values, volumes)
		}
		out.push(q)
	}
	return out
}

// AllocatedRoles returns the roles that parts of the set are allocated to,
// sorted.
func (s Set) AllocatedRoles() []string {
	var roles []string
	for i, n := 0, s.len(); i < n; i++ {
		alloc := s.at(i).alloc // parts are sorted by it
		if alloc != "" && (len(roles) == 0 || roles[len(roles)-1] != alloc) {
			roles = append(roles, alloc)
		}
	}
	return roles
}

// ReservedRoles returns the roles that parts of the set are reserved to, sorted.
func (s Set) ReservedRoles() []string {
	var roles []string
	for i, n := 0, s.len(); i < n; i++ {
		if role := s.at(i).kind.role(); role != "" {
			roles = unionItems(roles, []string{role})
		}
	}
	return roles
}

// IsBelow reports whether role lies strictly below ancestor in the tree.
func IsBelow(role, ancestor string) bool {
	return len(role) > len(ancestor) && role[len(ancestor)] == '/' && strings.HasPrefix(role, ancestor)
}

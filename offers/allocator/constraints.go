package allocator

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// Constraints say of which agents a framework is offered anything, by role. Who
// has none for a role is offered all. They are not modified.
type Constraints map[string]*Expression

// Expression is the constraints of one role: alternatives, of each of which all
// conditions must hold.
type Expression struct {
	key    string // the same for equal ones
	groups [][]condition
}

// maxConditions bounds what one framework's constraints cost: each may be looked
// at for each agent.
const maxConditions = 1000

// CompileConstraints checks constraints and makes them fast. The errors are
// worded as Mesos words them.
// Mesos: src/master/allocator/mesos/offer_constraints_filter.cpp.
func CompileConstraints(limits PatternLimits, c *scheduler.OfferConstraints) (Constraints, error) {
	if len(c.GetRoleConstraints()) == 0 {
		return nil, nil
	}
	total := 0
	out := make(Constraints, len(c.GetRoleConstraints()))
	for _, role := range slices.Sorted(maps.Keys(c.GetRoleConstraints())) {
		groups := c.GetRoleConstraints()[role].GetGroups()
		if len(groups) == 0 {
			return nil, invalidf("'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' for role %s", role)
		}
		e := &Expression{groups: make([][]condition, 0, len(groups))}
		for _, g := range groups {
			if total += len(g.GetAttributeConstraints()); total > maxConditions {
				return nil, invalidf("more than %d attribute constraints", maxConditions)
			}
			group, err := compileGroup(limits, role, g)
			if err != nil {
				return nil, err
			}
			e.groups = append(e.groups, group)
		}
		key, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.GetRoleConstraints()[role])
		if err != nil {
			return nil, fmt.Errorf("constraints of role %s: %w", role, err)
		}
		e.key = string(key)
		out[role] = e
	}
	return out, nil
}

// invalid is an error whose text goes to a framework as it is.
type invalid string

func (e invalid) Error() string { return string(e) }

func invalidf(format string, args ...any) error { return invalid(fmt.Sprintf(format, args...)) }

func compileGroup(limits PatternLimits, role string, g *scheduler.OfferConstraints_RoleConstraints_Group) ([]condition, error) {
	if len(g.GetAttributeConstraints()) == 0 {
		return nil, invalidf("'OfferConstraints::RoleConstraints::groups' for role %s contains an empty RoleConstraints::Group", role)
	}
	group := make([]condition, 0, len(g.GetAttributeConstraints()))
	for _, c := range g.GetAttributeConstraints() {
		condition, err := compileCondition(limits, c)
		if err != nil {
			return nil, invalidf("A role %s has an invalid 'AttributeConstraint': %v", role, err)
		}
		group = append(group, condition)
	}
	return group, nil
}

// Excludes reports whether the constraints keep offers of the agent back.
func (e *Expression) Excludes(o *AgentOptions) bool {
	for _, group := range e.groups {
		if unmet(group, o) == nil {
			return false
		}
	}
	return true
}

// unmet returns the first condition of a group that does not hold, or nil.
func unmet(group []condition, o *AgentOptions) *condition {
	for i := range group {
		if !group[i].holds(o) {
			return &group[i]
		}
	}
	return nil
}

// screen is an expression in force. Clients with equal ones share it, and each
// agent remembers what it comes to, in two bits, until the agent changes.
type screen struct {
	*Expression
	number int // of its bits
	users  int
}

// screens are those in force.
type screens struct {
	by   map[string]*screen // by key
	next int
	free []int // numbers below next that are not in use
}

// What two bits of an agent say of a screen; 0 is that it was not asked.
const (
	passes   = 1
	excluded = 2
)

// setConstraints puts constraints in force for a client, nil for none.
func (a *Allocator) setConstraints(c *client, e *Expression) {
	if old := c.screen; old != nil {
		if e != nil && old.key == e.key {
			return
		}
		c.screen = nil
		if old.users--; old.users == 0 {
			a.withdraw(old)
		}
	}
	if e == nil {
		return
	}
	s := a.screens.by[e.key]
	if s == nil {
		s = a.screens.add(e)
	}
	s.users++
	c.screen = s
}

func (s *screens) add(e *Expression) *screen {
	n := &screen{Expression: e, number: s.next}
	if last := len(s.free) - 1; last >= 0 {
		n.number, s.free = s.free[last], s.free[:last]
	} else {
		s.next++
	}
	if s.by == nil {
		s.by = map[string]*screen{}
	}
	s.by[e.key] = n
	return n
}

// withdraw forgets a screen that nobody has any more.
func (a *Allocator) withdraw(s *screen) {
	delete(a.screens.by, s.key)
	a.screens.free = append(a.screens.free, s.number)
	word, shift := s.bits()
	for _, ag := range a.list {
		if word < len(ag.screened) {
			ag.screened[word] &^= 3 << shift
		}
	}
}

func (s *screen) bits() (word int, shift uint) { return s.number / 32, uint(s.number%32) * 2 }

// excludes reports whether the screen keeps offers of the agent back.
func (s *screen) excludes(ag *agent) bool {
	word, shift := s.bits()
	if word >= len(ag.screened) {
		ag.screened = append(ag.screened, make([]uint64, word+1-len(ag.screened))...)
	}
	known := ag.screened[word] >> shift & 3
	if known == 0 {
		known = passes
		if s.Excludes(&ag.options) {
			known = excluded
		}
		ag.screened[word] |= known << shift
	}
	return known == excluded
}

// sameTraits reports whether constraints see no difference.
func sameTraits(a, b *AgentOptions) bool {
	return a.Hostname == b.Hostname && proto.Equal(a.Domain, b.Domain) &&
		slices.EqualFunc(a.Attributes, b.Attributes, func(x, y *mesos.Attribute) bool { return proto.Equal(x, y) })
}

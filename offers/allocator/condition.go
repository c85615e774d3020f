package allocator

import (
	"fmt"
	"regexp"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// condition is a predicate on one attribute or pseudo-attribute of an agent.
type condition struct {
	name   string // of the attribute
	pseudo scheduler.AttributeConstraint_Selector_PseudoattributeType
	test   test
	text   string         // of equals, or as the pattern was written
	match  *regexp.Regexp // of the whole value
	not    bool           // the predicate is the negative one
}

// test is what a condition asks of the value.
type test int

const (
	exists test = iota
	equals
	matches
)

func compileCondition(limits PatternLimits, c *scheduler.AttributeConstraint) (condition, error) {
	var out condition
	switch s := c.GetSelector().GetSelector().(type) {
	case *scheduler.AttributeConstraint_Selector_AttributeName:
		out.name = s.AttributeName
	case *scheduler.AttributeConstraint_Selector_PseudoattributeType_:
		out.pseudo = s.PseudoattributeType
		switch out.pseudo {
		case scheduler.AttributeConstraint_Selector_HOSTNAME, scheduler.AttributeConstraint_Selector_REGION, scheduler.AttributeConstraint_Selector_ZONE:
		default:
			return out, invalid("Unknown pseudoattribute type")
		}
	default:
		return out, invalid("Exactly one of 'AttributeConstraint::Selector::name' or " +
			"'AttributeConstraint::Selector::pseudoattribute_type' must be set")
	}
	var err error
	switch p := c.GetPredicate().GetPredicate().(type) {
	case *scheduler.AttributeConstraint_Predicate_Exists_:
	case *scheduler.AttributeConstraint_Predicate_NotExists_:
		out.not = true
	case *scheduler.AttributeConstraint_Predicate_TextEquals_:
		out.test, out.text = equals, p.TextEquals.GetValue()
	case *scheduler.AttributeConstraint_Predicate_TextNotEquals_:
		out.test, out.text, out.not = equals, p.TextNotEquals.GetValue(), true
	case *scheduler.AttributeConstraint_Predicate_TextMatches_:
		out.test, out.text = matches, p.TextMatches.GetRegex()
		out.match, err = limits.compile(out.text)
	case *scheduler.AttributeConstraint_Predicate_TextNotMatches_:
		out.test, out.text, out.not = matches, p.TextNotMatches.GetRegex(), true
		out.match, err = limits.compile(out.text)
	default:
		return out, invalid("Unknown predicate type")
	}
	return out, err
}

// holds reports whether the agent meets the condition. Of several attributes of
// one name the first counts. What has no text meets every predicate about text;
// what is not there, the negative ones.
// Mesos: src/master/allocator/mesos/offer_constraints_filter.cpp, AttributeConstraintPredicate.
func (c *condition) holds(o *AgentOptions) bool {
	value, there, text := c.value(o)
	switch {
	case !there:
		return c.not
	case c.test == exists:
		return !c.not
	case !text:
		return true
	case c.test == equals:
		return (value == c.text) != c.not
	}
	return c.match.MatchString(value) != c.not
}

// value returns what the condition is about, whether the agent has it, and
// whether it is a text.
func (c *condition) value(o *AgentOptions) (value string, there, text bool) {
	domain := o.Domain.GetFaultDomain()
	switch c.pseudo {
	case scheduler.AttributeConstraint_Selector_HOSTNAME:
		return o.Hostname, true, true
	case scheduler.AttributeConstraint_Selector_REGION:
		return domain.GetRegion().GetName(), domain != nil, true
	case scheduler.AttributeConstraint_Selector_ZONE:
		return domain.GetZone().GetName(), domain != nil, true
	}
	for _, a := range o.Attributes {
		if a.GetName() == c.name {
			return a.GetText().GetValue(), true, a.GetType() == mesos.Value_TEXT
		}
	}
	return "", false, false
}

// String writes the condition as people read it.
func (c *condition) String() string {
	subject := "attribute " + c.name
	if c.pseudo != scheduler.AttributeConstraint_Selector_UNKNOWN {
		subject = c.pseudo.String()
	}
	verbs := [...][2]string{exists: {"exists", "does not exist"}, equals: {"is", "is not"}, matches: {"matches", "does not match"}}[c.test]
	verb := verbs[0]
	if c.not {
		verb = verbs[1]
	}
	if c.test == exists {
		return subject + " " + verb
	}
	return fmt.Sprintf("%s %s %q", subject, verb, c.text)
}

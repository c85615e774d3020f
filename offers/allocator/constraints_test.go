package allocator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// constraintsOf reads ROLE/CONDITION&CONDITION|CONDITION…: alternatives of
// conditions. A condition is NAME? (exists), NAME!?, NAME==TEXT, NAME!=TEXT,
// NAME~PATTERN or NAME!~PATTERN; the names @HOSTNAME, @REGION and @ZONE are the
// pseudo-attributes.
func constraintsOf(t testing.TB, text string) *scheduler.OfferConstraints {
	role, rest, found := strings.Cut(text, "/")
	if !found {
		t.Fatalf("constraints %q name no role", text)
	}
	rc := &scheduler.OfferConstraints_RoleConstraints{}
	for group := range strings.SplitSeq(rest, "|") {
		g := &scheduler.OfferConstraints_RoleConstraints_Group{}
		for one := range strings.SplitSeq(group, "&") {
			g.AttributeConstraints = append(g.AttributeConstraints, conditionOf(t, one))
		}
		rc.Groups = append(rc.Groups, g)
	}
	return &scheduler.OfferConstraints{RoleConstraints: map[string]*scheduler.OfferConstraints_RoleConstraints{role: rc}}
}

func conditionOf(t testing.TB, text string) *scheduler.AttributeConstraint {
	at := strings.IndexAny(text, "!=~?")
	if at < 0 {
		t.Fatalf("condition %q has no predicate", text)
	}
	c := &scheduler.AttributeConstraint{Selector: &scheduler.AttributeConstraint_Selector{}, Predicate: &scheduler.AttributeConstraint_Predicate{}}
	if name, pseudo := strings.CutPrefix(text[:at], "@"); pseudo {
		c.Selector.Selector = &scheduler.AttributeConstraint_Selector_PseudoattributeType_{
			PseudoattributeType: scheduler.AttributeConstraint_Selector_PseudoattributeType(scheduler.AttributeConstraint_Selector_PseudoattributeType_value[name])}
	} else {
		c.Selector.Selector = &scheduler.AttributeConstraint_Selector_AttributeName{AttributeName: name}
	}
	for _, p := range []struct{ sign, field string }{
		{"!?", "not_exists {}"}, {"?", "exists {}"}, {"==", "text_equals { value: %q }"}, {"!=", "text_not_equals { value: %q }"},
		{"!~", "text_not_matches { regex: %q }"}, {"~", "text_matches { regex: %q }"},
	} {
		value, found := strings.CutPrefix(text[at:], p.sign)
		if !found {
			continue
		}
		if strings.Contains(p.field, "%q") {
			p.field = fmt.Sprintf(p.field, value)
		}
		if err := prototext.Unmarshal([]byte(p.field), c.Predicate); err != nil {
			t.Fatal(err)
		}
		return c
	}
	t.Fatalf("condition %q has no predicate", text)
	return nil
}

// attributesOf reads NAME:VALUE,…; a value that begins with # is a scalar.
func attributesOf(text string) []*mesos.Attribute {
	var out []*mesos.Attribute
	for _, one := range list(text) {
		name, value, _ := strings.Cut(one, ":")
		a := &mesos.Attribute{Name: proto.String(name), Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: proto.String(value)}}
		if strings.HasPrefix(value, "#") {
			a.Type, a.Text, a.Scalar = mesos.Value_SCALAR.Enum(), nil, &mesos.Value_Scalar{Value: proto.Float64(1)}
		}
		out = append(out, a)
	}
	return out
}

func domainOf(region, zone string) *mesos.DomainInfo {
	return &mesos.DomainInfo{FaultDomain: &mesos.DomainInfo_FaultDomain{
		Region: &mesos.DomainInfo_FaultDomain_RegionInfo{Name: &region}, Zone: &mesos.DomainInfo_FaultDomain_ZoneInfo{Name: &zone},
	}}
}

// TestPredicates is Mesos's table: what each predicate says of an attribute that
// is not there, one that is no text, and the pseudo-attributes.
// Mesos: src/tests/master/offer_constraints_filter_tests.cpp.
func TestPredicates(t *testing.T) {
	plain := &AgentOptions{Hostname: "h1.x", Attributes: attributesOf("rack:r1,rack:r2,n:#1,empty:")}
	placed := &AgentOptions{Hostname: "h1.x", Domain: domainOf("west", "a")}
	for _, test := range []struct {
		agent     *AgentOptions
		condition string
		holds     bool
	}{
		{plain, "rack?", true}, {plain, "rack!?", false}, {plain, "none?", false}, {plain, "none!?", true},
		{plain, "rack==r1", true}, {plain, "rack!=r1", false}, {plain, "none==r1", false}, {plain, "none!=r1", true},
		{plain, "rack==r2", false}, {plain, "rack!=r2", true}, // of two the first counts
		{plain, "rack~r[0-9]", true}, {plain, "rack!~r[0-9]", false}, {plain, "none~.*", false}, {plain, "none!~.*", true},
		{plain, "rack~r", false}, {plain, "rack~1", false}, {plain, "rack~x*r1|y", true}, // the whole value
		{plain, "n==1", true}, {plain, "n!=1", true}, {plain, "n~x", true}, {plain, "n!~x", true}, // no text: the framework is to see for itself
		{plain, "n?", true}, {plain, "n!?", false}, {plain, "empty==", true}, {plain, "empty~", true},
		{plain, "@HOSTNAME==h1.x", true}, {plain, "@HOSTNAME!=h1.x", false}, {plain, `@HOSTNAME~.*\.x`, true}, {plain, "@HOSTNAME?", true},
		{plain, "@REGION?", false}, {plain, "@ZONE!?", true}, {plain, "@REGION!=west", true}, {plain, "@ZONE~.*", false},
		{placed, "@REGION==west", true}, {placed, "@ZONE==a", true}, {placed, "@ZONE!~[b-z]", true}, {placed, "@REGION!?", false},
	} {
		c, err := compileCondition(PatternLimits{}, conditionOf(t, test.condition))
		if err != nil {
			t.Fatalf("%s: %v", test.condition, err)
		}
		if got := c.holds(test.agent); got != test.holds {
			t.Errorf("%s is %t", c.String(), got)
		}
	}
}

func TestInvalidConstraints(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`role_constraints { key: "a" value {} }`, "'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' for role a"},
		{`role_constraints { key: "a" value { groups {} } }`, "'OfferConstraints::RoleConstraints::groups' for role a contains an empty RoleConstraints::Group"},
		{`role_constraints { key: "a" value { groups { attribute_constraints { selector {} predicate { exists {} } } } } }`,
			"A role a has an invalid 'AttributeConstraint': Exactly one of 'AttributeConstraint::Selector::name' or 'AttributeConstraint::Selector::pseudoattribute_type' must be set"},
		{`role_constraints { key: "a" value { groups { attribute_constraints { selector { pseudoattribute_type: UNKNOWN } predicate { exists {} } } } } }`,
			"A role a has an invalid 'AttributeConstraint': Unknown pseudoattribute type"},
		{`role_constraints { key: "a" value { groups { attribute_constraints { selector { attribute_name: "x" } predicate {} } } } }`,
			"A role a has an invalid 'AttributeConstraint': Unknown predicate type"},
		{`role_constraints { key: "a" value { groups { attribute_constraints { selector { attribute_name: "x" } predicate { text_matches { regex: "[a-d" } } } } } }`,
			"A role a has an invalid 'AttributeConstraint': Failed to construct regex from pattern '[a-d': missing closing ]: [a-d"},
	} {
		c := &scheduler.OfferConstraints{}
		if err := prototext.Unmarshal([]byte(test.text), c); err != nil {
			t.Fatal(err)
		}
		if _, err := CompileConstraints(PatternLimits{}, c); err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
	many := constraintsOf(t, "a/"+strings.Repeat("x?&", maxConditions)+"x?")
	if _, err := CompileConstraints(PatternLimits{}, many); err == nil || err.Error() != "more than 1000 attribute constraints" {
		t.Errorf("got %v", err)
	}
}

// TestPatternLimits has the three patterns of Mesos's own test, and what would be
// expensive before it is found to be too large.
func TestPatternLimits(t *testing.T) {
	for _, test := range []struct {
		pattern, want string
		limits        PatternLimits
	}{
		{"(a+){10}", "", PatternLimits{}},
		{"(a+){50}", "too complex", PatternLimits{}},
		{"(a+){500}", "pattern too large - compile failed", PatternLimits{}},
		{"(a+){50}", "", PatternLimits{ProgramSize: 300}},
		{"(a+){500}", "", PatternLimits{ProgramSize: 3000, Memory: 1 << 15}},
		{strings.Repeat("a", 90), "", PatternLimits{}},
		{strings.Repeat("a", 101), "too complex", PatternLimits{}},
		{strings.Repeat("a", 1<<24), "pattern too large - compile failed", PatternLimits{}},
		{"(" + strings.Repeat("a", 2000) + "){1000}", "pattern too large - compile failed", PatternLimits{}},
		{"(((a{10}){10}){10})", "pattern too large - compile failed", PatternLimits{}},
		{`\pL`, "pattern too large - compile failed", PatternLimits{}},
		{`rack-[0-9]{1,3}(\.(east|west)\.example\.com)?`, "", PatternLimits{}},
	} {
		begin := time.Now()
		_, err := test.limits.compile(test.pattern)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.40s: %v", test.pattern, err)
		}
		if err != nil && len(err.Error()) > 6000 {
			t.Errorf("%.40s: an error of %d bytes", test.pattern, len(err.Error()))
		}
		if d := time.Since(begin); d > time.Second {
			t.Errorf("%.40s: took %v", test.pattern, d)
		}
	}
}

// TestScreensAgree holds that what agents remember is what the constraints say,
// whatever comes, changes and goes, and that equal constraints are kept once.
func TestScreensAgree(t *testing.T) {
	expressions := []string{"", "a/x==1", "a/x!=1", "a/x?&@HOSTNAME==h1|y~[0-9]+", "a/@HOSTNAME!=h2", "a/y!?"}
	agents := []AgentOptions{{Hostname: "h1"}, {Hostname: "h2", Attributes: attributesOf("x:1")},
		{Hostname: "h1", Attributes: attributesOf("x:2,y:7")}, {Hostname: "h3", Attributes: attributesOf("y:z")}}
	rapid.Check(t, func(rt *rapid.T) {
		a, now := New(Config{}), time.Unix(0, 0)
		rt.Repeat(map[string]func(*rapid.T){
			"framework": func(rt *rapid.T) {
				id, text := draw(rt, frameworkIDs, "id"), draw(rt, expressions, "constraints")
				o := FrameworkOptions{Roles: []string{"a"}, Active: true}
				if text != "" {
					var err error
					if o.Constraints, err = CompileConstraints(PatternLimits{}, constraintsOf(t, text)); err != nil {
						rt.Fatal(err)
					}
				}
				a.AddFramework(now, id, o)
			},
			"remove framework": func(rt *rapid.T) { a.RemoveFramework(draw(rt, frameworkIDs, "id")) },
			"agent": func(rt *rapid.T) {
				id, o := draw(rt, agentIDs, "id"), rapid.SampledFrom(agents).Draw(rt, "options")
				o.Total = parse(rt, "cpus:1")
				if a.agents[id] == nil {
					a.AddAgent(now, id, o, nil)
				} else {
					a.UpdateAgent(now, id, o)
				}
			},
			"remove agent": func(rt *rapid.T) { a.RemoveAgent(now, draw(rt, agentIDs, "id")) },
			"": func(rt *rapid.T) {
				users := map[string]int{}
				for _, f := range a.frameworks {
					for _, c := range f.clients {
						if c.screen == nil {
							continue
						}
						users[c.screen.key]++
						for _, ag := range a.list {
							if c.screen.excludes(ag) != c.screen.Excludes(&ag.options) {
								rt.Fatalf("%s remembers wrongly of %s", ag.id, f.id)
							}
						}
					}
				}
				if len(users) != len(a.screens.by) || len(a.screens.by)+len(a.screens.free) != a.screens.next {
					rt.Fatalf("%d expressions, %d screens, %d free of %d", len(users), len(a.screens.by), len(a.screens.free), a.screens.next)
				}
				for key, s := range a.screens.by {
					if s.users != users[key] {
						rt.Fatalf("%d users, counted %d", s.users, users[key])
					}
				}
			},
		})
	})
}

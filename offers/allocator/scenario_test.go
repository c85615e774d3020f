package allocator

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"muster/offers/resource"
)

var update = flag.Bool("update", false, "rewrite what the scenarios expect")

// TestScenarios runs testdata/*.txt. A block is commands, a line of dashes and
// what they print, up to an empty line; testdata/README.md lists the commands.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newScenario(t)
			var out []string
			for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
				commands, want, found := strings.Cut(block+"\n", "----\n")
				if !found {
					out = append(out, strings.TrimSpace(block)) // a comment
					continue
				}
				got := s.run(commands)
				if got != want && !*update {
					t.Errorf("after\n%sgot\n%swant\n%s", commands, got, want)
				}
				out = append(out, strings.TrimSpace(commands+"----\n"+got))
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type scenario struct {
	t       *testing.T
	start   time.Time
	now     time.Time
	a       *Allocator
	names   map[string]resource.Set
	offers  map[string]resource.Set // outstanding, by framework and agent
	options map[string]FrameworkOptions
	output  strings.Builder
}

func newScenario(t *testing.T) *scenario {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	return &scenario{
		t: t, start: start, now: start, a: New(Config{}), names: map[string]resource.Set{},
		offers: map[string]resource.Set{}, options: map[string]FrameworkOptions{},
	}
}

func (s *scenario) run(commands string) string {
	s.output.Reset()
	for line := range strings.Lines(commands) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		args := map[string]string{}
		var plain []string
		for _, word := range words[1:] {
			if name, value, found := strings.Cut(word, "="); found {
				args[name] = value
			} else {
				plain = append(plain, word)
			}
		}
		if !s.frameworkCommand(words[0], plain, args) && !s.agentCommand(words[0], plain, args) &&
			!s.quotaCommand(words[0], plain, args) && !s.command(words[0], plain, args) {
			s.t.Fatalf("unknown command %q", line)
		}
	}
	return s.output.String()
}

func (s *scenario) command(name string, plain []string, args map[string]string) bool {
	switch name {
	case "config":
		cfg := Config{Region: args["region"], ExcludeFromFairness: list(args["exclude"]), GPUsForAll: args["gpus-for-all"] != ""}
		if text := args["split"]; text != "" {
			cfg.Split = s.minimum(text)[0]
		}
		if min, some := args["min"]; some {
			cfg.MinAllocatable = s.minimum(min)
		}
		s.a = New(cfg)
	case "define":
		s.names[plain[0]] = s.set(strings.Join(plain[1:], " "))
	case "wait":
		s.now = s.now.Add(s.duration(plain[0]))
	case "allocate":
		for _, o := range s.a.Allocate(s.now) {
			s.offers[o.Framework+" "+o.Agent] = s.offers[o.Framework+" "+o.Agent].Add(o.Resources)
			fmt.Fprintf(&s.output, "%s %s %s %s\n", o.Framework, o.Role, o.Agent, o.Resources.Unallocate())
		}
	case "next":
		if next := s.a.Next(); next.IsZero() {
			s.output.WriteString("nothing pending\n")
		} else {
			fmt.Fprintf(&s.output, "in %s\n", next.Sub(s.now))
		}
	case "available":
		for _, ag := range s.a.list {
			fmt.Fprintf(&s.output, "%s %s\n", ag.id, ag.available)
		}
	case "decline":
		key := plain[0] + " " + plain[1]
		s.a.Recover(s.now, plain[0], plain[1], s.offers[key], s.refusal(args))
		delete(s.offers, key)
	case "recover": // a part of what was offered
		r := s.set(args["resources"]).Allocate(args["role"])
		s.a.Recover(s.now, plain[0], plain[1], r, s.refusal(args))
		s.offers[plain[0]+" "+plain[1]] = s.offers[plain[0]+" "+plain[1]].Sub(r)
	case "convert":
		from, to := s.set(args["old"]).Allocate(args["role"]), s.set(args["new"]).Allocate(args["role"])
		s.a.UpdateAllocation(plain[0], plain[1], from, to)
	default:
		return false
	}
	return true
}

func (s *scenario) frameworkCommand(name string, plain []string, args map[string]string) bool {
	switch name {
	case "framework":
		o := s.frameworkOptions(args)
		s.a.AddFramework(s.now, plain[0], o)
		for _, u := range s.used(args["used"]) {
			s.a.CorrectUse(s.now, u.Framework, []Use{{plain[0], u.Resources}})
		}
	case "update-framework":
		s.a.UpdateFramework(s.now, plain[0], s.frameworkOptions(args))
	case "remove-framework":
		s.a.RemoveFramework(plain[0])
	case "activate":
		s.a.ActivateFramework(s.now, plain[0])
	case "deactivate":
		s.a.DeactivateFramework(s.now, plain[0])
	case "request":
		var requests []Request
		for _, text := range plain[1:] {
			agent, res, _ := strings.Cut(text, "@")
			requests = append(requests, Request{Agent: agent, Resources: s.set(res)})
		}
		s.a.Request(s.now, plain[0], requests)
	case "suppress":
		s.a.Suppress(plain[0], plain[1:])
	case "revive":
		s.a.Revive(s.now, plain[0], plain[1:])
	default:
		return false
	}
	return true
}

func (s *scenario) agentCommand(name string, plain []string, args map[string]string) bool {
	switch name {
	case "agent":
		s.a.AddAgent(s.now, plain[0], s.agentOptions(args), s.used(args["used"]))
	case "update-agent":
		s.a.UpdateAgent(s.now, plain[0], s.agentOptions(args))
	case "remove-agent":
		s.a.RemoveAgent(s.now, plain[0])
	case "activate-agent":
		s.a.ActivateAgent(s.now, plain[0])
	case "deactivate-agent":
		s.a.DeactivateAgent(s.now, plain[0])
	default:
		return false
	}
	return true
}

func (s *scenario) quotaCommand(name string, plain []string, args map[string]string) bool {
	switch name {
	case "quota":
		guarantees, err := resource.ParseQuantities(args["guarantees"])
		if err != nil {
			s.t.Fatal(err)
		}
		limits, err := resource.ParseLimits(args["limits"])
		if err != nil {
			s.t.Fatal(err)
		}
		s.a.SetQuota(s.now, plain[0], guarantees, limits)
	case "weight":
		weight, err := strconv.ParseFloat(plain[1], 64)
		if err != nil {
			s.t.Fatal(err)
		}
		s.a.SetWeight(s.now, plain[0], weight)
	case "charged":
		fmt.Fprintf(&s.output, "%s %s\n", plain[0], s.a.Charged(plain[0]))
	case "excess":
		if excess := s.a.Excess(plain[0], s.set(args["of"]).Allocate(plain[0])); excess.Empty() {
			s.output.WriteString("nothing is excess\n")
		} else {
			fmt.Fprintf(&s.output, "%s is excess\n", excess)
		}
	case "await":
		agents, err := strconv.Atoi(plain[0])
		if err != nil {
			s.t.Fatal(err)
		}
		s.a.Await(s.now, agents)
	case "revocable":
		fmt.Fprintf(&s.output, "%s is held beyond\n", s.a.UpdateRevocable(s.now, plain[0], s.set(args["total"])))
	default:
		return false
	}
	return true
}

func (s *scenario) frameworkOptions(args map[string]string) FrameworkOptions {
	o := FrameworkOptions{Roles: list(args["roles"]), Suppressed: list(args["suppressed"]), Active: args["inactive"] == ""}
	for _, name := range list(args["caps"]) {
		switch name {
		case "gpu":
			o.Capabilities.GPU = true
		case "revocable":
			o.Capabilities.Revocable = true
		case "shared":
			o.Capabilities.Shared = true
		case "refinement":
			o.Capabilities.Refinement = true
		case "region":
			o.Capabilities.RegionAware = true
		case "multi-role":
			o.Capabilities.MultiRole = true
		default:
			s.t.Fatalf("unknown capability %q", name)
		}
	}
	if role, min, found := strings.Cut(args["min"], "/"); found {
		o.MinAllocatable = map[string][]resource.Quantities{role: s.minimum(min)}
	}
	if text := args["constraints"]; text != "" {
		var err error
		if o.Constraints, err = CompileConstraints(PatternLimits{}, constraintsOf(s.t, text)); err != nil {
			s.t.Fatal(err)
		}
	}
	return o
}

func (s *scenario) agentOptions(args map[string]string) AgentOptions {
	o := AgentOptions{Hostname: args["hostname"], Total: s.set(args["total"])}
	if region := args["region"]; region != "" {
		o.Domain = domainOf(region, "zone")
	}
	o.NoMultiRole, o.NoHierarchicalRoles = args["old"] == "multi-role", args["old"] == "hierarchical-role"
	o.Attributes = attributesOf(args["attributes"])
	return o
}

// used reads "who/role/resources,...", who being a framework, or an agent where
// a framework is added.
func (s *scenario) used(text string) []Use {
	used := map[string]resource.Set{}
	for _, one := range list(text) {
		parts := strings.SplitN(one, "/", 3)
		used[parts[0]] = used[parts[0]].Add(s.set(parts[2]).Allocate(parts[1]))
	}
	var uses []Use
	for _, who := range slices.Sorted(maps.Keys(used)) {
		uses = append(uses, Use{who, used[who]})
	}
	return uses
}

// set adds what is named by define, or written as Parse reads it, between +.
func (s *scenario) set(text string) resource.Set {
	sum := resource.Set{}
	for part := range strings.SplitSeq(text, "+") {
		set, defined := s.names[part]
		if !defined {
			var err error
			if set, err = resource.Parse(part); err != nil {
				s.t.Fatal(err)
			}
		}
		sum = sum.Add(set)
	}
	return sum
}

func (s *scenario) minimum(text string) []resource.Quantities {
	out := []resource.Quantities{}
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == '|' }) {
		q, err := resource.ParseQuantities(one)
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, q)
	}
	return out
}

func (s *scenario) refusal(args map[string]string) *time.Duration {
	text, some := args["refuse"]
	if !some {
		return nil
	}
	d := s.duration(text)
	return &d
}

func (s *scenario) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

package offers

import (
	"fmt"
	"strings"

	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/resource"
)

// sumOf writes resources as the core keeps them.
func sumOf(list []*mesos.Resource) string {
	set, err := resource.FromProto(list)
	if err != nil {
		return err.Error()
	}
	return set.String()
}

// describeExplanation writes an explanation in a few lines; nil is nothing.
func describeExplanation(e *protocol.Explanation) string {
	if e == nil {
		return ""
	}
	var b strings.Builder
	for i, f := range e.GetFrameworks() {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "framework %s %s is %s, roles %s suppressed %s", f.GetId(), f.GetName(), f.GetState(), braces(f.GetRoles()), braces(f.GetSuppressedRoles()))
	}
	for _, r := range e.GetRoles() {
		fmt.Fprintf(&b, "\n  %s: %s", r.GetRole(), r.GetVerdict())
		for _, f := range r.GetFindings() {
			fmt.Fprintf(&b, "\n    %s %d %s", f.GetReason(), f.GetAgents(), f.GetDetail())
			if f.EndsSeconds != nil {
				fmt.Fprintf(&b, " ends in %gs", f.GetEndsSeconds())
			}
			for _, a := range f.GetExamples() {
				fmt.Fprintf(&b, " %s", a.GetAgentId())
			}
		}
		for _, h := range r.GetHolders() {
			fmt.Fprintf(&b, "\n    held by %s under %s on %d: %s", h.GetFrameworkId(), h.GetRole(), h.GetAgents(), sumOf(h.GetResources()))
		}
	}
	return b.String()
}

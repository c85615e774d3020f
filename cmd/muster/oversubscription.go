package main

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"muster/node"
	"muster/node/agent"
	"muster/telemetry"
	"muster/telemetry/qos"
)

func oversubscriptionCommand() *cobra.Command {
	var back time.Duration
	c := askCommandArgs("oversubscription [NODE]", "Show what nodes lend of what their tasks do not use, and what was done to those who borrow it")
	c.Long = `Shows of each node what it has (total), what of it firm tasks were allocated, use,
and are predicted to use at most (peak), what is offered beside that as revocable
(lent), what of that is allocated (borrowed) and used; how often firm tasks suffered
from it (violations), how often they used more than was predicted, and what was done
to revocable tasks (corrections). --since shows how all that went.`
	c.Example = "  muster oversubscription --since 1h\n  muster oversubscription rack1-a --since 24h -o json"
	c.Args = cobra.MaximumNArgs(1)
	c.Flags().DurationVar(&back, "since", 0, "show the past, too, so far back: at most a day")
	c.RunE = func(c *cobra.Command, args []string) error {
		nodes, err := connect(c)
		if err != nil {
			return err
		}
		if back < 0 || back > telemetry.Day {
			return fmt.Errorf("since: %v is not between 0 and the %v that nodes keep", back, telemetry.Day)
		}
		views, err := askEach[node.OversubscriptionView](c, nodes, strings.Join(args, ""), "/muster/v1/oversubscription",
			url.Values{"since": {cmp.Or(back, time.Hour).String()}})
		if err != nil {
			return explain(err, nodes)
		}
		return show(c, views, func(out *printer) {
			var rows [][]string
			for _, v := range views {
				rows = append(rows, lendingRow(v))
			}
			out.table([]string{"NODE", "CPUS", "ALLOCATED", "USED", "PEAK", "LENT", "BORROWED", "USED", "MEM", "ALLOCATED", "USED", "PEAK", "LENT", "BORROWED", "USED", "QOS", "SUFFERED", "MISSED"}, rows)
			if back > 0 {
				for _, v := range views {
					overTime(out, v, back)
				}
			}
			corrections(out, views)
		})
	}
	return c
}

// shown are the amounts of a moment, in the order of the columns.
var shown = []struct {
	name string
	of   func(agent.Moment) agent.Amounts
}{
	{"total", func(m agent.Moment) agent.Amounts { return m.Total }},
	{"allocated", func(m agent.Moment) agent.Amounts { return m.Allocated }},
	{"used", func(m agent.Moment) agent.Amounts { return m.Used }},
	{"predicted peak", func(m agent.Moment) agent.Amounts { return m.Predicted }},
	{"lent", func(m agent.Moment) agent.Amounts { return m.Lent }},
	{"borrowed", func(m agent.Moment) agent.Amounts { return m.Borrowed }},
	{"revocable used", func(m agent.Moment) agent.Amounts { return m.RevocableUsed }},
}

func lendingRow(v node.OversubscriptionView) []string {
	n, state := v.Now, v.Now.Level
	switch {
	case !v.On:
		state = "lends nothing"
	case !v.QoS:
		state = "off"
	case n.Quota != nil:
		state += fmt.Sprintf(" to %.2f", *n.Quota)
	}
	missed := 0.
	if v.Violations.Samples > 0 {
		missed = 100 * float64(v.Violations.Missed) / float64(v.Violations.Samples)
	}
	f := func(x float64) string { return fmt.Sprintf("%.2f", x) }
	row := []string{v.Node}
	for _, a := range shown {
		row = append(row, f(a.of(n).CPUs))
	}
	for _, a := range shown {
		row = append(row, humanize.IBytes(uint64(a.of(n).Mem)))
	}
	return append(row, state, fmt.Sprintf("%d×", v.Violations.Count), fmt.Sprintf("%.1f%%", missed))
}

// historyWidth is how many columns the past takes.
const historyWidth = 60

// overTime draws one node's past, both resources on the scale of what it has.
func overTime(out *printer, v node.OversubscriptionView, back time.Duration) {
	from := v.Now.At.Add(-back)
	columns := make([]*agent.Moment, historyWidth)
	for i, m := range v.Past {
		if at := int(m.At.Sub(from) * historyWidth / (back + 1)); at >= 0 && at < historyWidth {
			columns[at] = &v.Past[i]
		}
	}
	draw := func(of func(agent.Moment) float64, scale float64) string {
		var b strings.Builder
		for _, m := range columns {
			b.WriteRune(bar(m, of, scale))
		}
		return b.String()
	}
	out.line("\n%s, the last %v", v.Node, back)
	var rows [][]string
	for _, a := range shown[1:] {
		cpus := func(m agent.Moment) float64 { return a.of(m).CPUs }
		rows = append(rows, []string{"  CPUs " + a.name, draw(cpus, v.Now.Total.CPUs), fmt.Sprintf("%.2f of %.2f", cpus(v.Now), v.Now.Total.CPUs)})
	}
	for _, a := range shown[1:] {
		mem := func(m agent.Moment) float64 { return a.of(m).Mem }
		rows = append(rows, []string{"  memory " + a.name, draw(mem, v.Now.Total.Mem),
			fmt.Sprintf("%s of %s", humanize.IBytes(uint64(mem(v.Now))), humanize.IBytes(uint64(v.Now.Total.Mem)))})
	}
	level := func(m agent.Moment) float64 {
		return float64(slices.IndexFunc(levels, func(l qos.Level) bool { return l.String() == m.Level }))
	}
	rows = append(rows, []string{"  QoS level", draw(level, float64(len(levels)-1)), cmp.Or(v.Now.Level, "-")})
	violations, so := increments(columns, func(m agent.Moment) uint64 { return m.Violations })
	rows = append(rows, []string{"  violations", violations, so})
	corrected, so := increments(columns, func(m agent.Moment) uint64 { return m.Corrections })
	rows = append(rows, []string{"  corrections", corrected, so})
	out.columns(rows)
}

// levels of protection, from none.
var levels = []qos.Level{qos.Calm, qos.Limited, qos.Tightened, qos.Freezing}

// increments draws by how much a counter grew in each column, and says in all.
func increments(columns []*agent.Moment, of func(agent.Moment) uint64) (drawn, all string) {
	grown := make([]float64, len(columns))
	var last *agent.Moment
	most, sum := 0., 0.
	for i, m := range columns {
		if m == nil {
			continue
		}
		if last != nil && of(*m) > of(*last) { // it begins anew with the daemon
			grown[i] = float64(of(*m) - of(*last))
		}
		last, most, sum = m, max(most, grown[i]), sum+grown[i]
	}
	var b strings.Builder
	for i, m := range columns {
		b.WriteRune(bar(m, func(agent.Moment) float64 { return grown[i] }, most))
	}
	return b.String(), fmt.Sprintf("%.0f", sum)
}

// bar is one column: · nobody looked, then from nothing to all.
func bar(m *agent.Moment, of func(agent.Moment) float64, scale float64) rune {
	if m == nil {
		return '·'
	}
	bars := []rune(" ▁▂▃▄▅▆▇█")
	x := of(*m)
	if !(x > 0) || !(scale > 0) {
		return bars[0]
	}
	return bars[min(1+int(x/scale*float64(len(bars)-1)), len(bars)-1)]
}

// corrections shows the latest of all nodes.
func corrections(out *printer, views []node.OversubscriptionView) {
	type at struct {
		node string
		agent.Correction
	}
	var all []at
	for _, v := range views {
		for _, c := range v.Corrections {
			all = append(all, at{v.Node, c})
		}
	}
	slices.SortStableFunc(all, func(a, b at) int { return a.At.Compare(b.At) })
	all = all[max(0, len(all)-20):]
	if len(all) == 0 {
		return
	}
	var rows [][]string
	for _, c := range all {
		rows = append(rows, []string{c.At.Local().Format(time.TimeOnly), c.node, c.Action, c.TaskID, c.Reason})
	}
	out.line("")
	out.table([]string{"TIME", "NODE", "CORRECTION", "TASK", "REASON"}, rows)
}

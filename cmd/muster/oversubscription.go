package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"muster/node"
	"muster/node/agent"
)

func oversubscriptionCommand() *cobra.Command {
	c := askCommandArgs("oversubscription [NODE]", "Show what nodes lend of what their tasks do not use, and what was done to those who borrow it")
	c.Args = cobra.MaximumNArgs(1)
	c.RunE = func(c *cobra.Command, args []string) error {
		nodes, err := connect(c)
		if err != nil {
			return err
		}
		only := strings.Join(args, "")
		views, silent, err := askEach[node.OversubscriptionView](c, nodes, only, "/muster/v1/oversubscription")
		if err != nil {
			return explain(err, nodes)
		}
		return show(c, views, func(out *printer) {
			var rows [][]string
			for _, v := range views {
				rows = append(rows, lendingRow(v))
			}
			out.table([]string{"NODE", "CPUS", "ALLOCATED", "USED", "PEAK", "LENT", "BORROWED", "USED", "MEM LENT", "QOS", "SUFFERED", "MISSED"}, rows)
			corrections(out, views)
			if len(silent) > 0 {
				out.line("\nNot asked, because their API listens on their own loopback: %s.", strings.Join(silent, ", "))
			}
		})
	}
	return c
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
	return []string{
		v.Node, f(n.Total.CPUs), f(n.Allocated.CPUs), f(n.Used.CPUs), f(n.Predicted.CPUs), f(n.Lent.CPUs), f(n.Borrowed.CPUs), f(n.RevocableUsed.CPUs),
		humanize.IBytes(uint64(n.Lent.Mem)), state, fmt.Sprintf("%d×", v.Violations.Count), fmt.Sprintf("%.1f%%", missed),
	}
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

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// addOutput adds -o to a command.
func addOutput(c *cobra.Command) {
	c.Flags().StringP("output", "o", "table", "table or json")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

// show prints v as JSON, or what table prints for people.
func show(c *cobra.Command, v any, table func(*printer)) error {
	format, err := c.Flags().GetString("output")
	if err != nil {
		return err
	}
	switch format {
	case "json":
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(v)
	case "table":
		p := &printer{w: c.OutOrStdout()}
		table(p)
		return p.err
	}
	return fmt.Errorf("output: %q is neither table nor json", format)
}

// printer writes for people and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// table prints aligned columns below their heads.
func (p *printer) table(head []string, rows [][]string) { p.columns(append([][]string{head}, rows...)) }

// columns prints aligned columns.
func (p *printer) columns(rows [][]string) {
	if p.err != nil {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	p.err = t.Flush()
}

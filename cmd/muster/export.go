package main

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"muster/node"
	"muster/node/client"
	"muster/telemetry"
)

// export is what `muster usage export` was asked for.
type export struct {
	nodes []string
	file  string
}

func usageExportCommand() *cobra.Command {
	var e export
	c := &cobra.Command{
		Use: "export", Short: "Write what tasks used over the last day, as CSV", Args: cobra.NoArgs,
		Long: `Writes what the tasks of the nodes used in each five minutes of the last day, with
what they were allocated: those that run, and those that ended. Revocable tasks are
left out. The format is the one that

  muster simulate oversubscription --trace FILE

reads, which then tells what oversubscription would have freed on these nodes.`,
		Example: `  muster usage export -o usage.csv.gz
  muster usage export --node rack1-a --node rack1-b > usage.csv`,
		RunE: func(c *cobra.Command, _ []string) error {
			nodes, err := connect(c)
			if err != nil {
				return err
			}
			return explain(e.write(c, nodes), nodes)
		},
	}
	c.Flags().StringSliceVar(&e.nodes, "node", nil, "node to ask, by name or peer ID; may be repeated (default: all that answer)")
	c.Flags().StringVarP(&e.file, "output", "o", "-", "file to write, compressed if its name ends with .gz; - is standard output")
	_ = c.MarkFlagFilename("output") // the flag exists
	addAPI(c)
	return c
}

// write asks one node after the other. A file appears under its name when all of
// it is there.
func (e *export) write(c *cobra.Command, nodes *client.Client) (err error) {
	from, err := e.sources(c, nodes)
	if err != nil {
		return err
	}
	if e.file == "-" {
		return e.copy(c, nodes, from, c.OutOrStdout())
	}
	f, err := os.CreateTemp(filepath.Dir(e.file), "."+filepath.Base(e.file)+"-*")
	if err != nil {
		return fmt.Errorf("output: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	var out io.WriteCloser = f
	if strings.HasSuffix(e.file, ".gz") {
		out = gzip.NewWriter(f)
	}
	err = e.copy(c, nodes, from, out)
	if out != f {
		err = errors.Join(err, out.Close())
	}
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), e.file)
}

// source is a node that is asked; one of all may be away.
type source struct {
	name, peer string
	mayMiss    bool
}

func (e *export) sources(c *cobra.Command, nodes *client.Client) (out []source, err error) {
	for _, name := range e.nodes {
		out = append(out, source{name: name, peer: name})
	}
	if len(out) > 0 {
		return out, nil
	}
	var members node.NodesView
	if err := nodes.GetJSON(c.Context(), "/muster/v1/nodes", &members); err != nil {
		return nil, err
	}
	for _, n := range members.Nodes {
		out = append(out, source{n.Name, string(n.Peer), true})
	}
	return out, nil
}

func (e *export) copy(c *cobra.Command, nodes *client.Client, from []source, to io.Writer) error {
	out := bufio.NewWriter(to)
	p := &progress{to: c.ErrOrStderr(), told: time.Now()}
	for _, s := range from {
		if err := p.node(c.Context(), nodes, s, out); err != nil {
			return errors.Join(err, out.Flush())
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if p.samples == 0 {
		return errors.New("no node has a history: no task has run lately where one answers")
	}
	fmt.Fprintf(p.to, "%d samples of %d tasks on %d nodes\n", p.samples, p.tasks, p.nodes)
	return nil
}

// progress counts what is exported and says how far it has come.
type progress struct {
	to             io.Writer
	told           time.Time
	tasks, samples int
	nodes          int // that have a history
}

const progressEvery = 2 * time.Second

// node copies the lines of one node; the header comes before the first of all.
func (p *progress) node(ctx context.Context, nodes *client.Client, s source, out *bufio.Writer) error {
	body, err := nodes.Download(ctx, ofNode("/muster/v1/usage/history", s.peer, nil))
	var status *client.StatusError
	if s.mayMiss && errors.As(err, &status) && status.Code == http.StatusServiceUnavailable {
		fmt.Fprintf(p.to, "muster: left out: %s\n", status.Text)
		return nil
	}
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	last, before := "", p.samples
	for n := 0; lines.Scan(); n++ {
		text := lines.Text()
		if n == 0 {
			if text != strings.Join(telemetry.CSVHeader, ",") {
				return fmt.Errorf("node %s answers in another format, %q: its version is not this one", s.name, text)
			}
			continue
		}
		if p.samples == 0 {
			_, _ = fmt.Fprintln(out, strings.Join(telemetry.CSVHeader, ",")) // out keeps its first error
		}
		if _, err := fmt.Fprintln(out, text); err != nil {
			return err
		}
		p.samples++
		if task, _, _ := strings.Cut(text, ","); task != last {
			last = task
			p.tasks++
		}
		if time.Since(p.told) >= progressEvery {
			p.told = time.Now()
			fmt.Fprintf(p.to, "%d samples of %d tasks so far\n", p.samples, p.tasks)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("node %s: its history ends in the middle: %w", s.name, cmp.Or(context.Cause(ctx), err))
	}
	if p.samples == before {
		fmt.Fprintf(p.to, "muster: node %s has no history: no task has run there lately\n", s.name)
		return nil
	}
	p.nodes++
	return nil
}

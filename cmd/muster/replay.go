package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"muster/node/recording"
	"muster/offers"
	"muster/offers/record"
)

func replayCommand() *cobra.Command {
	var o replayOptions
	c := &cobra.Command{
		Use: "replay FILE", Short: "Decide again what a recording tells of", GroupID: "node", Args: one("recording"),
		Long: `Reads a recording that a daemon with --record DIR has made of one leadership,
gives its inputs to a master in this process, and prints each with what it led to.
What was decided is compared with what was decided then: the first step that
differs ends the replay, with exit code 1. Nothing else happens: no node is asked.

FILE is the first part, which ends with .000.rec; others beside it are found. A
recording that was cut short, as by kill -9, is replayed to its last whole step.`,
		Example: `  muster replay 20261124T063012-term-3-1b9d6bcd.000.rec
  muster replay FILE --verify
  muster replay FILE --until 1200 -o json | tail -1`,
		RunE: func(c *cobra.Command, args []string) error { return o.replay(c, args[0]) },
	}
	c.Flags().BoolVar(&o.verify, "verify", false, "print only whether all was decided as recorded")
	c.Flags().Uint64Var(&o.until, "until", 0, "stop after step N (default: at the end)")
	c.Flags().StringVar(&o.effects, "effects", "", "file for the bytes of all effects, to compare replays")
	_ = c.MarkFlagFilename("effects") // the flag exists
	addOutput(c)
	return c
}

// replayOptions is what `muster replay` was asked for.
type replayOptions struct {
	verify  bool
	until   uint64
	effects string
}

// replaySummary is what a replay came to.
type replaySummary struct {
	Recorded   string    `json:"recorded_by"` // version
	MasterID   string    `json:"master_id"`
	Began      time.Time `json:"began"`
	Steps      uint64    `json:"steps"`
	Effects    uint64    `json:"effects"`
	Checked    uint64    `json:"checked"` // steps whose effects the recording tells of
	End        string    `json:"end"`     // why there is no more
	Truncated  bool      `json:"truncated"`
	Difference string    `json:"difference,omitempty"`
}

func (o replayOptions) replay(c *cobra.Command, file string) (err error) {
	r, err := recording.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	re, err := offers.NewReplay(r.Header)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if v := r.Header.GetVersion(); v != version {
		fmt.Fprintf(c.ErrOrStderr(), "muster: recorded by version %s, replayed by %s: what differs may do so because of that\n", v, version)
	}
	out, err := newTrace(c, o, re.Began())
	if err != nil {
		return err
	}
	sum := replaySummary{Recorded: r.Header.GetVersion(), MasterID: r.Header.GetMasterId(), Began: re.Began()}
	failed := o.steps(r, re, out, &sum)
	if err := errors.Join(out.summary(&sum), out.close()); err != nil {
		return err
	}
	return failed
}

// steps replays until there is no more to replay; its error is why that is wrong.
func (o replayOptions) steps(r *recording.Reader, re *offers.Replay, out *trace, sum *replaySummary) error {
	for o.until == 0 || sum.Steps < o.until {
		s, err := r.Next()
		switch {
		case errors.Is(err, io.EOF) && r.End == nil:
			sum.Truncated, sum.End = true, "it has no end: its daemon was killed, or records it still"
			return nil
		case errors.Is(err, io.EOF):
			sum.End = r.End.GetReason()
			return nil
		case errors.Is(err, record.ErrTruncated):
			sum.Truncated, sum.End = true, err.Error()
			return nil
		case err != nil:
			sum.End = err.Error()
			return err
		}
		p, err := re.Step(s)
		if p.Number == 0 { // nothing was done
			sum.End = err.Error()
			return err
		}
		sum.Steps, sum.Effects = p.Number, sum.Effects+uint64(len(p.Effects))
		if p.Checked {
			sum.Checked++
		}
		if werr := out.step(p, re.EffectBytes()); werr != nil {
			return werr
		}
		if err != nil {
			sum.Difference, sum.End = err.Error(), "a difference"
			return err
		}
	}
	sum.End = fmt.Sprintf("asked to stop after step %d", o.until)
	return nil
}

// trace prints what is replayed.
type trace struct {
	out      *bufio.Writer
	json     bool
	quiet    bool
	describe offers.Describer
	file     *os.File // of the effects; nil for none
	effects  *bufio.Writer
}

func newTrace(c *cobra.Command, o replayOptions, began time.Time) (*trace, error) {
	format, err := c.Flags().GetString("output")
	if err != nil {
		return nil, err
	}
	if format != "table" && format != "json" {
		return nil, fmt.Errorf("output: %q is neither table nor json", format)
	}
	t := &trace{out: bufio.NewWriter(c.OutOrStdout()), json: format == "json", quiet: o.verify, describe: offers.Describer{Since: began}}
	if o.effects != "" {
		if t.file, err = os.Create(o.effects); err != nil {
			return nil, fmt.Errorf("effects: %w", err)
		}
		t.effects = bufio.NewWriter(t.file)
	}
	return t, nil
}

// tracedStep is one step as a line of JSON.
type tracedStep struct {
	Step    uint64    `json:"step"`
	Time    time.Time `json:"time"`
	Input   string    `json:"input"`
	Effects []string  `json:"effects"`
	Panic   string    `json:"panic,omitempty"`
	Checked bool      `json:"checked"`
}

func (t *trace) step(p offers.Played, effects []byte) error {
	if t.effects != nil {
		if _, err := t.effects.Write(effects); err != nil {
			return fmt.Errorf("effects: %w", err)
		}
	}
	if t.quiet {
		return nil
	}
	line := tracedStep{Step: p.Number, Time: p.Now.UTC(), Input: t.describe.Input(p.Input), Effects: []string{}, Checked: p.Checked}
	for _, e := range p.Effects {
		line.Effects = append(line.Effects, t.describe.Effect(e))
	}
	if p.Panic != nil {
		line.Panic = fmt.Sprint(p.Panic)
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(line)
	}
	_, err := fmt.Fprintf(t.out, "%d +%v %s\n", line.Step, p.Now.Sub(t.describe.Since).Round(time.Microsecond), line.Input)
	if p.Panic != nil {
		fmt.Fprintf(t.out, "    PANIC %s\n", line.Panic)
	}
	for _, text := range line.Effects {
		_, err = fmt.Fprintf(t.out, "    %s\n", text)
	}
	return err
}

func (t *trace) summary(s *replaySummary) error {
	if t.json {
		return json.NewEncoder(t.out).Encode(s)
	}
	verdict := "all as recorded"
	switch {
	case s.Difference != "":
		verdict = "the last one differs"
	case s.Checked == 0:
		verdict = "none could be checked"
	}
	_, err := fmt.Fprintf(t.out, "%d steps with %d effects replayed, %d of them checked: %s. End: %s\n", s.Steps, s.Effects, s.Checked, verdict, s.End)
	return err
}

func (t *trace) close() error {
	err := t.out.Flush()
	if t.effects != nil {
		err = errors.Join(err, t.effects.Flush(), t.file.Close())
	}
	return err
}

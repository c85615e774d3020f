package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// benchmark is a Go benchmark of a part that a row tells of.
type benchmark struct {
	dir, name string
	unit      string  // of the figure that is taken, as the benchmark prints it
	scale     float64 // from that unit to the row's [1]
	time      string  // -benchtime [1s]
	count     int
	oneCore   bool
}

func (b benchmark) measure(ctx context.Context, m *machine) (outcome, error) {
	var patterns []string
	for part := range strings.SplitSeq(b.name, "/") {
		patterns = append(patterns, "^"+regexp.QuoteMeta(part)+"$")
	}
	// On an interrupt it is let finish: only at its end does it clean up.
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), rowPatience)
	defer cancel()
	cmd := exec.CommandContext(whole, "go", "test", "-run", "^$", "-bench", strings.Join(patterns, "/"), "-benchtime", cmp.Or(b.time, "1s"),
		"-count", strconv.Itoa(b.count), b.dir)
	cmd.Env = os.Environ()
	if b.oneCore {
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1") // go build in it is slower, which is not measured
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with go test's child, and without Ctrl-C
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return outcome{}, context.Cause(ctx)
	}
	if err != nil {
		return outcome{}, fmt.Errorf("%s: %w:\n%s", b.name, err, strings.TrimSpace(out.String()))
	}
	samples, err := b.figures(out.String())
	if err != nil {
		return outcome{}, err
	}
	return outcome{samples: samples}, nil
}

// figures reads what `go test -bench` prints.
func (b benchmark) figures(text string) ([]float64, error) {
	named := regexp.MustCompile("^" + regexp.QuoteMeta(b.name) + `(-\d+)?$`) // with the number of CPUs, unless it is one
	var out []float64
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || !named.MatchString(f[0]) {
			continue
		}
		for i := 2; i+1 < len(f); i += 2 {
			if f[i+1] != b.unit {
				continue
			}
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w in %q", b.name, err, line)
			}
			out = append(out, v*cmp.Or(b.scale, 1))
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	if strings.Contains(text, "--- SKIP") {
		return nil, cannot("%s", reason(text))
	}
	return nil, fmt.Errorf("%s printed no %s:\n%s", b.name, b.unit, strings.TrimSpace(text))
}

// reason is what a skipped benchmark says for itself.
func reason(text string) string {
	_, after, _ := strings.Cut(text, "--- SKIP")
	lines := strings.Split(after, "\n")
	if len(lines) < 2 {
		return "its benchmark is skipped"
	}
	return strings.TrimSpace(lines[1])
}

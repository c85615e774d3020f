package qos

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite what the scenarios expect")

// TestScenarios plays testdata/*.txt: see its README.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}

// machine is what a scenario has described.
type machine struct {
	look    Look
	demand  map[string]float64 // CPUs that a revocable task would keep busy
	c       *Controller
	targets map[string]Target
	out     strings.Builder
}

func play(t *testing.T, text string) string {
	m := &machine{c: New(Config{}), demand: map[string]float64{}, targets: map[string]Target{}}
	m.look.Window = 100 * time.Millisecond
	for scan := bufio.NewScanner(strings.NewReader(text)); scan.Scan(); {
		line := scan.Text()
		if strings.HasPrefix(line, ">") || strings.HasPrefix(line, "#") || line == "" {
			fmt.Fprintln(&m.out, line)
		}
		if cmd, ok := strings.CutPrefix(line, "> "); ok {
			if err := m.do(strings.Fields(cmd)); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
	}
	return m.out.String()
}

// do one command.
func (m *machine) do(f []string) error {
	args := map[string]float64{}
	rest := f[1:]
	name := ""
	if slices.Contains([]string{"firm", "revocable", "gone"}, f[0]) {
		name, rest = f[1], f[2:]
	}
	for i := 0; i+1 < len(rest); i += 2 {
		v, err := strconv.ParseFloat(rest[i+1], 64)
		if err != nil {
			return err
		}
		args[rest[i]] = v
	}
	switch f[0] {
	case "machine":
		set(args, "cpus", &m.look.Capacity)
		set(args, "system", &m.look.System)
		setMB(args, "mem", &m.look.MemTotal)
		setMB(args, "used", &m.look.MemUsed)
	case "firm":
		i := slices.IndexFunc(m.look.Firm, func(x Firm) bool { return x.ID == name })
		if i < 0 {
			m.look.Firm, i = append(m.look.Firm, Firm{ID: name}), len(m.look.Firm)
		}
		set(args, "cpus", &m.look.Firm[i].CPUs)
		if v, ok := args["waits"]; ok {
			m.look.Firm[i].Waited = time.Duration(v * float64(time.Millisecond))
		}
	case "revocable":
		i := slices.IndexFunc(m.look.Revocable, func(x Revocable) bool { return x.ID == name })
		if i < 0 {
			i = len(m.look.Revocable)
			m.look.Revocable = append(m.look.Revocable, Revocable{ID: name, Order: uint64(i + 1)})
		}
		r := &m.look.Revocable[i]
		set(args, "request", &r.Request)
		setMB(args, "mem", &r.Mem)
		if v, ok := args["wants"]; ok {
			m.demand[name] = v
		}
	case "gone":
		m.remove(name)
	case "pass":
		d, err := time.ParseDuration(f[1])
		m.look.At += d
		return err
	case "back":
		d, err := time.ParseDuration(f[1])
		m.look.At -= d
		return err
	case "run":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			return err
		}
		for end := m.look.At + d; m.look.At < end; {
			m.window()
		}
		m.status()
	default:
		return fmt.Errorf("unknown command %q", f[0])
	}
	return nil
}

func set(args map[string]float64, key string, to *float64) {
	if v, ok := args[key]; ok {
		*to = v
	}
}

func setMB(args map[string]float64, key string, to *uint64) {
	if v, ok := args[key]; ok {
		*to = uint64(v) << 20
	}
}

func (m *machine) remove(name string) {
	m.look.Revocable = slices.DeleteFunc(m.look.Revocable, func(r Revocable) bool { return r.ID == name })
	m.look.Firm = slices.DeleteFunc(m.look.Firm, func(r Firm) bool { return r.ID == name })
}

// window passes one window, in which the revocable tasks do what they were told.
func (m *machine) window() {
	m.look.At += m.look.Window
	for i := range m.look.Revocable {
		r := &m.look.Revocable[i]
		r.CPUs = m.demand[r.ID]
		if t, ok := m.targets[r.ID]; ok {
			r.CPUs = min(r.CPUs, t.CPUs)
			if t.Frozen {
				r.CPUs = 0
			}
		}
	}
	d := m.c.Step(m.look)
	for _, a := range d.Actions {
		fmt.Fprintf(&m.out, "%6s %s", m.look.At.Round(time.Millisecond), a.Kind)
		if a.Task != "" {
			fmt.Fprintf(&m.out, " %s", a.Task)
		}
		fmt.Fprintf(&m.out, ": %s\n", a.Reason)
	}
	clear(m.targets)
	for _, t := range d.Targets {
		m.targets[t.ID] = t
		if t.Evict {
			for _, r := range m.look.Revocable {
				if r.ID == t.ID {
					m.look.MemUsed -= min(m.look.MemUsed, r.Mem)
				}
			}
			m.remove(t.ID)
		}
	}
}

func (m *machine) status() {
	fmt.Fprintf(&m.out, "%6s %s, quota %s", m.look.At.Round(time.Millisecond), m.c.level, cpus(m.c.quota))
	if m.c.withhold || m.c.memory.high {
		fmt.Fprint(&m.out, ", offers withheld")
	}
	for _, r := range m.look.Revocable {
		t := m.targets[r.ID]
		fmt.Fprintf(&m.out, "; %s %s", r.ID, cpus(t.CPUs))
		if t.Frozen {
			fmt.Fprint(&m.out, " frozen")
		}
	}
	fmt.Fprintln(&m.out)
}

func cpus(v float64) string {
	if math.IsInf(v, 1) {
		return "none"
	}
	return fmt.Sprintf("%.2f", v)
}

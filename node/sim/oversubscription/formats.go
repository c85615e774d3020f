package oversubscription

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"muster/telemetry/estimate"
)

// maxLine bounds one line of a file: a year in steps of 5 minutes fits.
const maxLine = 1 << 20

// Read reads traces from files, gzip'd or not, and finds out their formats. Two
// files of the same VMs, one of CPU and one of memory, make one trace.
func Read(names []string) ([]*Trace, error) {
	var out []*Trace
	for _, name := range names {
		t, err := readFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if twin := slices.IndexFunc(out, func(o *Trace) bool { return complements(o, t) }); twin >= 0 {
			join(out[twin], t)
			continue
		}
		out = append(out, t)
	}
	for _, t := range out {
		if slices.Equal(t.Kinds, []estimate.Kind{estimate.Mem}) && t.Name == bitbrains {
			return nil, fmt.Errorf("%s: this is memory alone: name the file of the same VMs' CPU too", t.Files[0].Name)
		}
	}
	return out, nil
}

const bitbrains = "bitbrains"

func readFile(name string) (*Trace, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	t, err := read(io.TeeReader(f, sum))
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(sum, f); err != nil { // what the reader left
		return nil, err
	}
	t.Files = []File{{filepath.Base(name), hex.EncodeToString(sum.Sum(nil))}}
	return t, nil
}

// read reads one file in whatever format it is.
func read(r io.Reader) (*Trace, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, err
		}
		b = bufio.NewReaderSize(z, 64<<10)
	}
	first, err := b.Peek(64)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if strings.HasPrefix(string(first), "task,") {
		return readCSV(b)
	}
	return readSeries(b)
}

// format is one of the published ones: a task a line, `;` between fields, the
// last of which is its series.
type format struct {
	name      string
	fits      func(f []string) bool
	task      func(f []string) (Task, float64, error) // with what to multiply values by
	kind      estimate.Kind
	synthetic []string
}

var formats = []format{
	{
		name: bitbrains, kind: estimate.CPU, // vm;cores;capacity_MHz;permille
		fits: func(f []string) bool { return len(f) == 4 },
		task: func(f []string) (Task, float64, error) {
			cores, err := amount(f[1])
			return Task{Name: f[0], Limit: estimate.Amounts{estimate.CPU: cores}}, cores / 1000, err
		},
	}, {
		name: bitbrains, kind: estimate.Mem, // vm;capacity_MB;percent
		fits: func(f []string) bool { return len(f) == 3 && !isDay(f[0]) },
		task: func(f []string) (Task, float64, error) {
			mb, err := amount(f[1])
			return Task{Name: f[0], Limit: estimate.Amounts{estimate.Mem: mb * 1e6}}, mb * 1e4, err
		},
	}, {
		name: "planetlab", kind: estimate.CPU, // day;vm;percent
		fits: func(f []string) bool { return len(f) == 3 && isDay(f[0]) },
		task: func(f []string) (Task, float64, error) {
			return Task{Name: f[0] + "/" + f[1], Limit: estimate.Amounts{estimate.CPU: 1}}, 0.01, nil
		},
		synthetic: []string{"a limit of 1 CPU each", "the days follow each other, each VM-day at an hour of its own"},
	}, {
		name: "azure", kind: estimate.CPU, // vm;permille
		fits: func(f []string) bool { return len(f) == 2 },
		task: func(f []string) (Task, float64, error) {
			cores := azureCores(f[0])
			return Task{Name: f[0], Limit: estimate.Amounts{estimate.CPU: cores}}, cores / 1000, nil
		},
		synthetic: []string{"1 to 8 cores each"},
	},
}

// isDay tells a date such as 20110303 from a VM's number.
func isDay(s string) bool {
	_, err := time.Parse("20060102", s)
	return err == nil
}

// azureCores makes up a VM's cores from its name.
func azureCores(vm string) float64 {
	h := fnv.New64a()
	h.Write([]byte(vm)) // never fails
	return []float64{1, 2, 2, 4, 4, 8}[rand.New(rand.NewPCG(h.Sum64(), 0)).IntN(6)]
}

func amount(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v > 0 && v < 1e15) {
		return 0, fmt.Errorf("%q is not an amount above 0", s)
	}
	return v, nil
}

func readSeries(r io.Reader) (*Trace, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var t *Trace
	var of *format
	days := map[string]int{}
	for n := 1; lines.Scan(); n++ {
		f := strings.Split(lines.Text(), ";")
		if of == nil {
			i := slices.IndexFunc(formats, func(g format) bool { return g.fits(f) })
			if i < 0 {
				return nil, fmt.Errorf("line %d: %d fields between semicolons fit no known format, and the first line is not a CSV header that begins with task,", n, len(f))
			}
			of = &formats[i]
			t = &Trace{Name: of.name, Step: 5 * time.Minute, Kinds: []estimate.Kind{of.kind}, Synthetic: of.synthetic}
		}
		if !of.fits(f) {
			return nil, fmt.Errorf("line %d: not in the format of the first line", n)
		}
		task, scale, err := of.task(f)
		if err == nil {
			task.Used[of.kind], err = series(f[len(f)-1], scale)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if isDay(f[0]) {
			if _, ok := days[f[0]]; !ok {
				days[f[0]] = len(days)
			}
			task.Start = days[f[0]]*288 + startOf(task.Name)
		}
		t.Tasks = append(t.Tasks, task)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errors.New("empty")
	}
	return t, nil
}

// startOf makes up at which step of a day a VM-day begins.
func startOf(name string) int {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(h.Sum64(), 1)).IntN(288)
}

func series(text string, scale float64) ([]float32, error) {
	values := strings.Split(text, ",")
	out := make([]float32, len(values))
	for i, s := range values {
		if s == "" {
			out[i] = missing
			continue
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !(v >= 0 && v < 1e9) {
			return nil, fmt.Errorf("value %d: %q is not a use of 0 or more", i+1, s)
		}
		out[i] = float32(v * scale)
	}
	return out, nil
}

// complements tells whether two traces are of the same VMs and of different
// resources.
func complements(a, b *Trace) bool {
	return a.Name == bitbrains && b.Name == bitbrains && len(a.Kinds) == 1 && len(b.Kinds) == 1 && a.Kinds[0] != b.Kinds[0] &&
		slices.EqualFunc(a.Tasks, b.Tasks, func(x, y Task) bool { return x.Name == y.Name && x.Len() == y.Len() })
}

func join(a, b *Trace) {
	k := b.Kinds[0]
	for i := range a.Tasks {
		a.Tasks[i].Used[k], a.Tasks[i].Limit[k] = b.Tasks[i].Used[k], b.Tasks[i].Limit[k]
	}
	a.Kinds = []estimate.Kind{estimate.CPU, estimate.Mem}
	a.Files = append(a.Files, b.Files...)
}

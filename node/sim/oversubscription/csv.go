package oversubscription

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"muster/telemetry/estimate"
)

// Bounds of a user's file.
const (
	csvStep  = 5 * time.Minute
	maxSteps = 366 * 24 * 12 // a year
	maxCells = 1 << 28       // values of all tasks
)

// columns of a user's file, by the resource they tell of.
var usedColumns = [estimate.Kinds]string{"cpu_used", "mem_used"}
var limitColumns = [estimate.Kinds]string{"cpu_limit", "mem_limit"}

// csvReader reads a user's file: a header, then one sample a line, of any task.
// Samples within five minutes are averaged.
type csvReader struct {
	rows    *csv.Reader
	columns map[string]int
	kinds   []estimate.Kind
	tasks   map[string]*csvTask
	order   []*csvTask
	cells   int
	utc     bool // times are dates, not seconds
	first   int64
}

type csvTask struct {
	name  string
	node  string
	start int64 // first slot
	limit estimate.Amounts
	sum   [estimate.Kinds][]float64
	count [estimate.Kinds][]int32
}

func readCSV(r io.Reader) (*Trace, error) {
	c := &csvReader{rows: csv.NewReader(r), columns: map[string]int{}, tasks: map[string]*csvTask{}, first: math.MaxInt64}
	c.rows.ReuseRecord = true
	c.rows.TrimLeadingSpace = true
	if err := c.header(); err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	for n := 0; ; n++ {
		f, err := c.rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err // names the line
		}
		if n == 0 {
			_, err := strconv.ParseFloat(f[c.columns["time"]], 64)
			c.utc = err != nil
		}
		if err := c.sample(f); err != nil {
			line, _ := c.rows.FieldPos(0)
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	if len(c.order) == 0 {
		return nil, errors.New("no samples below the header")
	}
	return c.trace(), nil
}

func (c *csvReader) header() error {
	head, err := c.rows.Read()
	if err != nil {
		return err
	}
	for i, name := range head {
		name = strings.TrimSpace(name)
		if _, twice := c.columns[name]; twice {
			return fmt.Errorf("column %q is there twice", name)
		}
		c.columns[name] = i
	}
	if _, ok := c.columns["time"]; !ok {
		return errors.New("no column time")
	}
	for k := range estimate.Kinds {
		_, used := c.columns[usedColumns[k]]
		_, limit := c.columns[limitColumns[k]]
		switch {
		case used && limit:
			c.kinds = append(c.kinds, k)
		case used:
			return fmt.Errorf("column %s without %s", usedColumns[k], limitColumns[k])
		case limit:
			return fmt.Errorf("column %s without %s", limitColumns[k], usedColumns[k])
		}
	}
	if !slices.Contains(c.kinds, estimate.CPU) {
		return errors.New("no columns cpu_used and cpu_limit: machines are filled by what is allocated of their CPUs")
	}
	return nil
}

func (c *csvReader) sample(f []string) error {
	slot, err := c.slot(f[c.columns["time"]])
	if err != nil {
		return err
	}
	name := f[c.columns["task"]]
	if name == "" {
		return errors.New("task: empty")
	}
	t := c.tasks[name]
	if t == nil {
		name = strings.Clone(name)
		t = &csvTask{name: name, start: slot}
		if at, ok := c.columns["node"]; ok {
			t.node = strings.Clone(f[at])
		}
		c.tasks[name] = t
		c.order = append(c.order, t)
	}
	at := slot - t.start
	if length := int64(len(t.sum[c.kinds[0]])); at < 0 || at < length-1 {
		return fmt.Errorf("time %q: task %q has a later sample above; its samples must be in the order of time", f[c.columns["time"]], name)
	} else if c.cells += int(max(0, at+1-length)); at >= maxSteps || c.cells > maxCells {
		return fmt.Errorf("time %q: more than a year of task %q, or more than %d values", f[c.columns["time"]], name, maxCells)
	}
	c.first = min(c.first, slot)
	for _, k := range c.kinds {
		for int64(len(t.sum[k])) <= at {
			t.sum[k], t.count[k] = append(t.sum[k], 0), append(t.count[k], 0)
		}
		if err := t.add(f[c.columns[usedColumns[k]]], f[c.columns[limitColumns[k]]], k, at); err != nil {
			return err
		}
	}
	return nil
}

// add takes one resource's use and limit; a use that is empty was not measured.
func (t *csvTask) add(used, limit string, k estimate.Kind, at int64) error {
	if used != "" {
		v, err := strconv.ParseFloat(used, 64)
		if err != nil || !(v >= 0 && v < 1e18) {
			return fmt.Errorf("%s: %q is not an amount of 0 or more", usedColumns[k], used)
		}
		t.sum[k][at] += v
		t.count[k][at]++
	}
	if limit != "" {
		v, err := strconv.ParseFloat(limit, 64)
		if err != nil || !(v >= 0 && v < 1e18) {
			return fmt.Errorf("%s: %q is not an amount of 0 or more", limitColumns[k], limit)
		}
		t.limit[k] = max(t.limit[k], v)
	}
	return nil
}

// slot is which five minutes a time falls into.
func (c *csvReader) slot(text string) (int64, error) {
	if c.utc {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return 0, fmt.Errorf("time: %q is neither a number of seconds nor like 2006-01-02T15:04:05Z, as the first", text)
		}
		return at.Unix() / int64(csvStep/time.Second), nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v < 1e12) {
		return 0, fmt.Errorf("time: %q is not a number of seconds of 0 or more", text)
	}
	return int64(v / csvStep.Seconds()), nil
}

func (c *csvReader) trace() *Trace {
	out := &Trace{Name: "csv", Step: csvStep, Kinds: c.kinds}
	for _, t := range c.order {
		task := Task{Name: t.name, Node: t.node, Start: int(t.start - c.first), Limit: t.limit}
		for _, k := range c.kinds {
			task.Used[k] = make([]float32, len(t.sum[k]))
			for i, n := range t.count[k] {
				task.Used[k][i] = missing
				if n > 0 {
					task.Used[k][i] = float32(t.sum[k][i] / float64(n))
				}
			}
		}
		out.Tasks = append(out.Tasks, task)
	}
	return out
}

package telemetry

import (
	"encoding/csv"
	"io"
	"strconv"
	"time"
)

// CSVHeader is the first line of what WriteCSV's lines belong below: the format
// that `muster simulate oversubscription` reads.
var CSVHeader = []string{"task", "node", "time", "cpu_used", "cpu_limit", "mem_used", "mem_limit"}

// WriteCSV writes what the tasks of a node used in each step, and the one under
// way: seconds since the epoch, CPUs and bytes. Revocable tasks are left out: what
// they were allocated is what others did not use. Writing does not hold up Observe.
func (h *History) WriteCSV(w io.Writer, node string) error {
	out := csv.NewWriter(w)
	if err := out.Write(CSVHeader); err != nil {
		return err
	}
	for r := range h.all() {
		if r.use.Revocable || r.use.CPUsLimit == 0 && r.use.MemLimit == 0 {
			continue
		}
		line := []string{r.use.Task + "/" + r.id, node, "", "", amount(r.use.CPUsLimit), "", whole(r.use.MemLimit)}
		for i, s := range append(r.day, r.now) {
			if !s.Seen {
				continue
			}
			at := r.last.Add(time.Duration(i-len(r.day)+1) * StepLen)
			line[2], line[3], line[5] = strconv.FormatInt(at.Unix(), 10), amount(float64(s.CPUs)), whole(float64(s.Mem))
			if err := out.Write(line); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func amount(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func whole(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

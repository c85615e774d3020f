package telemetry

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// saved is the first line of a file that holds a History; a savedTask follows on
// each. Fields are only added; a later version is not read.
type saved struct {
	Version int `json:"muster_usage_history"`
}

const historyVersion = 1

// savedTask is one task's day: steps as numbers, oldest first, in the units of
// Step; null where nobody looked.
type savedTask struct {
	ID    string        `json:"id"`
	Last  time.Time     `json:"last"` // when the last step began
	Use   Use           `json:"use"`
	Steps []*[4]float32 `json:"steps"`
	Ended bool          `json:"ended,omitempty"` // those that are come last, the one that ended first in front
}

// ErrHistoryVersion: the file was written by a later version.
var ErrHistoryVersion = errors.New("usage history of a later version")

// Save writes the days of all tasks to a file, whole or not at all. What came
// after the last complete step is not in it.
func (h *History) Save(path string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("save usage history: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("save usage history: %w", errors.Join(err, os.Remove(tmp.Name())))
		}
	}()
	out := bufio.NewWriter(tmp)
	lines := json.NewEncoder(out)
	err = lines.Encode(saved{historyVersion})
	for t := range h.all() {
		if err == nil {
			err = lines.Encode(t.saved())
		}
	}
	if err = errors.Join(err, out.Flush(), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// record is a task's day as it was when it was asked for.
type record struct {
	id    string
	use   Use
	last  time.Time // when the last step began
	day   []Step
	now   Step // the step under way
	ended bool
}

// all are the days of all tasks: those that run, by ID, then those that ended. The
// lock is held for one at a time.
func (h *History) all() iter.Seq[record] {
	return func(yield func(record) bool) {
		for _, id := range h.IDs() {
			h.mu.Lock()
			p, ok := h.tasks[id]
			var r record
			if ok {
				r = p.record(id)
			}
			h.mu.Unlock()
			if ok && !yield(r) {
				return
			}
		}
		h.mu.Lock()
		gone := slices.Clone(h.ended)
		h.mu.Unlock()
		for _, e := range gone { // which do not change any more
			r := e.record(e.id)
			r.ended = true
			if !yield(r) {
				return
			}
		}
	}
}

func (p *past) record(id string) record {
	return record{id: id, use: p.use, last: stepTime(p.step - 1), day: p.day.list(), now: p.sums.step()}
}

func (r record) saved() savedTask {
	t := savedTask{ID: r.id, Use: r.use, Last: r.last.UTC(), Ended: r.ended}
	for _, s := range r.day {
		if !s.Seen {
			t.Steps = append(t.Steps, nil)
			continue
		}
		t.Steps = append(t.Steps, &[4]float32{s.CPUs, s.CPUsMax, s.Mem, s.MemMax})
	}
	return t
}

// Load takes up what a file holds. One that does not exist holds nothing; a
// damaged line and what follows it is left out, with the error.
func (h *History) Load(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load usage history: %w", err)
	}
	defer f.Close()
	in := json.NewDecoder(bufio.NewReader(f))
	var head saved
	if err := in.Decode(&head); err != nil {
		return fmt.Errorf("load usage history: %w", err)
	}
	if head.Version != historyVersion {
		return fmt.Errorf("load usage history: version %d: %w", head.Version, ErrHistoryVersion)
	}
	for {
		var t savedTask
		switch err := in.Decode(&t); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("load usage history: %w", err)
		}
		h.take(t)
	}
}

func (h *History) take(t savedTask) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t.Use.clean()
	p := &past{use: t.Use, step: t.Last.UnixNano()/int64(StepLen) + 1}
	for _, s := range t.Steps[max(0, len(t.Steps)-steps):] {
		if s == nil || slices.Min(s[:]) < 0 {
			p.day.push(Step{}, steps)
		} else {
			p.day.push(Step{s[0], s[1], s[2], s[3], true}, steps)
		}
	}
	switch {
	case t.ID == "":
	case t.Ended:
		h.end(ended{t.ID, p})
	case h.tasks[t.ID] == nil && len(h.tasks) < h.max:
		h.tasks[t.ID] = p
	}
}

package telemetry

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	for _, id := range h.IDs() {
		if err == nil {
			err = lines.Encode(h.task(id))
		}
	}
	if err = errors.Join(err, out.Flush(), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

func (h *History) task(id string) savedTask {
	t := savedTask{ID: id}
	t.Use, _ = h.Latest(id)
	last, day := h.Steps(id)
	t.Last = last.UTC()
	for _, s := range day {
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
	if t.ID == "" || h.tasks[t.ID] != nil || len(h.tasks) >= h.max {
		return
	}
	p := &past{use: t.Use, step: t.Last.UnixNano()/int64(StepLen) + 1}
	for _, s := range t.Steps[max(0, len(t.Steps)-steps):] {
		if s == nil {
			p.day.push(Step{}, steps)
		} else {
			p.day.push(Step{s[0], s[1], s[2], s[3], true}, steps)
		}
	}
	h.tasks[t.ID] = p
}

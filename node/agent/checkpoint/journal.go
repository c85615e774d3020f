package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Config says where and how a journal is kept.
type Config struct {
	Dir   string
	Keep  int           // completed tasks that are remembered [200]
	Retry time.Duration // how soon a failed write is tried again [1s]
	// Wrap interposes on the file, for tests.
	Wrap func(File) File
}

// reserve is the disk space set aside for what must be written even when the
// disk is full: the end of tasks that run.
const reserve = 1 << 20

// compactAfter is how many bytes a journal grows beyond its last compaction before the next.
const compactAfter = 4 << 20

// ErrClosed: the journal was closed before the records were on disk.
var ErrClosed = errors.New("journal is closed")

// Journal writes records. Append and Try may be called by any goroutine; Run's
// goroutine owns the file.
type Journal struct {
	cfg   Config
	log   *slog.Logger
	path  string
	guard *os.File
	file  File
	image *State // what the file holds

	size      int64 // bytes that are good
	reserved  int64
	compacted int64 // size after the last compaction
	failing   error // of the last write

	mu     sync.Mutex
	queue  []entry
	closed bool
	wake   chan struct{} // holds a token while queue may be non-empty
}

// entry is what one Append or Try wants to be written together.
type entry struct {
	records []*Record
	done    func(error)
	try     bool
}

// Open reads the journal in cfg.Dir, or begins one, and returns what it holds.
// The State is the caller's own. Without Run nothing is written.
func Open(cfg Config, log *slog.Logger) (*Journal, *State, error) {
	if cfg.Keep == 0 {
		cfg.Keep = 200
	}
	if cfg.Retry == 0 {
		cfg.Retry = time.Second
	}
	if cfg.Wrap == nil {
		cfg.Wrap = func(f File) File { return f }
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("checkpoint: %w", err)
	}
	guard, err := lock(filepath.Join(cfg.Dir, "lock"))
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint: %w", err)
	}
	j := &Journal{
		cfg: cfg, log: log, path: filepath.Join(cfg.Dir, "journal"), guard: guard,
		image: NewState(cfg.Keep), wake: make(chan struct{}, 1),
	}
	if err := j.load(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("checkpoint %s: %w", j.path, err), guard.Close())
	}
	return j, j.image.Clone(), nil
}

func (j *Journal) load() error {
	b, err := os.ReadFile(j.path)
	if err := ignoreAbsent(err); err != nil {
		return err
	}
	good, err := replay(b, j.image)
	if err != nil {
		return err
	}
	if torn := b[good:]; len(torn) > 0 {
		j.log.Warn("journal ends in a torn write", "path", j.path, "bytes", len(torn), "kept_in", j.path+".torn")
		if err := replaceFile(j.path+".torn", torn); err != nil {
			return err
		}
	}
	if good == 0 {
		if err := replaceFile(j.path, []byte(magic)); err != nil {
			return err
		}
		good = len(magic)
	}
	return j.open(int64(good))
}

// open takes the file at j.path, of which size bytes are good.
func (j *Journal) open(size int64) error {
	f, err := openFile(j.path, size)
	if err != nil {
		return err
	}
	j.file, j.size, j.compacted, j.reserved = j.cfg.Wrap(f), size, size, 0
	return nil
}

// Append writes records together, tries again until it succeeds, and then calls
// done from the journal's goroutine, in the order of the calls; done may be nil.
// After Close, or when Run ends before, done gets ErrClosed.
func (j *Journal) Append(done func(error), records ...*Record) {
	j.push(entry{records: records, done: done})
}

// Try is Append that gives up: a failed write, or one that would need the space
// set aside for Append, is reported to done and is not on disk.
func (j *Journal) Try(done func(error), records ...*Record) {
	j.push(entry{records: records, done: done, try: true})
}

func (j *Journal) push(e entry) {
	j.mu.Lock()
	closed := j.closed
	if !closed {
		j.queue = append(j.queue, e)
	}
	j.mu.Unlock()
	if closed {
		e.finish(ErrClosed)
		return
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (e entry) finish(err error) {
	if e.done != nil {
		e.done(err)
	}
}

// Run writes what is appended until ctx ends, then what is still waiting, once,
// and closes the journal.
func (j *Journal) Run(ctx context.Context) error {
	var rest []entry
	for {
		rest = j.write(append(rest, j.take()...))
		var retry <-chan time.Time
		if len(rest) > 0 {
			retry = time.After(j.cfg.Retry)
		}
		select {
		case <-ctx.Done():
			return j.finish(rest)
		case <-j.wake:
			if len(rest) == 0 {
				continue
			}
			// A write has failed and what comes now would fail too: who can be told is told at once.
			rest = j.reject(append(rest, j.take()...))
			select {
			case <-ctx.Done():
				return j.finish(rest)
			case <-retry:
			}
		case <-retry:
		}
	}
}

func (j *Journal) finish(rest []entry) error {
	j.mu.Lock()
	j.closed = true
	rest = append(rest, j.queue...)
	j.queue = nil
	j.mu.Unlock()
	rest = j.write(rest)
	for _, e := range rest {
		e.finish(ErrClosed)
	}
	var err error
	if len(rest) > 0 {
		err = fmt.Errorf("checkpoint: %d records were not written: %w", len(rest), j.failing)
	}
	return errors.Join(err, j.Close())
}

// Close releases the files. Run does so too.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	return errors.Join(j.file.Close(), j.guard.Close())
}

func (j *Journal) take() []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	q := j.queue
	j.queue = nil
	return q
}

package checkpoint

import (
	"fmt"
	"os"
)

// write puts entries on disk, several to an fsync, and returns those that must be tried again.
func (j *Journal) write(entries []entry) []entry {
	for len(entries) > 0 {
		if !j.room() {
			entries = j.reject(entries)
		}
		n, err := j.batch(entries)
		if err != nil {
			if left := j.reject(entries); len(left) < len(entries) {
				entries = left
				continue // without the others it may fit
			}
			return entries
		}
		entries = entries[n:]
	}
	j.compact()
	return nil
}

// room sets space aside beyond what is to be written. Without it only Append's records are written.
func (j *Journal) room() bool {
	if j.roomy() {
		return true
	}
	want := j.size + reserve + maxBatch
	if err := j.file.Reserve(want); err != nil {
		j.fail(fmt.Errorf("set disk space aside: %w", err))
		return false
	}
	j.reserved = want
	return true
}

// roomy tells whether enough of the space set aside is left.
func (j *Journal) roomy() bool { return j.size+reserve/2 < j.reserved }

// reject gives up Try's entries and returns the others.
func (j *Journal) reject(entries []entry) []entry {
	var left []entry
	for _, e := range entries {
		if e.try {
			e.finish(fmt.Errorf("checkpoint: %w", j.failing))
		} else {
			left = append(left, e)
		}
	}
	return left
}

// batch writes the first n of entries with one fsync.
func (j *Journal) batch(entries []entry) (n int, err error) {
	var b []byte
	bad := make(map[int]error) // entries that cannot be written at all
	for n < len(entries) && len(b) < maxBatch {
		start := len(b)
		for _, r := range entries[n].records {
			if b, err = appendFrame(b, r); err != nil {
				b, bad[n] = b[:start], err
				break
			}
		}
		n++
	}
	if err := j.commit(b); err != nil {
		j.fail(err)
		return 0, err
	}
	if j.failing != nil && j.roomy() {
		j.log.Info("journal is written again", "path", j.path)
		j.failing = nil
	}
	for i, e := range entries[:n] {
		if bad[i] == nil {
			for _, r := range e.records {
				j.image.Apply(r)
			}
		}
		e.finish(bad[i])
	}
	return n, nil
}

// commit adds b to the file for good, or leaves the file as it was.
func (j *Journal) commit(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := j.file.Write(b)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		// Cut off for good, before anybody is told that it is not there.
		back := j.file.Truncate(j.size)
		if back == nil {
			back = j.file.Sync()
		}
		if back != nil {
			err = fmt.Errorf("%w; and cut off what was written: %w", err, back)
		}
		return err
	}
	j.size += int64(len(b))
	return nil
}

func (j *Journal) fail(err error) {
	if j.failing == nil {
		j.log.Error("journal cannot be written; tasks are not started until it can", "path", j.path, "err", err)
	}
	j.failing = err
}

// compact rewrites the journal without what is past, once it has grown.
func (j *Journal) compact() {
	if j.size < 2*j.compacted+compactAfter {
		return
	}
	b := []byte(magic)
	for _, r := range j.image.Records() {
		var err error
		if b, err = appendFrame(b, r); err != nil {
			j.log.Error("journal cannot be compacted", "path", j.path, "err", err)
			j.compacted = j.size
			return
		}
	}
	if err := replaceFile(j.path, b); err != nil {
		j.log.Warn("journal cannot be compacted", "path", j.path, "err", err)
		j.compacted = j.size // try again when it has grown as much again
		return
	}
	old := j.file
	if err := j.open(int64(len(b))); err != nil {
		// The old file is no longer the journal: nothing more may be written.
		j.log.Error("compacted journal cannot be opened", "path", j.path, "err", err)
		j.file = broken{err}
	}
	if err := old.Close(); err != nil {
		j.log.Warn("old journal cannot be closed", "err", err)
	}
}

// broken fails everything with one error.
type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }
func (b broken) Sync() error               { return b.err }
func (b broken) Truncate(int64) error      { return b.err }
func (b broken) Reserve(int64) error       { return b.err }
func (b broken) Close() error              { return nil }

var _ File = osFile{(*os.File)(nil)}

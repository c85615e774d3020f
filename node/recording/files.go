package recording

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/record"
)

// extension ends the name of every file of a recording.
const extension = ".rec"

// files are the parts of one recording, and what bounds it and those before it.
type files struct {
	cfg     Config
	base    string // of the names of all parts
	header  *record.Header
	part    int
	file    *os.File
	out     *bufio.Writer
	written int64 // of this part
	steps   uint64
	frame   []byte
}

// partName is the name of a recording's part. Those of one folder sort by age.
func partName(base string, part int) string { return fmt.Sprintf("%s.%03d%s", base, part, extension) }

// splitName returns what partName was given.
func splitName(file string) (base string, part int, ok bool) {
	rest, ok := strings.CutSuffix(file, extension)
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot < 0 {
		return "", 0, false
	}
	part, err := strconv.Atoi(rest[dot+1:])
	return rest[:dot], part, err == nil
}

func (f *files) name(part int) string { return filepath.Join(f.cfg.Dir, partName(f.base, part)) }

// begin opens the first part.
func (f *files) begin(h *record.Header, term uint64, elected time.Time) error {
	f.base = fmt.Sprintf("%s-term-%d-%.8s", elected.UTC().Format("20060102T150405"), term, h.GetMasterId())
	f.header = h
	if err := os.MkdirAll(f.cfg.Dir, 0o700); err != nil {
		return err
	}
	return f.open(h)
}

// open opens the next part, when there is room for it.
func (f *files) open(h *record.Header) error {
	if err := f.makeRoom(); err != nil {
		return err
	}
	var err error
	if f.file, err = os.OpenFile(f.name(f.part), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	f.out, f.written = bufio.NewWriterSize(f.file, 256<<10), int64(len(record.Magic))
	if _, err := f.out.WriteString(record.Magic); err != nil {
		return err
	}
	if err := f.write(&record.Entry{Entry: &record.Entry_Header{Header: h}}); err != nil {
		return err
	}
	return f.flush()
}

// makeRoom removes the oldest recordings until another part fits below the limit.
func (f *files) makeRoom() error {
	entries, err := os.ReadDir(f.cfg.Dir)
	if err != nil {
		return err
	}
	sizes, total := map[string]int64{}, int64(0)
	var bases []string // the oldest first
	for _, e := range entries {
		base, _, ok := splitName(e.Name())
		info, err := e.Info()
		if !ok || err != nil {
			continue // not ours, or gone meanwhile
		}
		if !slices.Contains(bases, base) {
			bases = append(bases, base)
		}
		sizes[base] += info.Size()
		total += info.Size()
	}
	for total+f.cfg.PartSize > f.cfg.Limit {
		i := slices.IndexFunc(bases, func(b string) bool { return b != f.base })
		if i < 0 {
			return errLimit
		}
		if err := f.remove(entries, bases[i]); err != nil {
			return err
		}
		total -= sizes[bases[i]]
		bases = slices.Delete(bases, i, i+1)
	}
	return nil
}

// remove removes a recording, its beginning last: what is left of one half removed
// is still known as one.
func (f *files) remove(entries []os.DirEntry, base string) error {
	for _, e := range slices.Backward(entries) {
		if b, _, ok := splitName(e.Name()); ok && b == base {
			if err := os.Remove(filepath.Join(f.cfg.Dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// step writes a step, in another part if this one is full.
func (f *files) step(s *record.Step) error {
	if f.written >= f.cfg.PartSize {
		if err := f.close(); err != nil {
			return err
		}
		f.part++
		h := &record.Header{Format: f.header.Format, Version: f.header.Version, MasterId: f.header.MasterId, Part: proto.Uint32(uint32(f.part))}
		if err := f.open(h); err != nil {
			return err
		}
	}
	if err := f.write(&record.Entry{Entry: &record.Entry_Step{Step: s}}); err != nil {
		return err
	}
	f.steps = s.GetNumber()
	return nil
}

func (f *files) write(e *record.Entry) error {
	var err error
	if f.frame, err = record.Append(f.frame[:0], e); err != nil {
		return err
	}
	n, err := f.out.Write(f.frame)
	f.written += int64(n)
	return err
}

// end writes why there is no more, and closes the part; after the limit there is no
// part, and the last one gets it.
func (f *files) end(reason string) error {
	if f.file == nil {
		var err error
		if f.file, err = os.OpenFile(f.name(f.part-1), os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return err
		}
		f.out = bufio.NewWriter(f.file)
	}
	err := f.write(&record.Entry{Entry: &record.Entry_End{End: &record.End{Reason: proto.String(reason)}}})
	return errors.Join(err, f.close())
}

func (f *files) flush() error { return f.out.Flush() }

func (f *files) close() error {
	if f.file == nil {
		return nil
	}
	err := errors.Join(f.out.Flush(), f.file.Close())
	f.file = nil
	return err
}

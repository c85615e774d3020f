package recording

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"muster/offers/record"
)

// Reader reads a recording, all of its parts.
type Reader struct {
	Header *record.Header
	End    *record.End // why there is no more, once Next gave io.EOF; nil: it was cut short, or goes on

	dir, base string
	part      int
	file      *os.File
	in        *bufio.Reader
	at, size  int64 // of this part
	frame     []byte
}

// Open opens the recording whose first part a file is.
func Open(file string) (*Reader, error) {
	r := &Reader{dir: filepath.Dir(file)}
	base, part, named := splitName(filepath.Base(file))
	if named {
		r.base = base
		if part > 0 {
			return nil, fmt.Errorf("%s is part %d of a recording, which is read from its beginning: %s", file, part, filepath.Join(r.dir, partName(base, 0)))
		}
	}
	h, err := r.open(file)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	r.Header = h
	if h.GetPart() != 0 {
		return nil, errors.Join(fmt.Errorf("%s is part %d of a recording, which is read from its beginning", file, h.GetPart()), r.Close())
	}
	return r, nil
}

// Close closes what is open.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// open opens a part and returns its header.
func (r *Reader) open(file string) (*record.Header, error) {
	var err error
	if r.file, err = os.Open(file); err != nil {
		return nil, err
	}
	info, err := r.file.Stat()
	if err != nil {
		return nil, err
	}
	r.in, r.at, r.size = bufio.NewReaderSize(r.file, 256<<10), int64(len(record.Magic)), info.Size()
	magic := make([]byte, len(record.Magic))
	if _, err := io.ReadFull(r.in, magic); err != nil || string(magic) != record.Magic {
		return nil, fmt.Errorf("%s is no recording", file)
	}
	e, err := r.next()
	if err != nil {
		return nil, err
	}
	h := e.GetHeader()
	switch {
	case h == nil:
		return nil, fmt.Errorf("%s: %w: it does not begin with a header", file, record.ErrDamaged)
	case h.GetFormat() > record.Format:
		return nil, fmt.Errorf("%s: %w: it is %d, and this version (which reads up to %d) is older than muster %s, which recorded it",
			file, record.ErrFormat, h.GetFormat(), record.Format, h.GetVersion())
	}
	return h, nil
}

// Next returns the next step, or io.EOF. What is cut short gives record.ErrTruncated
// once, with all that is whole before it.
func (r *Reader) Next() (*record.Step, error) {
	for {
		e, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			if more, err := r.nextPart(); !more {
				return nil, err
			}
			continue
		case err != nil:
			return nil, err
		}
		switch e := e.GetEntry().(type) {
		case *record.Entry_Step:
			return e.Step, nil
		case *record.Entry_End:
			r.End = e.End
			return nil, io.EOF
		default:
			return nil, fmt.Errorf("%s: %w: an entry that this version does not know", r.file.Name(), record.ErrFormat)
		}
	}
}

// nextPart goes on with the next part, if there is one; else its error is io.EOF.
func (r *Reader) nextPart() (bool, error) {
	if r.base == "" {
		return false, io.EOF
	}
	next := filepath.Join(r.dir, partName(r.base, r.part+1))
	if _, err := os.Stat(next); errors.Is(err, fs.ErrNotExist) {
		return false, io.EOF
	}
	if err := r.Close(); err != nil {
		return false, err
	}
	h, err := r.open(next)
	if err != nil {
		return false, err
	}
	r.part++
	if int(h.GetPart()) != r.part || h.GetMasterId() != r.Header.GetMasterId() {
		return false, fmt.Errorf("%s: %w: it belongs to another recording", next, record.ErrDamaged)
	}
	return true, nil
}

// next reads one entry of this part.
func (r *Reader) next() (*record.Entry, error) {
	if r.at == r.size {
		return nil, io.EOF
	}
	const head = 8
	size := int64(head)
	if r.at+head <= r.size {
		b, err := r.in.Peek(head)
		if err != nil {
			return nil, err
		}
		size += int64(binary.LittleEndian.Uint32(b))
	}
	if r.at+size > r.size {
		return nil, fmt.Errorf("%s: %w: it ends within an entry, at byte %d", r.file.Name(), record.ErrTruncated, r.size)
	}
	if int64(cap(r.frame)) < size {
		r.frame = make([]byte, size)
	}
	r.frame = r.frame[:size]
	if _, err := io.ReadFull(r.in, r.frame); err != nil {
		return nil, err
	}
	e, _, err := record.Next(r.frame)
	if err != nil {
		return nil, fmt.Errorf("%s: at byte %d: %w", r.file.Name(), r.at, err)
	}
	r.at += size
	return e, nil
}

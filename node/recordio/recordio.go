package recordio

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Conditions that end a stream, besides io.EOF between two records and
// io.ErrUnexpectedEOF within one.
var (
	ErrTooLarge = errors.New("record too large")
	ErrFraming  = errors.New("malformed record length")
)

// DefaultMax is the largest record read unless told otherwise: the first event
// of an operator's stream holds the state of the whole cluster.
const DefaultMax = 256 << 20

// maxDigits is the length of the largest 64-bit length.
const maxDigits = 20

// Append appends record to dst with its frame.
func Append(dst, record []byte) []byte {
	dst = strconv.AppendInt(dst, int64(len(record)), 10)
	dst = append(dst, '\n')
	return append(dst, record...)
}

// Writer writes records. It is not safe for concurrent use.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// keep is how much memory a Writer keeps between records.
const keep = 64 << 10

// Write writes one record by one call of the underlying Write, so that a chunk
// of HTTP holds a whole record. An empty record has no frame and is refused.
func (w *Writer) Write(record []byte) error {
	if len(record) == 0 {
		return fmt.Errorf("write record: %w: 0", ErrFraming)
	}
	w.buf = Append(w.buf[:0], record)
	_, err := w.w.Write(w.buf)
	if cap(w.buf) > keep {
		w.buf = nil
	}
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// Reader reads records, however the stream cuts them. It is not safe for
// concurrent use.
type Reader struct {
	r   *bufio.Reader
	max int
	buf bytes.Buffer
}

// NewReader returns a Reader from r that refuses records of more than max bytes;
// 0 means DefaultMax. Memory grows with what has arrived, not with what a
// length promises.
func NewReader(r io.Reader, max int) *Reader {
	if max <= 0 {
		max = DefaultMax
	}
	return &Reader{r: bufio.NewReader(r), max: max}
}

// Next returns the next record, which is valid until the next call. It returns
// io.EOF at the end of the stream, and wraps io.ErrUnexpectedEOF if the stream
// ends within a record.
func (r *Reader) Next() ([]byte, error) {
	size, err := r.length()
	if err != nil {
		return nil, err
	}
	if r.buf.Cap() > keep && size < keep {
		r.buf = bytes.Buffer{} // one large record does not hold its memory for good
	}
	r.buf.Reset()
	if n, err := io.CopyN(&r.buf, r.r, size); err != nil {
		return nil, fmt.Errorf("read record of %d bytes: after %d: %w", size, n, cut(err))
	}
	return r.buf.Bytes(), nil
}

// length reads the line before a record.
func (r *Reader) length() (int64, error) {
	var digits [maxDigits]byte
	for n := 0; ; n++ {
		c, err := r.r.ReadByte()
		switch {
		case err != nil && n == 0:
			if err == io.EOF {
				return 0, io.EOF
			}
			return 0, fmt.Errorf("read record length: %w", err)
		case err != nil:
			return 0, fmt.Errorf("read record length: %w", cut(err))
		case c == '\n':
			return r.parse(string(digits[:n]))
		case c < '0' || c > '9' || n == maxDigits:
			return 0, fmt.Errorf("read record length: %w: %q", ErrFraming, append(digits[:n:n], c))
		}
		digits[n] = c
	}
}

func (r *Reader) parse(digits string) (int64, error) {
	size, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case digits == "" || size == 0 && err == nil:
		return 0, fmt.Errorf("read record length: %w: %q", ErrFraming, digits)
	case err != nil || size > uint64(r.max):
		return 0, fmt.Errorf("read record: %w: %s bytes, at most %d", ErrTooLarge, digits, r.max)
	}
	return int64(size), nil
}

// cut turns an end of the stream within a record into what it is.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

package recordio_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"muster/node/recordio"
)

func TestRecordsComeBackHoweverTheStreamIsCut(t *testing.T) {
	records := []string{"a", `{"type":"HEARTBEAT"}`, strings.Repeat("x", 100_000), "\n3\n", "z"}
	var stream bytes.Buffer
	w := recordio.NewWriter(&stream)
	for _, record := range records {
		if err := w.Write([]byte(record)); err != nil {
			t.Fatal(err)
		}
	}
	for name, cut := range map[string]func(io.Reader) io.Reader{
		"whole":        func(r io.Reader) io.Reader { return r },
		"byte by byte": iotest.OneByteReader,
		"in halves":    iotest.HalfReader,
		"with the end": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			r := recordio.NewReader(cut(bytes.NewReader(stream.Bytes())), 0)
			for _, want := range records {
				got, err := r.Next()
				if err != nil || string(got) != want {
					t.Fatalf("got %.40q, %v; want %.40q", got, err, want)
				}
			}
			if _, err := r.Next(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func TestBadStreamsEndWithTheirReason(t *testing.T) {
	failed := errors.New("connection lost")
	for name, c := range map[string]struct {
		stream io.Reader
		want   error
		text   string
	}{
		"cut in the length":    {strings.NewReader("12"), io.ErrUnexpectedEOF, "read record length: unexpected EOF"},
		"cut in the record":    {strings.NewReader("5\nab"), io.ErrUnexpectedEOF, "read record of 5 bytes: after 2: unexpected EOF"},
		"no length":            {strings.NewReader("\n"), recordio.ErrFraming, `read record length: malformed record length: ""`},
		"not a number":         {strings.NewReader("{}"), recordio.ErrFraming, `read record length: malformed record length: "{"`},
		"a sign":               {strings.NewReader("1-\n"), recordio.ErrFraming, `read record length: malformed record length: "1-"`},
		"nothing":              {strings.NewReader("0\n"), recordio.ErrFraming, `read record length: malformed record length: "0"`},
		"too many digits":      {strings.NewReader(strings.Repeat("0", 21)), recordio.ErrFraming, `read record length: malformed record length: "` + strings.Repeat("0", 21) + `"`},
		"too large":            {strings.NewReader("1001\n"), recordio.ErrTooLarge, "read record: record too large: 1001 bytes, at most 1000"},
		"beyond 64 bits":       {strings.NewReader("99999999999999999999\n"), recordio.ErrTooLarge, "read record: record too large: 99999999999999999999 bytes, at most 1000"},
		"lost":                 {iotest.ErrReader(failed), failed, "read record length: connection lost"},
		"lost in the record":   {io.MultiReader(strings.NewReader("5\nab"), iotest.ErrReader(failed)), failed, "read record of 5 bytes: after 2: connection lost"},
		"lost in the length":   {io.MultiReader(strings.NewReader("5"), iotest.ErrReader(failed)), failed, "read record length: connection lost"},
		"a line feed too many": {strings.NewReader("1\na\n1\nb"), recordio.ErrFraming, `read record length: malformed record length: ""`},
	} {
		t.Run(name, func(t *testing.T) {
			r := recordio.NewReader(c.stream, 1000)
			_, err := r.Next()
			if err == nil {
				_, err = r.Next()
			}
			if !errors.Is(err, c.want) || err.Error() != c.text {
				t.Errorf("got %v\nwant %s", err, c.text)
			}
		})
	}
}

func TestALengthAloneTakesNoMemory(t *testing.T) {
	r := recordio.NewReader(strings.NewReader("200000000\nx"), 0)
	allocated := testing.AllocsPerRun(1, func() { _, _ = r.Next() })
	if allocated > 20 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestEmptyRecordsAreRefused(t *testing.T) {
	var stream bytes.Buffer
	if err := recordio.NewWriter(&stream).Write(nil); !errors.Is(err, recordio.ErrFraming) || stream.Len() > 0 {
		t.Errorf("%v, %q", err, stream.String())
	}
}

func TestARecordIsWrittenAtOnce(t *testing.T) {
	var writes int
	w := recordio.NewWriter(writer(func(p []byte) (int, error) {
		writes++
		return len(p), nil
	}))
	if err := w.Write([]byte("abc")); err != nil || writes != 1 {
		t.Errorf("%d writes, %v", writes, err)
	}
	failed := errors.New("closed")
	w = recordio.NewWriter(writer(func([]byte) (int, error) { return 0, failed }))
	if err := w.Write([]byte("abc")); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// FuzzReader wants every stream to end, and what was read to be framed again
// into the beginning of the stream.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{"", "1\na", "3\nabc2\nde", "0\n", "007\nxyzabcd", "5\nab", "99999999999999999999\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := recordio.NewReader(iotest.HalfReader(bytes.NewReader(stream)), 1<<16)
		read := 0
		for {
			record, err := r.Next()
			if err != nil {
				return
			}
			if len(record) == 0 {
				t.Fatal("an empty record")
			}
			rest := bytes.TrimLeft(stream[read:], "0")
			frame := recordio.Append(nil, record)
			if !bytes.HasPrefix(rest, frame) {
				t.Fatalf("%q is not at %d of %q", frame, read, stream)
			}
			read = len(stream) - len(rest) + len(frame)
		}
	})
}

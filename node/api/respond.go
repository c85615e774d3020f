package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	textPlain   = "text/plain; charset=utf-8"
	gzipFrom    = 1024             // bytes from which a response is worth compressing
	writeChunk  = 256 << 10        // bytes of a response
	streamWrite = 30 * time.Second // for one chunk or record to a client, which may be slow
)

// writeBody answers with a body of known length: some clients take a response
// without one for a stream. A client that takes no chunk in time loses its connection.
func writeBody(w http.ResponseWriter, code int, media string, body ...[]byte) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(size(body)))
	w.WriteHeader(code)
	out := bufio.NewWriterSize(Paced(w), min(size(body), writeChunk))
	if writeAll(out, body) == nil {
		_ = out.Flush() // the client may have gone
	}
}

func size(chunks [][]byte) (n int) {
	for _, c := range chunks {
		n += len(c)
	}
	return n
}

func writeAll(w io.Writer, chunks [][]byte) error {
	for _, c := range chunks {
		if _, err := w.Write(c); err != nil {
			return err
		}
	}
	return nil
}

// Paced returns a writer of w's body by which a slow client loses its connection,
// and one that reads on does not, however long the body is.
func Paced(w http.ResponseWriter) io.Writer { return paced{w, http.NewResponseController(w)} }

// paced writes chunk by chunk, each within a bounded time.
type paced struct {
	w  io.Writer
	rc *http.ResponseController
}

func (p paced) Write(b []byte) (n int, err error) {
	for err == nil && n < len(b) {
		if err = p.deadline(); err != nil {
			break
		}
		var m int
		m, err = p.w.Write(b[n:min(len(b), n+writeChunk)])
		n += m
	}
	return n, err
}

// deadline gives the next write its time. A writer without deadlines has none to miss.
func (p paced) deadline() error {
	if err := p.rc.SetWriteDeadline(time.Now().Add(streamWrite)); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// writeEmpty answers without a body.
func writeEmpty(w http.ResponseWriter, code int) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(code)
}

// writeError answers a request that failed.
func writeError(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	var r *refusal
	switch {
	case errors.As(err, &r):
		code = r.code
	case errors.Is(err, ErrNoLeader), errors.Is(err, ErrLeaderLost):
		code = http.StatusServiceUnavailable
	case errors.Is(err, ErrCrowded): // not 429: to Mesos's C++ library that ends a subscription
		w.Header().Set("Retry-After", "1")
		code = http.StatusServiceUnavailable
	}
	writeBody(w, code, textPlain, []byte(err.Error()))
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode response: %w", err)
	}
	return writeEncoded(w, r, body)
}

// writeEncoded answers with JSON, as JSONP where the client asks for it, and
// compressed where it takes that.
func writeEncoded(w http.ResponseWriter, r *http.Request, body ...[]byte) error {
	media := mediaJSON
	if callback := r.URL.Query().Get("jsonp"); callback != "" {
		if !callbackName.MatchString(callback) {
			return refuse(http.StatusBadRequest, "Failed to parse jsonp: '%s' is not the name of a function.", callback)
		}
		media = "text/javascript"
		body = slices.Concat([][]byte{[]byte(callback + "(")}, body, [][]byte{[]byte(");")})
	}
	w.Header().Add("Vary", "Accept-Encoding")
	if size(body) < gzipFrom || !acceptsGzip(r) {
		writeBody(w, http.StatusOK, media, body...)
		return nil
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return fmt.Errorf("compress response: %w", err)
	}
	if err := writeAll(z, body); err != nil {
		return fmt.Errorf("compress response: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress response: %w", err)
	}
	w.Header().Set("Content-Encoding", "gzip")
	writeBody(w, http.StatusOK, media, packed.Bytes())
	return nil
}

var callbackName = regexp.MustCompile(`^[A-Za-z_$][\w.$]{0,127}$`)

func acceptsGzip(r *http.Request) bool {
	for entry := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, params, err := mime.ParseMediaType(strings.TrimSpace(entry))
		if err == nil && (coding == "gzip" || coding == "*") {
			return !refused(params)
		}
	}
	return false
}

// refused reports whether the parameters of an Accept entry say that it is not wanted.
func refused(params map[string]string) bool {
	q, err := strconv.ParseFloat(params["q"], 64)
	return err == nil && q == 0
}

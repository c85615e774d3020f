package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

const (
	mediaJSON     = "application/json"
	mediaProtobuf = "application/x-protobuf"
	maxBody       = 16 << 20 // bytes of one request
)

// codec is one of the two encodings that clients speak.
type codec struct {
	media  string
	append func(dst []byte, m proto.Message) ([]byte, error)
}

var (
	jsonCodec     = codec{mediaJSON, mesos.AppendJSON}
	protobufCodec = codec{mediaProtobuf, proto.MarshalOptions{AllowPartial: true}.MarshalAppend}
)

// refusal is an error that the client is told, with its HTTP status.
type refusal struct {
	code int
	text string
}

func (e *refusal) Error() string { return e.text }

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// readCall reads a POSTed message; what names the message in error texts, such
// as "Call". Checks and texts are those of Mesos, in its order.
// Mesos: src/master/http.cpp, Master::Http::scheduler.
func readCall(w http.ResponseWriter, r *http.Request, what string, m proto.Message) error {
	if err := only(w, r, http.MethodPost); err != nil {
		return err
	}
	c, err := requestCodec(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if c.media == mediaProtobuf {
		if err := mesos.Unmarshal(body, m); err != nil {
			return refuse(http.StatusBadRequest, "Failed to parse body into %s protobuf: %v", what, err)
		}
		return nil
	}
	err = mesos.UnmarshalJSON(body, m)
	var syntax *mesos.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return refuse(http.StatusBadRequest, "Failed to parse body into JSON: %v", err)
	case err != nil:
		return refuse(http.StatusBadRequest, "Failed to convert JSON into %s protobuf: %v", what, err)
	}
	return nil
}

// only refuses all methods but these.
func only(w http.ResponseWriter, r *http.Request, methods ...string) error {
	if slices.Contains(methods, r.Method) {
		return nil
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return refuse(http.StatusMethodNotAllowed, "Expecting one of { '%s' }, but received '%s'", strings.Join(methods, "', '"), r.Method)
}

// requestCodec tells how the body is encoded. Parameters of the media type, such
// as a charset, are accepted.
func requestCodec(r *http.Request) (codec, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return codec{}, refuse(http.StatusBadRequest, "Expecting 'Content-Type' to be present")
	}
	media, _, err := mime.ParseMediaType(header)
	switch {
	case err == nil && media == mediaJSON:
		return jsonCodec, nil
	case err == nil && media == mediaProtobuf:
		return protobufCodec, nil
	}
	return codec{}, refuse(http.StatusUnsupportedMediaType, "Expecting 'Content-Type' of %s or %s, but received '%s'", mediaJSON, mediaProtobuf, header)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refuse(http.StatusRequestEntityTooLarge, "Request body is larger than %d bytes", large.Limit)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "Failed to read request body: %v", err)
	}
	return body, nil
}

// responseCodec chooses how to answer: JSON when the client takes either, or
// says nothing.
func responseCodec(r *http.Request) (codec, error) {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	switch {
	case accept == "" || accepts(accept, mediaJSON):
		return jsonCodec, nil
	case accepts(accept, mediaProtobuf):
		return protobufCodec, nil
	}
	return codec{}, refuse(http.StatusNotAcceptable, "Expecting 'Accept' to allow '%s' or '%s'", mediaProtobuf, mediaJSON)
}

// accepts reports whether an Accept header allows media.
func accepts(accept, media string) bool {
	kind, _, _ := strings.Cut(media, "/")
	for entry := range strings.SplitSeq(accept, ",") {
		t, params, err := mime.ParseMediaType(strings.TrimSpace(entry))
		if err != nil {
			continue
		}
		if !refused(params) && (t == media || t == "*/*" || t == kind+"/*") {
			return true
		}
	}
	return false
}

// writeMessage answers 200 with m. The length is always set: some clients take a
// response without one for a stream.
func writeMessage(w http.ResponseWriter, c codec, m proto.Message) error {
	body, err := c.append(nil, m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	writeBody(w, http.StatusOK, c.media, body)
	return nil
}

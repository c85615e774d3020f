package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/recordio"
	"muster/offers/mesos"
)

// Format is the encoding of calls and of what they return.
type Format string

// The formats a node understands.
const (
	Protobuf Format = "application/x-protobuf"
	JSON     Format = "application/json"
)

// StreamHeader names the session that a scheduler's call belongs to.
const StreamHeader = "Mesos-Stream-Id"

// Config says which node to speak to and how.
type Config struct {
	Address   string        // host:port or URL of the node's API; a missing port is 5050
	Format    Format        // [Protobuf]
	Principal string        // for HTTP basic authentication; none if empty
	Secret    string        // of the principal
	Silence   time.Duration // a stream that is silent for longer counts as lost [75s, Mesos's five heartbeats]
	MaxRecord int           // bytes of one event [recordio.DefaultMax]
	Transport http.RoundTripper
}

// Client speaks to one node. It is safe for concurrent use.
type Client struct {
	cfg  Config
	base *url.URL
	http *http.Client
}

const (
	dialTimeout = 5 * time.Second
	maxText     = 4 << 10 // bytes of an error's text that are kept
	maxBody     = 1 << 30 // bytes of one response
)

// New returns a Client; it connects when it is first used.
func New(cfg Config) (*Client, error) {
	base, err := parseAddress(cfg.Address)
	if err != nil {
		return nil, err
	}
	if cfg.Format == "" {
		cfg.Format = Protobuf
	}
	if cfg.Format != Protobuf && cfg.Format != JSON {
		return nil, fmt.Errorf("unknown format %q", cfg.Format)
	}
	if cfg.Silence == 0 {
		cfg.Silence = 75 * time.Second
	}
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout: dialTimeout,
			MaxIdleConnsPerHost: 4,
			IdleConnTimeout:     time.Minute,
		}
	}
	return &Client{cfg: cfg, base: base, http: &http.Client{Transport: cfg.Transport}}, nil
}

func parseAddress(address string) (*url.URL, error) {
	text := address
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("address %q: expecting host:port or an http URL", address)
	}
	if u.Port() == "" && u.Scheme == "http" {
		u.Host = net.JoinHostPort(u.Hostname(), "5050")
	}
	return u, nil
}

// Address is the URL of the node.
func (c *Client) Address() string { return c.base.String() }

// Close closes connections that are not in use. Streams end by their own Close.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// StatusError is an answer that is no success.
type StatusError struct {
	Code int    // the HTTP status
	Text string // what the node says about it
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%d %s", e.Code, http.StatusText(e.Code))
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Temporary says whether the same call may succeed later, perhaps at another
// node: the connection failed, or the node says that it cannot now.
func Temporary(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Code == http.StatusServiceUnavailable || status.Code == http.StatusTooManyRequests ||
			status.Code == http.StatusBadGateway || status.Code == http.StatusGatewayTimeout
	}
	return errors.Is(err, ErrDisconnected)
}

// ErrDisconnected marks errors of the connection: the node may or may not have
// got the call.
var ErrDisconnected = errors.New("connection failed")

// post sends a message and returns the response if its status is 2xx.
func (c *Client) post(ctx context.Context, path string, call proto.Message, header http.Header) (*http.Response, error) {
	if err := mesos.CheckRequired(call); err != nil {
		return nil, err
	}
	body, err := c.encode(call)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, http.MethodPost, path, bytes.NewReader(body), header)
}

func (c *Client) encode(m proto.Message) ([]byte, error) {
	if c.cfg.Format == JSON {
		return mesos.MarshalJSON(m)
	}
	return proto.Marshal(m)
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	target, err := c.base.Parse(path)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if c.cfg.Principal != "" {
		req.SetBasicAuth(c.cfg.Principal, c.cfg.Secret)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // it repeats the URL
		}
		return nil, fmt.Errorf("%w: %s %s: %w", ErrDisconnected, method, target, err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		// A text that is cut short says more than an error about it would.
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxText))
		return nil, fmt.Errorf("%s %s: %w", method, target, &StatusError{resp.StatusCode, strings.TrimSpace(string(text))})
	}
	return resp, nil
}

// callHeader asks for the format that is sent.
func (c *Client) callHeader() http.Header {
	return http.Header{"Content-Type": {string(c.cfg.Format)}, "Accept": {string(c.cfg.Format)}}
}

// call sends a message and reads the answer, if there is one, into reply.
func (c *Client) call(ctx context.Context, path string, call, reply proto.Message, header http.Header) error {
	resp, err := c.post(ctx, path, call, header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := readBody(ctx, resp)
	if err != nil || len(body) == 0 {
		return err
	}
	if reply == nil {
		return fmt.Errorf("POST %s: unexpected answer of %d bytes", path, len(body))
	}
	return decode(resp.Header, body, reply)
}

func readBody(ctx context.Context, resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("%w: read answer: %w", ErrDisconnected, err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("read answer: more than %d bytes", maxBody)
	}
	return body, nil
}

// decode reads a message in the format that the answer's header names.
func decode(header http.Header, body []byte, m proto.Message) error {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("content type %q: %w", header.Get("Content-Type"), err)
	}
	switch Format(media) {
	case JSON:
		return mesos.UnmarshalJSON(body, m)
	case Protobuf:
		return mesos.Unmarshal(body, m)
	}
	return fmt.Errorf("content type %q: expecting %s or %s", media, JSON, Protobuf)
}

// newReader frames a stream's body.
func (c *Client) newReader(body io.Reader) *recordio.Reader {
	return recordio.NewReader(body, c.cfg.MaxRecord)
}

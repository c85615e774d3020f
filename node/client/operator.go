package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos/agent"
	"muster/offers/mesos/master"
)

const operatorPath = "/api/v1"

// Master makes an operator's call to the cluster, by the node's master API. The
// response of a call that only changes something is empty.
func (c *Client) Master(ctx context.Context, call *master.Call) (*master.Response, error) {
	reply := &master.Response{}
	if err := c.call(ctx, operatorPath, call, reply, c.callHeader()); err != nil {
		return nil, fmt.Errorf("%s: %w", call.GetType(), err)
	}
	return reply, nil
}

// Get makes an operator's call that has no payload, such as GET_STATE.
func (c *Client) Get(ctx context.Context, what master.Call_Type) (*master.Response, error) {
	return c.Master(ctx, &master.Call{Type: what.Enum()})
}

// Agent makes a call to one agent, by its own API (port 5051).
func (c *Client) Agent(ctx context.Context, call *agent.Call) (*agent.Response, error) {
	reply := &agent.Response{}
	if err := c.call(ctx, operatorPath, call, reply, c.callHeader()); err != nil {
		return nil, fmt.Errorf("%s: %w", call.GetType(), err)
	}
	return reply, nil
}

// Events is an operator's event stream.
type Events = Stream[master.Event, *master.Event]

// Events opens a stream of what happens in the cluster. Its first event holds
// the whole state.
func (c *Client) Events(ctx context.Context) (*Events, error) {
	call := &master.Call{Type: master.Call_SUBSCRIBE.Enum()}
	stream, err := open[master.Event, *master.Event](ctx, c, operatorPath, call)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return stream, nil
}

// GetJSON reads the JSON at path into a value, as encoding/json does.
func (c *Client) GetJSON(ctx context.Context, path string, into any) error {
	body, err := c.Download(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxBody)).Decode(into); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// Download returns what is at path as it comes. The caller closes it.
func (c *Client) Download(ctx context.Context, path string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// FileInfo is one entry of a directory.
type FileInfo struct {
	Path  string  `json:"path"`
	Size  int64   `json:"size"` // bytes
	Links int     `json:"nlink"`
	Mtime float64 `json:"mtime"` // seconds since 1970
	Mode  string  `json:"mode"`  // as ls writes it
	UID   string  `json:"uid"`
	GID   string  `json:"gid"`
}

// IsDir says whether the entry is a directory.
func (f FileInfo) IsDir() bool { return strings.HasPrefix(f.Mode, "d") }

// Browse lists a directory of a sandbox.
func (c *Client) Browse(ctx context.Context, path string) ([]FileInfo, error) {
	var infos []FileInfo
	return infos, c.GetJSON(ctx, "/files/browse?"+url.Values{"path": {path}}.Encode(), &infos)
}

// DownloadFile returns a file of a sandbox as it comes. The caller closes it.
func (c *Client) DownloadFile(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.Download(ctx, "/files/download?"+url.Values{"path": {path}}.Encode())
}

// ReadFile reads at most length bytes of an agent's file from offset, by the
// agent's API; it also returns the file's size. /files/read would lose bytes
// that are not text.
func (c *Client) ReadFile(ctx context.Context, path string, offset, length uint64) (data []byte, size uint64, err error) {
	reply, err := c.Agent(ctx, &agent.Call{
		Type:     agent.Call_READ_FILE.Enum(),
		ReadFile: &agent.Call_ReadFile{Path: &path, Offset: &offset, Length: proto.Uint64(length)},
	})
	if err != nil {
		return nil, 0, err
	}
	return reply.GetReadFile().GetData(), reply.GetReadFile().GetSize(), nil
}

// chunk is how much Follow reads at a time, in bytes.
const chunk = 64 << 10

// Follow copies an agent's file to out from offset on, and what is added to it,
// until ctx ends or the file cannot be read. done, which may be nil, says that
// nothing more will be written: Follow then returns nil at the file's end. It
// returns the offset it has come to.
func (c *Client) Follow(ctx context.Context, path string, offset uint64, out io.Writer, every time.Duration, done <-chan struct{}) (uint64, error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := false // everything there is when done is closed is still copied
	for {
		data, size, err := c.ReadFile(ctx, path, offset, chunk)
		if err != nil {
			return offset, err
		}
		if _, err := out.Write(data); err != nil {
			return offset, fmt.Errorf("copy %s: %w", path, err)
		}
		offset += uint64(len(data))
		if offset < size && len(data) > 0 {
			continue
		}
		if last {
			return offset, nil
		}
		select {
		case <-ctx.Done():
			return offset, context.Cause(ctx)
		case <-done:
			last = true
		case <-tick.C:
		}
	}
}

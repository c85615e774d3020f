package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// Sandboxes finds the directory of a container's sandbox. run is a container ID
// or "latest". What it returns is trusted; what lies in it is not.
type Sandboxes interface {
	Sandbox(framework, executor, run string) (dir string, err error)
}

// Files gives read access to sandboxes and to the daemon's own log, and to
// nothing else. A sandbox is opened as a root of its own: no path, link or
// encoding leads out of it.
type Files struct {
	sandboxes Sandboxes // nil: this node runs no tasks
	log       string    // path of the daemon's log; "" if it is not kept in a file
}

// NewFiles returns access to what sandboxes knows and to the log at path log.
func NewFiles(sandboxes Sandboxes, log string) *Files { return &Files{sandboxes, log} }

// readSize is how much is read when no length is given, and at most, in bytes.
const (
	readSize    = 64 << 10
	readSizeMax = 4 << 20
)

// sandboxPath is a sandbox as clients name it: by its path on the host, of which
// only the end counts, or by the virtual path.
var sandboxPath = regexp.MustCompile(`^(?:/.*)?/frameworks/([^/]+)/executors/([^/]+)/runs/([^/]+)(/.*)?$`)

// open opens what a client's path names. The caller closes it.
func (f *Files) open(name string) (*os.File, error) {
	if name == "" {
		return nil, refuse(http.StatusBadRequest, "Expecting 'path=value' in query.")
	}
	clean := path.Clean("/" + name)
	if clean == "/master/log" || clean == "/slave/log" || clean == "/agent/log" {
		return f.openLog(clean)
	}
	m := sandboxPath.FindStringSubmatch(clean)
	if m == nil || f.sandboxes == nil || strings.ContainsRune(clean, 0) {
		return nil, notFound(clean)
	}
	dir, err := f.sandboxes.Sandbox(m[1], m[2], m[3])
	if err != nil {
		return nil, notFound(clean)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fileError(clean, err)
	}
	defer root.Close()
	file, err := root.OpenFile("."+m[4], os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileError(clean, err)
	}
	info, err := file.Stat()
	if err != nil || !(info.IsDir() || info.Mode().IsRegular()) {
		return nil, errors.Join(refuse(http.StatusBadRequest, "'%s' is neither a file nor a directory.", clean), file.Close())
	}
	return file, nil
}

func (f *Files) openLog(name string) (*os.File, error) {
	if f.log == "" {
		return nil, refuse(http.StatusNotFound, "'%s' is not kept in a file: this daemon logs to its standard error.", name)
	}
	file, err := os.Open(f.log)
	if err != nil {
		return nil, fileError(name, err)
	}
	return file, nil
}

func notFound(name string) error { return refuse(http.StatusNotFound, "'%s' not found.", name) }

// fileError says what failed without telling paths of the host.
func fileError(name string, err error) error {
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return notFound(name)
	case errors.As(err, &pathErr):
		return refuse(http.StatusBadRequest, "'%s' cannot be opened: %v.", name, pathErr.Err)
	}
	return refuse(http.StatusBadRequest, "'%s' cannot be opened.", name)
}

// List returns what the directory name holds, sorted by path.
func (f *Files) List(name string) ([]*mesos.FileInfo, error) {
	dir, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if info, err := dir.Stat(); err != nil || !info.IsDir() {
		return nil, refuse(http.StatusBadRequest, "'%s' is not a directory.", name)
	}
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", name, err)
	}
	base := strings.TrimSuffix(name, "/")
	byPath := map[string]*mesos.FileInfo{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		p := base + "/" + e.Name()
		byPath[p] = fileInfo(p, info)
	}
	var infos []*mesos.FileInfo
	for _, p := range sortedKeys(byPath) {
		infos = append(infos, byPath[p])
	}
	return infos, nil
}

func fileInfo(p string, info fs.FileInfo) *mesos.FileInfo {
	out := &mesos.FileInfo{
		Path:  proto.String(p),
		Size:  proto.Uint64(uint64(max(info.Size(), 0))),
		Mtime: &mesos.TimeInfo{Nanoseconds: proto.Int64(info.ModTime().UnixNano())},
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		out.Nlink = proto.Int32(int32(st.Nlink))
		out.Mode = proto.Uint32(st.Mode)
		out.Uid, out.Gid = proto.String(userName(st.Uid)), proto.String(groupName(st.Gid))
	}
	return out
}

func userName(id uint32) string {
	text := strconv.FormatUint(uint64(id), 10)
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return text
}

func groupName(id uint32) string {
	text := strconv.FormatUint(uint64(id), 10)
	if g, err := user.LookupGroupId(text); err == nil {
		return g.Name
	}
	return text
}

// Read returns a file's size and up to length of its bytes from offset.
func (f *Files) Read(name string, offset uint64, length *uint64) (size uint64, data []byte, err error) {
	file, n, err := f.openFile(name)
	if err != nil {
		return 0, nil, err
	}
	defer file.Close()
	want := uint64(readSize)
	if length != nil {
		want = min(*length, readSizeMax)
	}
	size = uint64(n)
	if offset >= size {
		return size, nil, nil
	}
	data = make([]byte, min(want, size-offset))
	got, err := file.ReadAt(data, int64(offset))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, fmt.Errorf("read %s: %w", name, err)
	}
	return size, data[:got], nil
}

// openFile opens a file, not a directory, and tells its size.
func (f *Files) openFile(name string) (*os.File, int64, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil || info.IsDir() {
		return nil, 0, errors.Join(refuse(http.StatusBadRequest, "Cannot read a directory."), file.Close())
	}
	return file, info.Size(), nil
}

// routes adds /files/browse, /files/read and /files/download.
func (f *Files) routes(handle func(pattern string, h func(http.ResponseWriter, *http.Request) error)) {
	handle("/files/browse", f.browse)
	handle("/files/read", f.read)
	handle("/files/download", f.download)
}

// browsed is one entry as /files/browse shows it.
type browsed struct {
	GID   string `json:"gid"`
	Mode  string `json:"mode"`
	Mtime int64  `json:"mtime"`
	Nlink int32  `json:"nlink"`
	Path  string `json:"path"`
	Size  uint64 `json:"size"`
	UID   string `json:"uid"`
}

func (f *Files) browse(w http.ResponseWriter, r *http.Request) error {
	infos, err := f.List(r.FormValue("path"))
	if err != nil {
		return err
	}
	list := []browsed{}
	for _, i := range infos {
		list = append(list, browsed{
			GID: i.GetGid(), UID: i.GetUid(), Path: i.GetPath(), Size: i.GetSize(), Nlink: i.GetNlink(),
			Mode: modeText(i.GetMode()), Mtime: i.GetMtime().GetNanoseconds() / 1e9,
		})
	}
	return writeJSON(w, r, list)
}

// modeText writes a mode as ls does.
func modeText(mode uint32) string {
	m := fs.FileMode(mode & 0o777)
	kind := "-"
	switch mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		kind = "d"
	case syscall.S_IFLNK:
		kind = "l"
	}
	return kind + m.String()[1:]
}

func (f *Files) read(w http.ResponseWriter, r *http.Request) error {
	name := r.FormValue("path")
	offset, err := intValue(r, "offset", -1)
	if err != nil {
		return err
	}
	length, err := intValue(r, "length", readSize)
	if err != nil {
		return err
	}
	if length < 0 {
		length = readSize
	}
	from, want := uint64(max(offset, 0)), uint64(length)
	if offset < 0 {
		want = 0
	}
	size, data, err := f.Read(name, from, &want)
	if err != nil {
		return err
	}
	if offset < 0 {
		offset = int64(size)
	}
	return writeJSON(w, r, map[string]any{"data": string(data), "offset": offset})
}

func intValue(r *http.Request, name string, unset int64) (int64, error) {
	text := r.FormValue(name)
	if text == "" {
		return unset, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, refuse(http.StatusBadRequest, "Failed to parse %s: '%s' is not a whole number.", name, text)
	}
	return n, nil
}

func (f *Files) download(w http.ResponseWriter, r *http.Request) error {
	name := r.FormValue("path")
	file, _, err := f.openFile(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("download %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(path.Base(name)))
	http.ServeContent(w, r, "", info.ModTime(), file)
	return nil
}

// writeJSON answers with v, as JSONP where the client asks for it.
func writeJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode response: %w", err)
	}
	callback := r.FormValue("jsonp")
	if callback == "" {
		return writeCompressed(w, r, mediaJSON, body)
	}
	if !callbackName.MatchString(callback) {
		return refuse(http.StatusBadRequest, "Failed to parse jsonp: '%s' is not the name of a function.", callback)
	}
	return writeCompressed(w, r, "text/javascript", []byte(callback+"("+string(body)+");"))
}

var callbackName = regexp.MustCompile(`^[A-Za-z_$][\w.$]*$`)

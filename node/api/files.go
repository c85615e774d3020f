package api

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// Sandboxes finds the directory of a container's sandbox. run is a container ID
// or "latest". What it returns is trusted; what lies in it is not.
type Sandboxes interface {
	Sandbox(framework, executor, run string) (dir string, err error)
}

// Files gives read access to sandboxes and to the daemon's own log, and to
// nothing else. A sandbox is a root of its own: no path, link or encoding leads
// out of it, and nothing but files and directories is opened in it.
type Files struct {
	sandboxes Sandboxes // nil: this node runs no tasks
	log       string    // path of the daemon's log; "" if it is not kept in a file
}

// NewFiles returns access to what sandboxes knows and to the log at path log.
func NewFiles(sandboxes Sandboxes, log string) *Files { return &Files{sandboxes, log} }

const (
	readSize    = 64 << 10 // bytes that are read when no length is given,
	readSizeMax = 4 << 20  // and at most
	listMax     = 100_000  // entries of a directory that are listed
)

// sandboxPath is a sandbox as clients name it: by its path on the host, of which
// only the end counts, or by the virtual path.
var sandboxPath = regexp.MustCompile(`^(?:/.*?)?/frameworks/([^/]+)/executors/([^/]+)/runs/([^/]+)(?:/(.*))?$`)

// target is what a client's path names: the daemon's log, or something in a sandbox.
type target struct {
	log                      bool
	framework, executor, run string
	inside                   string // path in the sandbox; "." is the sandbox
}

// parseTarget takes a client's path apart. The path is cleaned first, so that no
// element of it is "..".
func parseTarget(name string) (target, bool) {
	if strings.ContainsRune(name, 0) {
		return target{}, false
	}
	clean := path.Clean("/" + name)
	if clean == "/master/log" || clean == "/slave/log" || clean == "/agent/log" {
		return target{log: true}, true
	}
	m := sandboxPath.FindStringSubmatch(clean)
	if m == nil {
		return target{}, false
	}
	return target{framework: m[1], executor: m[2], run: m[3], inside: cmp.Or(m[4], ".")}, true
}

// open opens the file or directory that a client's path names. The caller closes it.
func (f *Files) open(name string) (*os.File, fs.FileInfo, error) {
	if name == "" {
		return nil, nil, refuse(http.StatusBadRequest, "Expecting 'path=value' in query.")
	}
	t, ok := parseTarget(name)
	switch {
	case !ok:
		return nil, nil, notFound(name)
	case t.log && f.log == "":
		return nil, nil, refuse(http.StatusNotFound, "'%s' is not kept in a file: this daemon logs to its standard error.", name)
	case t.log:
		return openWithin(filepath.Dir(f.log), filepath.Base(f.log), name)
	case f.sandboxes == nil:
		return nil, nil, notFound(name)
	}
	dir, err := f.sandboxes.Sandbox(t.framework, t.executor, t.run)
	if err != nil {
		return nil, nil, notFound(name)
	}
	return openWithin(dir, t.inside, name)
}

func notFound(name string) error { return refuse(http.StatusNotFound, "'%s' not found.", name) }

// fileError says what failed without telling paths of the host.
func fileError(name string, err error) error {
	var number syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return notFound(name)
	case errors.Is(err, errOutside):
		return refuse(http.StatusForbidden, "'%s' leads out of its sandbox.", name)
	case errors.As(err, &number):
		return refuse(http.StatusBadRequest, "'%s' cannot be opened: %v.", name, number)
	}
	return refuse(http.StatusBadRequest, "'%s' cannot be opened.", name)
}

// List returns what the directory name holds, sorted by path.
func (f *Files) List(name string) ([]*mesos.FileInfo, error) {
	dir, info, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if !info.IsDir() {
		return nil, refuse(http.StatusBadRequest, "'%s' is not a directory.", name)
	}
	names, err := dir.Readdirnames(listMax)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fileError(name, err) // removed meanwhile
	}
	slices.Sort(names)
	base := strings.TrimSuffix(name, "/")
	who := owners{map[uint32]string{}, map[uint32]string{}}
	var infos []*mesos.FileInfo
	for _, n := range names {
		var st unix.Stat_t
		if unix.Fstatat(int(dir.Fd()), n, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue // removed meanwhile
		}
		infos = append(infos, fileInfo(base+"/"+n, &st, who))
	}
	return infos, nil
}

func fileInfo(p string, st *unix.Stat_t, who owners) *mesos.FileInfo {
	return &mesos.FileInfo{
		Path:  proto.String(p),
		Size:  proto.Uint64(uint64(max(st.Size, 0))),
		Mtime: &mesos.TimeInfo{Nanoseconds: proto.Int64(st.Mtim.Nano())},
		Nlink: proto.Int32(int32(st.Nlink)),
		Mode:  proto.Uint32(st.Mode),
		Uid:   proto.String(who.user(st.Uid)),
		Gid:   proto.String(who.group(st.Gid)),
	}
}

// owners finds the names of users and groups, each once.
type owners struct{ users, groups map[uint32]string }

func (o owners) user(id uint32) string {
	return nameOf(o.users, id, func(text string) (string, error) {
		u, err := user.LookupId(text)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (o owners) group(id uint32) string {
	return nameOf(o.groups, id, func(text string) (string, error) {
		g, err := user.LookupGroupId(text)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

// nameOf is the number itself where there is no name.
func nameOf(known map[uint32]string, id uint32, lookup func(string) (string, error)) string {
	name, ok := known[id]
	if !ok {
		text := strconv.FormatUint(uint64(id), 10)
		if found, err := lookup(text); err == nil {
			text = found
		}
		name, known[id] = text, text
	}
	return name
}

// Read returns a file's size and up to length of its bytes from offset.
func (f *Files) Read(name string, offset uint64, length *uint64) (size uint64, data []byte, err error) {
	file, info, err := f.openFile(name)
	if err != nil {
		return 0, nil, err
	}
	defer file.Close()
	want := uint64(readSize)
	if length != nil {
		want = min(*length, readSizeMax)
	}
	size = uint64(info.Size())
	if offset >= size {
		return size, []byte{}, nil
	}
	data = make([]byte, min(want, size-offset))
	got, err := file.ReadAt(data, int64(offset))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, fmt.Errorf("read %s: %w", name, err)
	}
	return size, data[:got], nil
}

// openFile opens a file, not a directory.
func (f *Files) openFile(name string) (*os.File, fs.FileInfo, error) {
	file, info, err := f.open(name)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		return nil, nil, errors.Join(refuse(http.StatusBadRequest, "Cannot read a directory."), file.Close())
	}
	return file, info, nil
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
	infos, err := f.List(r.URL.Query().Get("path"))
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
	kind := map[uint32]string{
		syscall.S_IFDIR: "d", syscall.S_IFLNK: "l", syscall.S_IFIFO: "p", syscall.S_IFSOCK: "s", syscall.S_IFBLK: "b", syscall.S_IFCHR: "c",
	}[mode&syscall.S_IFMT]
	return cmp.Or(kind, "-") + fs.FileMode(mode & 0o777).String()[1:]
}

// read answers {data, offset}. Without an offset it tells the file's size as the offset.
func (f *Files) read(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	offset, err := intValue(q, "offset")
	if err != nil {
		return err
	}
	length, err := intValue(q, "length")
	if err != nil {
		return err
	}
	want := uint64(readSize)
	if length >= 0 {
		want = uint64(length)
	}
	if offset < 0 {
		want = 0
	}
	size, data, err := f.Read(q.Get("path"), uint64(max(offset, 0)), &want)
	if err != nil {
		return err
	}
	if offset < 0 {
		offset = int64(size)
	}
	return writeJSON(w, r, map[string]any{"data": string(data), "offset": offset})
}

// intValue reads a number that may be left out, which is -1.
func intValue(q url.Values, name string) (int64, error) {
	text := q.Get(name)
	if text == "" {
		return -1, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return 0, refuse(http.StatusBadRequest, "Failed to parse %s: '%s' is not a whole number.", name, text)
	case n < -1:
		return 0, refuse(http.StatusBadRequest, "Negative %s provided: %d.", name, n)
	}
	return n, nil
}

func (f *Files) download(w http.ResponseWriter, r *http.Request) error {
	name := r.URL.Query().Get("path")
	file, info, err := f.openFile(name)
	if err != nil {
		return err
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(path.Base(name)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(pacedResponse{w, paced{w, http.NewResponseController(w)}}, r, "", info.ModTime(), file)
	return nil
}

// pacedResponse is a response whose body is written chunk by chunk.
type pacedResponse struct {
	http.ResponseWriter
	paced paced
}

func (p pacedResponse) Write(b []byte) (int, error) { return p.paced.Write(b) }

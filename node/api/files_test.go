package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"muster/isolate/isolatetest"
	"muster/telemetry/metrics"
)

// oneSandbox knows one run, "R", of executor "E" of framework "F", which is the latest.
type oneSandbox struct{ dir string }

func (s oneSandbox) Sandbox(framework, executor, run string) (string, error) {
	if framework == "F" && executor == "E" && (run == "R" || run == "latest") {
		return s.dir, nil
	}
	return "", errors.New("no such sandbox")
}

const virtual = "/frameworks/F/executors/E/runs/latest"

// sandbox makes a host directory with a secret beside a sandbox.
func sandbox(t *testing.T) (h http.Handler, dir string) {
	t.Helper()
	host := t.TempDir()
	dir = filepath.Join(host, "slaves", "S", "frameworks", "F", "executors", "E", "runs", "R")
	other := filepath.Join(host, "slaves", "S", "frameworks", "F", "executors", "E", "runs", "other")
	must(t, os.MkdirAll(filepath.Join(dir, "sub", "deep"), 0o755), os.MkdirAll(other, 0o755),
		os.WriteFile(filepath.Join(host, "secret"), []byte("secret"), 0o644),
		os.WriteFile(filepath.Join(other, "stdout"), []byte("secret"), 0o644),
		os.WriteFile(filepath.Join(dir, "stdout"), []byte("hello"), 0o644),
		os.WriteFile(filepath.Join(dir, "sub", "file"), []byte("inner"), 0o644),
		os.Symlink("sub/file", filepath.Join(dir, "inside")),
		os.Symlink("../stdout", filepath.Join(dir, "sub", "up")),
		os.Symlink("sub", filepath.Join(dir, "dirlink")),
		os.Symlink(filepath.Join(host, "secret"), filepath.Join(dir, "absolute")),
		os.Symlink("/", filepath.Join(dir, "root")),
		os.Symlink("../other", filepath.Join(dir, "sibling")),
		os.Symlink("../../../../../../../secret", filepath.Join(dir, "relative")),
		os.Symlink("/proc/self/root", filepath.Join(dir, "magic")),
		os.Symlink("loop", filepath.Join(dir, "loop")),
		syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	mux := newMux()
	common(mux, Config{}, NewFiles(oneSandbox{dir}, filepath.Join(host, "secret")), metrics.New(), nil)
	return alias("/master", mux), dir
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func readFile(h http.Handler, query string) *httptest.ResponseRecorder {
	return do(h, request("GET /files/read?"+query, ""))
}

func TestSandboxIsReadByEachOfItsNames(t *testing.T) {
	h, dir := sandbox(t)
	for path, data := range map[string]string{
		virtual + "/stdout":                            "hello",
		"/frameworks/F/executors/E/runs/R/stdout":      "hello",
		strings.TrimPrefix(virtual, "/") + "/stdout":   "hello",
		dir + "/stdout":                                "hello",
		virtual + "/sub/file":                          "inner",
		virtual + "//sub/./deep/../file":               "inner",
		virtual + "/inside":                            "inner",
		virtual + "/dirlink/file":                      "inner",
		virtual + "/sub/up":                            "hello",
		virtual + "/dirlink/up":                        "hello",
		"/master/log":                                  "secret", // the log, in this test
		"/slave/log":                                   "secret",
		virtual + "/../../runs/latest/stdout":          "hello",
		"/x/../frameworks/F/executors/E/runs/R/stdout": "hello",
	} {
		rec := readFile(h, "offset=0&path="+url.QueryEscape(path))
		wantSingle(t, rec, 200, "")
		var got struct {
			Data   string
			Offset int
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got.Data != data || got.Offset != 0 {
			t.Fatalf("%s: %s, %v", path, rec.Body, err)
		}
	}
}

func TestNothingLeadsOutOfASandbox(t *testing.T) {
	h, dir := sandbox(t)
	must(t, os.WriteFile(filepath.Join(dir, "%2e%2e"), []byte("odd name"), 0o644))
	for _, path := range []string{
		"/etc/passwd", "/", "", "..", "/secret", filepath.Dir(dir) + "/other/stdout",
		virtual + "/../other/stdout", virtual + "/../../../../../../../secret",
		virtual + "/absolute", virtual + "/relative", virtual + "/root/etc/passwd", virtual + "/root",
		virtual + "/sibling", virtual + "/sibling/stdout", virtual + "/magic/etc/passwd", virtual + "/loop",
		virtual + "/sub/../../other/stdout", virtual + "/dirlink/../../other/stdout", virtual + "/sub/../../../../x",
		virtual + "/%2e%2e/other/stdout", virtual + "/%252e%252e/other/stdout", virtual + "/..%2fother",
		virtual + "/stdout/x", virtual + "/nothing", virtual + "/stdout\x00", virtual + "\x00/../../stdout",
		virtual + "/fifo", virtual, virtual + "/sub",
		"/frameworks/F/executors/E/runs/other/stdout", "/frameworks/../executors/E/runs/R/stdout",
		"/frameworks/F/executors/E/runs/../stdout", "/frameworks/F/executors/E/runs", "/master/log/..", "/master/log/x",
	} {
		for _, endpoint := range []string{"read", "download"} {
			rec := do(h, request("GET /files/"+endpoint+"?offset=0&path="+url.QueryEscape(path), ""))
			if rec.Code < 400 || rec.Code >= 500 || strings.Contains(rec.Body.String(), "secret ") {
				t.Fatalf("%s %q: %d %q", endpoint, path, rec.Code, clip(rec.Body.String()))
			}
		}
	}
	for _, raw := range []string{"%2e%2e", "..%2f..", "%2fetc%2fpasswd"} { // in the query as it is sent
		if rec := readFile(h, "offset=0&path="+virtual+"/"+raw+"/other/stdout"); rec.Code < 400 {
			t.Fatalf("%s: %d", raw, rec.Code)
		}
	}
	for _, link := range []string{"absolute", "relative", "root", "sibling"} {
		wantSingle(t, readFile(h, "offset=0&path="+virtual+"/"+link), 403, "leads out of its sandbox")
	}
	if rec := readFile(h, "offset=0&path="+virtual+"/absolute"); strings.Contains(rec.Body.String(), filepath.Dir(dir)) {
		t.Fatalf("an error tells of the host: %s", rec.Body)
	}
}

func TestDeviceIsNotOpened(t *testing.T) {
	isolatetest.NeedRoot(t)
	h, dir := sandbox(t)
	err := syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o666, 1<<8|3)
	if errors.Is(err, syscall.EPERM) {
		t.Skip("devices cannot be made here")
	}
	must(t, err)
	wantSingle(t, readFile(h, "offset=0&path="+virtual+"/null"), 400, "neither a file nor a directory")
}

func TestBrowse(t *testing.T) {
	h, _ := sandbox(t)
	var list []map[string]any
	get(t, h, "/files/browse?path="+virtual, &list)
	byPath := map[string]map[string]any{}
	for _, e := range list {
		byPath[e["path"].(string)] = e
	}
	f := byPath[virtual+"/stdout"]
	if f == nil || f["size"] != 5.0 || f["mode"] != "-rw-r--r--" || f["nlink"] != 1.0 || f["uid"] == "" || f["mtime"].(float64) < 1e9 {
		t.Fatalf("%v", f)
	}
	for name, kind := range map[string]string{"sub": "d", "absolute": "l", "fifo": "p"} {
		if e := byPath[virtual+"/"+name]; e == nil || e["mode"].(string)[:1] != kind {
			t.Fatalf("%s: %v", name, e)
		}
	}
	get(t, h, "/files/browse.json?path="+virtual+"/dirlink/", &list)
	if list[0]["path"] != virtual+"/dirlink/deep" {
		t.Fatalf("%v", list)
	}
	for query, text := range map[string]string{
		"": "Expecting 'path=value' in query.", "path=" + virtual + "/stdout": "is not a directory", "path=" + virtual + "/fifo": "neither a file nor a directory",
	} {
		wantSingle(t, do(h, request("GET /files/browse?"+query, "")), 400, text)
	}
}

func TestReadOfAPart(t *testing.T) {
	h, dir := sandbox(t)
	must(t, os.WriteFile(filepath.Join(dir, "large"), []byte(strings.Repeat("x", readSizeMax+10)), 0o644))
	file := "path=" + virtual + "/stdout"
	for query, want := range map[string]string{
		file:                             `{"data":"","offset":5}`,
		file + "&offset=-1":              `{"data":"","offset":5}`,
		file + "&offset=1&length=3":      `{"data":"ell","offset":1}`,
		file + "&offset=1&length=-1":     `{"data":"ello","offset":1}`,
		file + "&offset=5":               `{"data":"","offset":5}`,
		file + "&offset=99999999999":     `{"data":"","offset":99999999999}`,
		file + "&offset=0&length=999999": `{"data":"hello","offset":0}`,
	} {
		rec := readFile(h, query)
		wantSingle(t, rec, 200, "")
		if rec.Body.String() != want {
			t.Fatalf("%s: %s", query, rec.Body)
		}
	}
	for query, text := range map[string]string{
		file + "&offset=x": "Failed to parse offset", file + "&length=1.5": "Failed to parse length",
		file + "&offset=-2": "Negative offset provided: -2", file + "&length=-7": "Negative length provided: -7",
		file + "&offset=99999999999999999999": "Failed to parse offset", "path=" + virtual: "Cannot read a directory",
	} {
		wantSingle(t, readFile(h, query), 400, text)
	}
	if rec := readFile(h, "path="+virtual+"/large&offset=0&length=99999999999"); rec.Body.Len() > readSizeMax+100 {
		t.Fatalf("%d bytes at once", rec.Body.Len())
	}
}

func TestDownload(t *testing.T) {
	h, _ := sandbox(t)
	rec := do(h, request("GET /files/download?path="+virtual+"/stdout", ""))
	wantSingle(t, rec, 200, "hello")
	if ct, cd := rec.Header().Get("Content-Type"), rec.Header().Get("Content-Disposition"); ct != "application/octet-stream" || cd != "attachment; filename*=UTF-8''stdout" {
		t.Fatal(ct, cd)
	}
	rec = do(h, request("GET /files/download?path="+virtual+"/stdout", "", "Range: bytes=1-2"))
	wantSingle(t, rec, 206, "el")
}

// A task may change its sandbox while it is read: links and directories take turns.
func TestSandboxThatChangesWhileItIsRead(t *testing.T) {
	h, dir := sandbox(t)
	swap := filepath.Join(dir, "swap")
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			next := swap + fmt.Sprint(i)
			var err error
			if i%2 == 0 {
				err = os.Symlink("../other", next)
			} else {
				err = errors.Join(os.Mkdir(next, 0o755), os.WriteFile(filepath.Join(next, "stdout"), []byte("mine"), 0o644))
			}
			if err = errors.Join(err, os.RemoveAll(swap), os.Rename(next, swap)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 500 {
		rec := readFile(h, "offset=0&path="+virtual+"/swap/stdout")
		if strings.Contains(rec.Body.String(), "secret") || rec.Code >= 500 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		if rec := do(h, request("GET /files/browse?path="+virtual+"/swap", "")); rec.Code >= 500 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
	}
	close(stop)
	swapping.Wait()
}

func TestSandboxThatIsGone(t *testing.T) {
	h, dir := sandbox(t)
	must(t, os.RemoveAll(dir))
	wantSingle(t, readFile(h, "offset=0&path="+virtual+"/stdout"), 404, "not found")
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{virtual + "/a/../b", "/master/log", "//frameworks/x/executors/y/runs/z", "\x00", "../frameworks/F/executors/E/runs/R/../.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		target, ok := parseTarget(name)
		if !ok || target.log {
			return
		}
		for _, part := range append(strings.Split(target.inside, "/"), target.framework, target.executor, target.run) {
			if part == ".." || part == "" || strings.ContainsRune(part, 0) {
				t.Fatalf("%q became %+v", name, target)
			}
		}
		if strings.HasPrefix(target.inside, "/") || strings.Contains(target.framework+target.executor+target.run, "/") {
			t.Fatalf("%q became %+v", name, target)
		}
	})
}

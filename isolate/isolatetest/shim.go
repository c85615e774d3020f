package isolatetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var shim = sync.OnceValues(func() ([]byte, error) {
	if path := os.Getenv("MUSTER_SHIM"); path != "" {
		return os.ReadFile(path)
	}
	dir, err := os.MkdirTemp("", "muster-shim-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "muster-shim")
	cmd := exec.Command("go", "build", "-tags", "netgo osusergo runc_nocriu",
		"-ldflags", `-s -w -extldflags "-static"`, "-o", path, "muster/cmd/muster-shim")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return out, err
	}
	return os.ReadFile(path)
})

// Shim builds the shim's program as it is shipped, for tests that run real
// containers: the test's own program would do, but not show what it costs. On a
// machine without a compiler MUSTER_SHIM names the file to use.
func Shim(t testing.TB) []byte {
	t.Helper()
	body, err := shim()
	if err != nil {
		t.Fatalf("build muster-shim: %v\n%s", err, body)
	}
	return body
}

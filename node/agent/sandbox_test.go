package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/node/agent/checkpoint"
)

// A start that is done again meets a sandbox that its task may have changed.
func TestSandboxMadeAgainFollowsNoLink(t *testing.T) {
	a := &Agent{cfg: Config{SwitchUser: new(bool)}}
	outside := filepath.Join(t.TempDir(), "outside")
	l := &checkpoint.Launch{Directory: proto.String(filepath.Join(t.TempDir(), "run"))}
	if err := a.makeSandbox(l); err != nil {
		t.Fatal(err)
	}
	stdout := filepath.Join(l.GetDirectory(), "stdout")
	if err := errors.Join(os.Remove(stdout), os.Symlink(outside, stdout)); err != nil {
		t.Fatal(err)
	}
	if err := a.makeSandbox(l); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(outside); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a link led out of the sandbox: %v", err)
	}
}

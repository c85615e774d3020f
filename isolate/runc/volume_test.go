package runc_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/isolate"
)

// volume makes a directory of the host with a file in it.
func (b *bench) volume(name string) string {
	b.t.Helper()
	dir := filepath.Join(b.t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(name+"\n"), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

func TestVolumesAreWhereTheTaskWantsThem(t *testing.T) {
	b := newBench(t)
	hidden, err := os.MkdirTemp("/var", "muster-test-") // /tmp is not the host's
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(hidden)
	b.cfg.Hidden = []string{hidden}
	b.Driver = b.open()
	data, fixed, apart := b.volume("data"), b.volume("fixed"), b.volume("apart")
	spec := b.shell("")
	spec.Sandbox = filepath.Join(hidden, "sandbox")
	if err := os.Mkdir(spec.Sandbox, 0o755); err != nil {
		t.Fatal(err)
	}
	spec.Volumes = []isolate.Volume{
		{Source: data, Target: "a/data"}, {Source: fixed, Target: "fixed", ReadOnly: true}, {Source: apart, Target: "/srv-of-task/apart"},
	}
	*spec.Command.Value = "cat a/data/file fixed/file /srv-of-task/apart/file; echo w > a/data/written; " +
		"cat " + spec.Sandbox + "/a/data/written; touch fixed/x 2>/dev/null || echo read-only; echo w > /srv-of-task/apart/written"
	if _, out := b.run(spec); out != "data\nfixed\napart\nw\nread-only\n" {
		t.Errorf("output %q", out)
	}
	for _, dir := range []string{data, apart} {
		if body, err := os.ReadFile(filepath.Join(dir, "written")); err != nil || string(body) != "w\n" {
			t.Errorf("%s: %q, %v", dir, body, err)
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), data) {
		t.Errorf("mounted on the host, too (%v)", err)
	}
}

func TestVolumeTargetLeadsThroughNoLink(t *testing.T) {
	b := newBench(t)
	spec := b.shell("true")
	spec.Volumes = []isolate.Volume{{Source: b.volume("v"), Target: "/var/run/muster-test-volume"}}
	if info, err := os.Lstat("/var/run"); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Fatal("/var/run is no link, as it is on the systems muster is tested on")
	}
	if _, err := b.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "mount point /var/run/muster-test-volume") {
		t.Errorf("Start: %v", err)
	}
	if _, err := os.Stat("/run/muster-test-volume"); err == nil {
		t.Error("a mount point was made on the host")
	}
}

func TestHiddenDirectoriesOfASpecAreNotSeen(t *testing.T) {
	b := newBench(t)
	dir := b.volume("disk")
	spec := b.shell("ls -A " + dir + " | wc -l; cat data/file")
	spec.Hidden = []string{dir, filepath.Join(dir, "absent")}
	spec.Volumes = []isolate.Volume{{Source: dir, Target: "data"}}
	if _, out := b.run(spec); !strings.HasPrefix(out, "0\n") || !strings.HasSuffix(out, "disk\n") {
		t.Errorf("output %q", out)
	}
}

package runc_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/isolate/runc/seccomp"
	"muster/isolate/runc/state"
	"muster/offers/resource"
)

// lines runs a line of shell and returns what it wrote, by line.
func (b *bench) lines(line string) []string {
	b.t.Helper()
	_, out := b.run(b.shell(line))
	return strings.Split(strings.TrimSuffix(out, "\n"), "\n")
}

func TestHostIsReadOnly(t *testing.T) {
	b := newBench(t)
	for _, dir := range []string{"/", "/usr", "/etc", "/var", "/root", "/mnt", "/run", "/proc/sys/kernel", "/sys"} {
		if out := b.lines("touch " + dir + "/x 2>/dev/null && echo written || echo refused"); out[0] != "refused" {
			t.Errorf("%s: %v", dir, out)
		}
	}
	out := b.lines("cat /etc/hostname; ls /proc/1/exe > /dev/null && echo own processes; ls -d /bin/sh")
	host, err := os.ReadFile("/etc/hostname")
	if err != nil {
		t.Skip(err)
	}
	if out[0] != strings.TrimSpace(string(host)) || len(out) < 2 {
		t.Fatalf("the host's files are not seen: %q", out)
	}
}

func TestTmpIsPrivateAndSandboxShared(t *testing.T) {
	b := newBench(t)
	marker := filepath.Join(os.TempDir(), "muster-host-marker")
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(marker)
	spec := b.shell("ls -A /tmp; pwd; echo x > /tmp/file; echo y > result; cat /tmp/file; stat -c %a /tmp")
	_, out := b.run(spec)
	if out != "/mnt/mesos/sandbox\nx\n1777\n" {
		t.Fatalf("output %q", out)
	}
	if body, err := os.ReadFile(filepath.Join(spec.Sandbox, "result")); err != nil || string(body) != "y\n" {
		t.Fatalf("sandbox: %q, %v", body, err)
	}
	if out := b.lines("ls -A /tmp | wc -l"); out[0] != "0" {
		t.Fatalf("another container's /tmp holds %s files", out)
	}
}

func TestDataDirectoryIsHidden(t *testing.T) {
	b := newBench(t)
	// Below a directory that containers do see.
	secret, err := os.MkdirTemp("/var", "muster-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(secret)
	if err := os.WriteFile(filepath.Join(secret, "key"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.cfg.Hidden = []string{secret}
	b.Driver = b.open()
	if out := b.lines("ls -A " + secret + "; cat " + secret + "/key 2>/dev/null; ls -d " + secret); len(out) != 1 || out[0] != secret {
		t.Fatalf("seen: %q", out)
	}
	// But for the container's own sandbox, which is also found where the host has it.
	spec := b.shell("")
	spec.Sandbox = filepath.Join(secret, "sandboxes", "one")
	if err := os.MkdirAll(filepath.Join(secret, "sandboxes", "other"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(spec.Sandbox, 0o755); err != nil {
		t.Fatal(err)
	}
	spec.Command.Value = proto.String("cd " + spec.Sandbox + " && echo x > file && ls .. ../.. && cat " + isolate.SandboxPath + "/file; touch ../y")
	if _, out := b.run(spec); out != "..:\none\n\n../..:\nsandboxes\nx\n" {
		t.Fatalf("seen: %q", out)
	}
	if _, err := os.Stat(filepath.Join(secret, "sandboxes", "y")); err == nil {
		t.Fatal("a container wrote beside its sandbox")
	}
}

func TestLimitsAreInTheCgroup(t *testing.T) {
	b := newBench(t)
	spec := b.shell("exec sleep 1000")
	set, err := resource.Parse("cpus:0.5;mem:100")
	if err != nil {
		t.Fatal(err)
	}
	spec.Resources = set
	spec.Limits = map[string]float64{"cpus": 1.5, "mem": 200}
	check := func(spec isolate.Spec, v1, v2 map[string]string) {
		t.Helper()
		status, err := b.Start(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		for file, want := range pick(state.Unified(), v2, v1) {
			dir, name := status.Cgroups[""], file
			if !state.Unified() {
				controller, rest, _ := strings.Cut(file, "/")
				dir, name = status.Cgroups[controller], rest
			}
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || strings.TrimSpace(string(got)) != want {
				t.Errorf("%s: %q, %v, want %q", file, got, err, want)
			}
		}
	}
	check(spec, map[string]string{
		"cpu/cpu.shares": "512", "cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000",
		"memory/memory.limit_in_bytes": "209715200", "memory/memory.soft_limit_in_bytes": "104857600",
		"pids/pids.max": "4096",
	}, map[string]string{
		"cpu.max": "150000 100000", "memory.max": "209715200", "memory.low": "104857600", "pids.max": "4096",
	})
	revocable := b.shell("exec sleep 1000")
	revocable.Revocable = true
	check(revocable, map[string]string{"cpu/cpu.idle": "1", "memory/memory.limit_in_bytes": "67108864"},
		map[string]string{"cpu.idle": "1", "memory.max": "67108864"})
}

// All containers together weigh as much as the machine's CPUs: from the start of
// the daemon, after a restart, and when another daemon has removed the cgroup.
func TestAllContainersWeighAsTheCPUs(t *testing.T) {
	b := newBench(t)
	dir, file, want := "/sys/fs/cgroup/cpu/"+b.cfg.Cgroup, "cpu.shares", 1024*runtime.NumCPU()
	if state.Unified() {
		dir, file, want = "/sys/fs/cgroup/"+b.cfg.Cgroup, "cpu.weight", 100*runtime.NumCPU()
	}
	weigh := func(when string, want int) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || strings.TrimSpace(string(got)) != strconv.Itoa(want) {
			t.Errorf("%s, %s: %q, %v, want %d", when, file, got, err, want)
		}
	}
	weigh("at first", want)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Start(t.Context(), b.shell("exec sleep 1000")); err != nil {
		t.Fatal(err)
	}
	weigh("made again", want)
	if err := os.WriteFile(filepath.Join(dir, file), []byte("150"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Start(t.Context(), b.shell("exec sleep 1000")); err != nil {
		t.Fatal(err)
	}
	weigh("changed by somebody", 150)
	b.open()
	weigh("after a restart", want)
}

func TestSmallestTaskStarts(t *testing.T) {
	b := newBench(t)
	spec := b.shell("echo ran")
	set, err := resource.Parse("cpus:0.01;mem:1")
	if err != nil {
		t.Fatal(err)
	}
	spec.Resources = set
	if exit, out := b.run(spec); out != "ran\n" || exit.OOM {
		t.Fatalf("exit %+v, output %q", exit, out)
	}
	spec = b.shell("echo ran")
	spec.Resources = resource.Set{}
	if exit, out := b.run(spec); out != "ran\n" {
		t.Fatalf("without resources: exit %+v, output %q", exit, out)
	}
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

func TestNamespacesAndPrivileges(t *testing.T) {
	b := newBench(t)
	out := strings.Join(b.lines(`
		grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd):' /proc/self/status | tr -d '\t '
		cut -d: -f3 /proc/self/cgroup | sort -u
		ls -A /dev | tr '\n' ' '; echo
		ls /proc | grep -c '^[0-9]'`), "\n")
	mode := "Seccomp:0"
	if seccomp.Available {
		mode = "Seccomp:2"
	}
	// The capabilities are Docker's without CAP_MKNOD.
	for _, want := range []string{"NoNewPrivs:1\n", mode, "CapEff:00000000a00425fb\n", "CapBnd:00000000a00425fb\n", "\n/\n", "null", "zero", "urandom"} {
		if !strings.Contains(out+"\n", want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	for _, gone := range []string{"sda", "vda", "kmsg", "mem"} {
		if strings.Contains(out, gone) {
			t.Errorf("device %s is there:\n%s", gone, out)
		}
	}
}

func TestForbiddenIsRefused(t *testing.T) {
	b := newBench(t)
	for _, line := range []string{
		"unshare -U true", "unshare -m true", "mount -t tmpfs x /tmp", "umount /proc", "mknod /tmp/sda b 8 0",
		"test -n \"$(head -c 1 /proc/kcore)\"", "hostname other", "chroot / mount -t proc proc /tmp", "dmesg",
	} {
		if exit, out := b.run(b.shell(line + " >/dev/null 2>&1")); exit.Code == 0 {
			t.Errorf("%q succeeded: %s", line, out)
		}
	}
	if out := b.lines("cd /proc/$$/fd; for f in 3 4 5 6 7 8 9; do readlink $f; done"); out[0] != "" {
		t.Errorf("the command has inherited files: %q", out)
	}
}

func TestHostnameIsItsOwnWhereGiven(t *testing.T) {
	b := newBench(t)
	spec := b.shell("uname -n")
	spec.Hostname = "web-1"
	if _, out := b.run(spec); out != "web-1\n" {
		t.Fatalf("hostname %q", out)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if out := b.lines("uname -n"); out[0] != name {
		t.Fatalf("hostname %q, the host's is %q", out, name)
	}
}

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"muster/deploy/e2e/cluster"
	"muster/isolate/isolatetest"
	"muster/node/client"
	"muster/offers/mesos"
)

// withoutPrograms is set in the environment of this test's own binary when it is to
// become the program named by its arguments, on a kernel that lets no eBPF program
// see anything.
const withoutPrograms = "MUSTER_E2E_WITHOUT_PROGRAMS"

// becomeWithoutPrograms does that; it returns only if it cannot.
func becomeWithoutPrograms(args []string) error {
	const attach, link = 17, 28 // BPF_RAW_TRACEPOINT_OPEN, BPF_LINK_CREATE; what devices of containers take on cgroup v2 is neither
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	skipUnless := func(k uint32, n uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: n}
	}
	answer := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
	}
	refuse := answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	filter := []unix.SockFilter{
		load(0), skipUnless(unix.SYS_BPF, 5), // the call's number
		load(16), skipUnless(attach, 1), refuse, // its first argument
		skipUnless(link, 1), refuse,
		answer(unix.SECCOMP_RET_ALLOW),
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return syscall.Exec(args[0], args, os.Environ())
}

// A kernel that refuses eBPF costs the daemon one warning and some figures. Tasks are
// measured from their cgroups' files, in the same place, and lent all the same.
func TestRefusedProgramsCostOneWarning(t *testing.T) {
	isolatetest.NeedRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	wrapper := filepath.Join(t.TempDir(), "muster")
	script := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s %s \"$@\"\n", withoutPrograms, self, program)
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	c := clusterOf(t, cluster.Config{Muster: wrapper, Args: []string{"--oversubscription", "on"}})
	d := c.settled()
	f := subscribe(t, d, client.Protobuf, nil)
	f.begin("busy", "while :; do :; done")
	var u struct {
		Source string
		Tasks  []struct {
			CPUSeconds float64 `json:"cpu_seconds"`
		}
	}
	await(t, "what the task uses", func() bool {
		return d.JSON(t.Context(), "/muster/v1/usage", &u) == nil && len(u.Tasks) == 1 && u.Tasks[0].CPUSeconds > .05
	})
	if u.Source != "cgroup" {
		t.Errorf("measured by %s", u.Source)
	}
	await(t, "what the node lends", func() bool { return d.lending().Now.Allocated.CPUs > 0 })
	if s := f.status("busy"); s.GetState() != mesos.TaskState_TASK_RUNNING {
		t.Errorf("the task is %v", s)
	}
	var warnings []string
	for line := range strings.Lines(d.Tail(1 << 20)) {
		if strings.Contains(line, "level=WARN") && (strings.Contains(line, "eBPF") || strings.Contains(line, "measured")) {
			warnings = append(warnings, line)
		}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "tasks are measured from cgroup files") || !strings.Contains(warnings[0], "not permitted") {
		t.Errorf("%d warnings: %q", len(warnings), warnings)
	}
}

package e2e

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"golang.org/x/sys/unix"

	"muster/node/client"
	"muster/offers/mesos"
)

func userAndEnvironment(t *testing.T, d *daemon) {
	f := subscribe(t, d, client.Protobuf, nil)
	f.launchOne("who", "", func(info *mesos.TaskInfo) {
		info.Command = &mesos.CommandInfo{
			Value: proto.String(`id -un; pwd; echo "$GREETING, $0"; touch mine; test -w /etc && echo writes; cat /proc/self/status; env`),
			User:  proto.String("nobody"),
			Environment: &mesos.Environment{Variables: []*mesos.Environment_Variable{
				{Name: proto.String("GREETING"), Value: proto.String("good day\tto 'you'")},
			}},
		}
	})
	f.in(mesos.TaskState_TASK_FINISHED, "who")
	out := d.wrote(f.id(), "who", "stdout")
	for _, want := range []string{"nobody\n/mnt/mesos/sandbox\ngood day\tto 'you', sh\n", "NoNewPrivs:\t1\n", "MESOS_SANDBOX=", "MESOS_TASK_ID=who\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if strings.Contains(out, "writes") {
		t.Error("a task may write to /etc")
	}
	f.launchOne("argv", "", func(info *mesos.TaskInfo) {
		info.Command = &mesos.CommandInfo{Shell: proto.Bool(false), Value: proto.String("/bin/echo"), Arguments: []string{"echo", "$HOME", "a  b"}}
	})
	f.in(mesos.TaskState_TASK_FINISHED, "argv")
	d.wrote(f.id(), "argv", "stdout", "$HOME a  b\n")
	f.launchOne("stranger", "true", func(info *mesos.TaskInfo) { info.Command.User = proto.String("no such user") })
	f.in(mesos.TaskState_TASK_FAILED, "stranger")
	if m := f.status("stranger").GetMessage(); !strings.Contains(m, "no such user") {
		t.Errorf("the message is %q", m)
	}
}

func outOfMemory(t *testing.T, d *daemon) {
	f := subscribe(t, d, client.Protobuf, nil)
	f.launchOne("greedy", "tail /dev/zero")
	f.in(mesos.TaskState_TASK_FAILED, "greedy")
	s := f.status("greedy")
	if s.GetReason() != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY || s.GetSource() != mesos.TaskStatus_SOURCE_AGENT {
		t.Errorf("%v", s)
	}
	if !strings.Contains(strings.ToLower(s.GetMessage()), "memory") {
		t.Errorf("the message is %q", s.GetMessage())
	}
}

func killing(t *testing.T, d *daemon) {
	f := subscribe(t, d, client.Protobuf, nil)
	grace := func(s time.Duration) func(*mesos.TaskInfo) {
		return func(info *mesos.TaskInfo) {
			info.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(s))}}
		}
	}
	f.begin("polite", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done", grace(patience))
	f.begin("deaf", "trap '' TERM; echo ready; while :; do sleep 0.05; done", grace(1500*time.Millisecond))
	d.wrote(f.id(), "polite", "stdout", "ready") // the traps are set
	d.wrote(f.id(), "deaf", "stdout", "ready")
	deaf := tasksOf(t, d, "deaf")["deaf"].PID
	begun := time.Now()
	for _, id := range []string{"polite", "deaf"} {
		if err := f.session.Kill(t.Context(), &mesos.TaskID{Value: proto.String(id)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	f.in(mesos.TaskState_TASK_KILLED, "polite")
	f.in(mesos.TaskState_TASK_KILLED, "deaf")
	if took := time.Since(begun); took < 1500*time.Millisecond {
		t.Errorf("killed by force after %v", took)
	}
	for _, id := range []string{"polite", "deaf"} {
		states := f.saw(id)
		if n := len(states); n < 3 || !slices.Equal(states[n-3:], []mesos.TaskState{mesos.TaskState_TASK_RUNNING, mesos.TaskState_TASK_KILLING, mesos.TaskState_TASK_KILLED}) {
			t.Errorf("%s went through %v", id, states)
		}
	}
	d.wrote(f.id(), "polite", "stdout", "bye")
	gone(t, deaf)
	if err := f.session.Kill(t.Context(), &mesos.TaskID{Value: proto.String("nobody")}, nil); err != nil {
		t.Fatal(err)
	}
	f.in(mesos.TaskState_TASK_UNKNOWN, "nobody")
}

func teardown(t *testing.T, d *daemon) {
	f := subscribe(t, d, client.Protobuf, nil)
	ids := f.launch("", "doomed", 3, "trap '' TERM; sleep 1000")
	f.in(mesos.TaskState_TASK_RUNNING, ids...)
	found := tasksOf(t, d, ids...)
	if err := f.session.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, u := range found {
		gone(t, u.PID)
	}
	<-f.ended // by the cluster
}

func gone(t *testing.T, pid int) {
	t.Helper()
	await(t, "the end of process "+strconv.Itoa(pid), func() bool { return unix.Kill(pid, 0) != nil })
}

// used is a task in /muster/v1/usage.
type used struct {
	TaskID      string  `json:"task_id"`
	ContainerID string  `json:"container_id"`
	CPUSeconds  float64 `json:"cpu_seconds"`
	MemTotal    float64 `json:"mem_total_bytes"`
	WorkingSet  float64 `json:"mem_working_set_bytes"`
	Allocated   float64 `json:"mem_allocated_bytes"`
	Processes   int     `json:"processes"`
	PID         int     `json:"pid"`
}

// tasksOf waits until d measures the tasks.
func tasksOf(t *testing.T, d *daemon, ids ...string) map[string]used {
	t.Helper()
	out := map[string]used{}
	await(t, "usage of "+strings.Join(ids, ", "), func() bool {
		var view struct{ Tasks []used }
		if d.JSON(t.Context(), "/muster/v1/usage", &view) != nil {
			return false
		}
		clear(out)
		for _, u := range view.Tasks {
			if slices.Contains(ids, u.TaskID) {
				out[u.TaskID] = u
			}
		}
		return len(out) == len(ids)
	})
	return out
}

// measured compares with the kernel's own accounts once the task is idle again:
// both then stand still.
func measured(t *testing.T, d *daemon) {
	f := subscribe(t, d, client.Protobuf, nil)
	const held = 16 << 20 // bytes
	f.begin("busy", "timeout 4 sh -c 'while :; do :; done'; head -c "+strconv.Itoa(held)+" /dev/zero > /tmp/x; x=$(head -c 1000000 /tmp/x | tr '\\0' a); echo idle; sleep 1000", func(info *mesos.TaskInfo) {
		info.Resources[0].Scalar.Value = proto.Float64(2)
	})
	d.wrote(f.id(), "busy", "stdout", "idle")
	var got used
	var kernel float64
	await(t, "the kernel's figure", func() bool {
		got = tasksOf(t, d, "busy")["busy"]
		kernel = cpuOf(t, got.ContainerID)
		return math.Abs(got.CPUSeconds-kernel) <= 0.02*kernel
	})
	t.Logf("%.3f s of CPU, the kernel says %.3f s; %.1f MB in use, %.1f MB in all", got.CPUSeconds, kernel, got.WorkingSet/(1<<20), got.MemTotal/(1<<20))
	if kernel < 0.3 {
		t.Errorf("only %.3f s of CPU in 4 s", kernel)
	}
	if got.MemTotal < 1<<20 || got.MemTotal > 32<<20 || got.WorkingSet > got.MemTotal || got.Allocated != 32<<20 || got.Processes < 2 {
		t.Errorf("%+v", got)
	}
	// Idle, it uses no more: what is told is no estimate that grows by itself.
	if again := cpuOf(t, got.ContainerID); again-kernel > 0.05 {
		t.Errorf("the task is not idle: %.3f s, then %.3f s", kernel, again)
	}
}

// cpuOf is a container's CPU time by the kernel's account, in seconds.
func cpuOf(t *testing.T, container string) float64 {
	t.Helper()
	read := func(pattern string) string {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			return ""
		}
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	text, unit := strings.TrimSpace(read("/sys/fs/cgroup/cpuacct/*/"+container+"/cpuacct.usage")), 1e9
	if text == "" {
		stat := read("/sys/fs/cgroup/*/" + container + "/cpu.stat")
		_, rest, _ := strings.Cut(stat, "usage_usec ")
		text, _, _ = strings.Cut(rest, "\n")
		unit = 1e6
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("the kernel's account of %s: %v", container, err)
	}
	return n / unit
}

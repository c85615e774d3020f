package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/deploy/e2e/cluster"
	"muster/node/client"
	"muster/offers/mesos"
)

// lender starts one node that reserves most of two CPUs for role web, and lends
// what web does not use. Whatever else the machine has or does, two CPUs are
// what is counted, and muster's tasks have them: tests ask what the node decides,
// not whether the machine is quiet.
func lender(t *testing.T, settings ...string) *daemon {
	t.Helper()
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs: one for the tasks that suffer, one for those that are lent the rest")
	}
	c := clusterOf(t, cluster.Config{Resources: "cpus(web):1.8;cpus:0.2;mem(web):6144;mem:1024;disk:4096", Args: append([]string{
		"--oversubscription", "on", "--oversubscription-estimator", "share", "--oversubscription-step", "1s", "--oversubscription-horizon", "10s",
		"--oversubscription-warm", "2s", "--oversubscribed-resources-interval", "1s",
		"--oversubscription-system-cpus", strconv.Itoa(runtime.NumCPU() - 2)}, settings...)})
	return c.settled()
}

// outweigh gives muster's tasks precedence over all else that this machine does.
func outweigh(t *testing.T) {
	t.Helper()
	restore, err := cluster.Outweigh()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := restore(); err != nil {
			t.Error(err)
		}
	})
}

// part is some of what an offer holds, of the revocable part or of the other.
func part(o *mesos.Offer, name string, amount float64, revocable bool) *mesos.Resource {
	for _, r := range o.GetResources() {
		if r.GetName() == name && (r.GetRevocable() != nil) == revocable && r.GetScalar().GetValue() >= amount {
			r = proto.CloneOf(r)
			r.Scalar.Value = &amount
			return r
		}
	}
	return nil
}

// wants is an offer that holds some revocable resources, or some others.
func (f *framework) wants(cpus, mem float64, revocable bool) *mesos.Offer {
	f.t.Helper()
	var found *mesos.Offer
	await(f.t, fmt.Sprintf("an offer of cpus %v, mem %v, revocable: %v", cpus, mem, revocable), func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for id, o := range f.offers {
			if scalarOf(o, "cpus", revocable) >= cpus && scalarOf(o, "mem", revocable) >= mem {
				found = o
				delete(f.offers, id)
				return true
			}
		}
		return false
	})
	return found
}

// job is a task with its resources.
func job(o *mesos.Offer, id, command string, resources ...*mesos.Resource) *mesos.TaskInfo {
	info := task(o, id, command)
	info.Resources = resources
	return info
}

func (f *framework) run(o *mesos.Offer, tasks ...*mesos.TaskInfo) {
	f.t.Helper()
	if err := f.session.Accept(f.t.Context(), 0, []*mesos.OfferID{o.GetId()}, client.Launch(tasks...)); err != nil {
		f.t.Fatal(err)
	}
	for _, info := range tasks {
		f.in(mesos.TaskState_TASK_RUNNING, info.GetTaskId().GetValue())
	}
}

// tell has a task go on that waits for its pipe.
func (d *daemon) tell(f *framework, task string) {
	d.t.Helper()
	pipe := filepath.Join(d.sandbox(f.id(), task), "go")
	await(d.t, "the pipe of "+task, func() bool {
		s, err := os.Stat(pipe)
		return err == nil && s.Mode()&fs.ModeNamedPipe != 0
	})
	w, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err == nil {
		_, err = w.WriteString("go\n")
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { w.Close() }) // it may not have read yet
}

// lending is /muster/v1/oversubscription.
type lending struct {
	Now struct {
		Lent, Borrowed, Allocated struct{ CPUs, Mem float64 }
	}
	Corrections []struct {
		Time                  time.Time
		Action, Cause, Reason string
		Task                  string `json:"task_id"`
	}
	Totals struct{ Violations uint64 }
}

func (d *daemon) lending() (v lending) {
	d.t.Helper()
	if err := d.JSON(d.t.Context(), "/muster/v1/oversubscription", &v); err != nil {
		d.t.Logf("oversubscription: %v", err) // asked again by who waits
	}
	return v
}

// place is where an action, on a task if one is named, is in the record; -1 if not.
func (l lending) place(action, task string) int {
	for i, c := range l.Corrections {
		if c.Action == action && (task == "" || c.Task == task) {
			return i
		}
	}
	return -1
}

// idle tells whether the CPU controller gives a task only what nobody else wants.
func (d *daemon) idle(task string) (how string) {
	d.t.Helper()
	var u struct {
		Tasks []struct {
			Task string `json:"task_id"`
			PID  int    `json:"pid"`
		}
	}
	pid := 0
	await(d.t, "the process of "+task, func() bool {
		if d.JSON(d.t.Context(), "/muster/v1/usage", &u) != nil {
			return false
		}
		for _, e := range u.Tasks {
			if e.Task == task {
				pid = e.PID
			}
		}
		return pid != 0
	})
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		d.t.Fatal(err)
	}
	dir := ""
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if slices.Contains(strings.Split(f[1], ","), "cpu") {
			dir = filepath.Join("/sys/fs/cgroup/cpu", f[2])
			break
		}
		if f[0] == "0" {
			dir = filepath.Join("/sys/fs/cgroup", f[2])
		}
	}
	for file, lowest := range map[string]string{"cpu.idle": "1", "cpu.shares": "2", "cpu.weight": "1"} {
		value, err := os.ReadFile(filepath.Join(dir, file))
		if err == nil && strings.TrimSpace(string(value)) == lowest {
			return file
		}
	}
	return ""
}

const (
	waiting  = "mkfifo go; read x < go; "
	spinning = "exec taskset -c %d sh -c 'while :; do :; done'"
)

// batch is a framework that takes what may be taken back.
func batch(t *testing.T, d *daemon) *framework {
	return subscribe(t, d, client.Protobuf, func(info *mesos.FrameworkInfo) {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES.Enum()})
	})
}

func owner(t *testing.T, d *daemon) *framework {
	return subscribe(t, d, client.JSON, func(info *mesos.FrameworkInfo) { info.Roles = []string{"web"} })
}

// unhurt wants the owner's tasks never to have been anything but running.
func (f *framework) unhurt(ids ...string) {
	f.t.Helper()
	for _, id := range ids {
		for _, s := range f.saw(id) {
			if s != mesos.TaskState_TASK_STARTING && s != mesos.TaskState_TASK_RUNNING {
				f.t.Errorf("%s was %v: %s", id, s, f.status(id).GetMessage())
			}
		}
	}
}

// evicted waits for a task's end, and wants it to have been preempted.
func (f *framework) evicted(id, why string) {
	f.t.Helper()
	f.in(mesos.TaskState_TASK_GONE, id)
	if s := f.status(id); s.GetReason() != mesos.TaskStatus_REASON_CONTAINER_PREEMPTED || s.GetSource() != mesos.TaskStatus_SOURCE_AGENT || !strings.Contains(s.GetMessage(), why) {
		f.t.Errorf("%s ended as %v", id, s)
	}
}

// What role web has reserved and does not use is lent; the tasks that borrow it run
// on what nobody wants. When web's tasks wait for CPUs, no more is lent at once,
// and the borrowers are limited, frozen and, the youngest first, evicted. Web loses
// nothing that it has reserved, and none of its tasks.
func TestLentCPUsAreTakenBackWhenTheirOwnersWait(t *testing.T) {
	d := lender(t)
	web := owner(t, d)
	o := web.wants(1.8, 6144, false)
	if part(o, "cpus", 0.001, true) != nil {
		t.Fatalf("a framework without the capability is offered %v", o.GetResources())
	}
	web.run(o, job(o, "server", waiting+fmt.Sprintf(spinning, 0), part(o, "cpus", 1.4, false), part(o, "mem", 3072, false)),
		job(o, "rival", waiting+fmt.Sprintf(spinning, 0), part(o, "cpus", 0.4, false), part(o, "mem", 64, false)))
	outweigh(t)

	b := batch(t, d)
	o = b.wants(0.9, 128, true)
	if got := scalarOf(o, "cpus", false); got > 0.2 {
		t.Errorf("beside what is lent, cpus %v of others' reservations are offered", got)
	}
	b.run(o, job(o, "old", fmt.Sprintf(spinning, 1), part(o, "cpus", 0.1, true), part(o, "mem", 64, true)),
		job(o, "young", fmt.Sprintf(spinning, 1), part(o, "cpus", 0.8, true), part(o, "mem", 64, true)))
	for _, id := range []string{"old", "young"} {
		if how := d.idle(id); how == "" {
			t.Errorf("%s runs at full weight", id)
		} else {
			t.Logf("%s has the lowest %s", id, how)
		}
	}
	if how := d.idle("server"); how != "" {
		t.Errorf("the owner's task has the lowest %s", how)
	}
	b.wants(0.01, 0, true) // it is taken from the list, and stays open
	rescinded := b.count(func() int { return b.rescinded })

	burst := time.Now()
	d.tell(web, "server")
	d.tell(web, "rival")
	await(t, "all borrowers to stand still", func() bool { return d.lending().place("freeze", "old") >= 0 })
	// The server waits no longer: had it gone on, nobody would be evicted for it.
	if err := web.session.Kill(t.Context(), &mesos.TaskID{Value: proto.String("rival")}, nil); err != nil {
		t.Fatal(err)
	}
	b.evicted("young", "Preempted: frozen, and of ")
	l := d.lending()
	for i, action := range []string{"withhold", "limit", "freeze", "evict"} {
		task := ""
		if i >= 2 {
			task = "young"
		}
		at := l.place(action, task)
		if at < 0 || l.Corrections[at].Reason == "" {
			t.Fatalf("no %s %s among %+v", action, task, l.Corrections)
		}
		c := l.Corrections[at]
		if i < 3 && c.Cause != "server" && c.Cause != "rival" {
			t.Errorf("%s because of %q", action, c.Cause)
		}
		t.Logf("%s %s after %v: %s", action, c.Task, c.Time.Sub(burst).Round(10*time.Millisecond), c.Reason)
	}
	if old, young := l.place("freeze", "old"), l.place("freeze", "young"); old >= 0 && old < young {
		t.Error("the older task was frozen first")
	}
	if old := l.place("evict", "old"); old >= 0 && old < l.place("evict", "young") {
		t.Error("the older task was evicted first")
	}
	if l.Totals.Violations == 0 {
		t.Error("no violation is counted")
	}
	if n := b.count(func() int { return b.rescinded }); n == rescinded {
		t.Error("an offer of what is no longer lent was not rescinded")
	}
	web.wants(0.4, 0, false) // what was reserved is there for its owner
	web.unhurt("server")
}

// scalarOf sums the revocable resources of a kind in an offer, or the others.
func scalarOf(o *mesos.Offer, name string, revocable bool) (sum float64) {
	for _, r := range o.GetResources() {
		if r.GetName() == name && (r.GetRevocable() != nil) == revocable {
			sum += r.GetScalar().GetValue()
		}
	}
	return sum
}

// Memory that is lent cannot be taken away from who uses it: when its owner wants it
// and the machine runs short, those who borrowed are evicted, the youngest first.
func TestLentMemoryEndsWithItsBorrowers(t *testing.T) {
	const headroom, wanted, held = 2 << 30, 3 << 30, 100 << 20
	total, available := memory(t)
	if available < 2*wanted {
		t.Skipf("needs %d MB of free memory", 2*wanted>>20)
	}
	high := float64(total-available+headroom) / float64(total)
	d := lender(t, "--qos-memory-high", strconv.FormatFloat(high, 'f', 4, 64), "--qos-correction-interval-min", "2s")
	hold := func(bytes int) string { return fmt.Sprintf("(head -c %d /dev/zero; sleep 100000) | tail -n 1", bytes) }
	web := owner(t, d)
	o := web.wants(1, 5000, false)
	web.run(o, job(o, "server", waiting+hold(wanted), part(o, "cpus", 1, false), part(o, "mem", 5000, false)))
	outweigh(t)

	b := batch(t, d)
	o = b.wants(0.2, 400, true)
	b.run(o, job(o, "older", hold(held), part(o, "cpus", 0.1, true), part(o, "mem", 160, true)),
		job(o, "younger", hold(held), part(o, "cpus", 0.1, true), part(o, "mem", 160, true)))
	b.wants(0, 32, true)
	rescinded := b.count(func() int { return b.rescinded })
	d.tell(web, "server")
	b.evicted("younger", "MB are in use")
	b.evicted("older", "MB are in use")
	await(t, "no memory to be lent, and the offer of it to be taken back", func() bool {
		return d.lending().Now.Lent.Mem == 0 && b.count(func() int { return b.rescinded }) > rescinded
	})
	if l := d.lending(); l.place("evict", "younger") > l.place("evict", "older") {
		t.Errorf("the older was evicted first: %+v", l.Corrections)
	}
	web.unhurt("server")
}

// memory is the machine's, and what of it could be had, in bytes.
func memory(t *testing.T) (total, available uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kb uint64
		if _, err := fmt.Sscanf(line, "MemTotal: %d", &kb); err == nil {
			total = kb << 10
		}
		if _, err := fmt.Sscanf(line, "MemAvailable: %d", &kb); err == nil {
			available = kb << 10
		}
	}
	return total, available
}

package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"muster/isolate/isolatetest"
	"muster/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tree writes files below a fresh directory; the first part of a name is the
// controller, "" for cgroup2.
func tree(t *testing.T, files map[string]string) telemetry.Container {
	t.Helper()
	root := t.TempDir()
	c := telemetry.Container{ID: "c", Cgroups: map[string]string{}}
	for name, text := range files {
		controller, file, _ := strings.Cut(name, "/")
		dir := filepath.Join(root, "h-"+controller, "muster", "c")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c.Cgroups[controller] = dir
	}
	return c
}

var unifiedFiles = map[string]string{
	"/cpu.stat":            "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\nnr_periods 50\nnr_throttled 5\nthrottled_usec 700\n",
	"/memory.current":      "10000\n",
	"/memory.max":          "max\n",
	"/memory.swap.current": "77\n",
	"/memory.stat":         "anon 4000\nfile 5000\ninactive_file 2500\npgfault 120\npgmajfault 20\n",
	"/memory.events":       "low 0\noom 3\noom_kill 2\n",
	"/io.stat":             "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n253:0 rbytes=11 wbytes=22\n7:0 \n",
	"/pids.current":        "4\n",
	"/cgroup.procs":        "1\n2\n",
}

var hybridFiles = map[string]string{
	"/cpu.stat":                                       "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\n",
	"/cgroup.procs":                                   "",
	"cpu/cpu.stat":                                    "nr_periods 50\nnr_throttled 5\nthrottled_time 700000\n",
	"cpuacct/cpuacct.usage":                           "99\n",
	"memory/memory.usage_in_bytes":                    "10000\n",
	"memory/memory.limit_in_bytes":                    "9223372036854771712\n",
	"memory/memory.stat":                              "cache 1\nrss 1\ntotal_cache 5000\ntotal_rss 4000\ntotal_swap 77\ntotal_pgfault 120\ntotal_pgmajfault 20\ntotal_inactive_file 2500\n",
	"memory/memory.oom_control":                       "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
	"blkio/blkio.throttle.io_service_bytes_recursive": "8:0 Read 100\n8:0 Write 200\n8:0 Sync 0\n8:0 Total 300\n253:0 Read 11\n253:0 Write 22\nTotal 333\n",
	"pids/pids.current":                               "4\n",
}

func TestBothLayoutsTellTheSame(t *testing.T) {
	want := telemetry.Sample{
		CPU: 3 * time.Second, CPUUser: 2 * time.Second, CPUSys: time.Second,
		Throttled: 700 * time.Microsecond, Periods: 50, ThrottledPeriods: 5,
		MinorFlt: 100, MajorFlt: 20, ReadBytes: 111, WriteBytes: 222, OOMKills: 2,
		MemTotal: 10000, MemRSS: 4000, MemCache: 5000, MemWorkingSet: 7500, MemSwap: 77,
		Processes: 4,
	}
	for name, files := range map[string]map[string]string{"unified": unifiedFiles, "hybrid": hybridFiles} {
		t.Run(name, func(t *testing.T) {
			g, err := Open(tree(t, files))
			if err != nil {
				t.Fatal(err)
			}
			var got telemetry.Sample
			if err := g.Read(&got); err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("got\n%+v, expected\n%+v", got, want)
			}
		})
	}
}

func TestOldLayoutWithoutCgroup2(t *testing.T) {
	g, err := Open(tree(t, map[string]string{
		"cpuacct/cpuacct.usage":        "3000000000\n",
		"cpuacct/cpuacct.usage_user":   "2000000000\n",
		"cpuacct/cpuacct.usage_sys":    "1000000000\n",
		"memory/memory.usage_in_bytes": "10000\n",
		"memory/memory.limit_in_bytes": "20000\n",
		"memory/cgroup.procs":          "1\n2\n3\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	var got telemetry.Sample
	if err := g.Read(&got); err != nil {
		t.Fatal(err)
	}
	want := telemetry.Sample{CPU: 3 * time.Second, CPUUser: 2 * time.Second, CPUSys: time.Second,
		MemTotal: 10000, MemWorkingSet: 10000, MemLimit: 20000, Processes: 3}
	if got != want {
		t.Errorf("got\n%+v, expected\n%+v", got, want)
	}
}

func TestOddFilesDoNoHarm(t *testing.T) {
	files := map[string]string{}
	for name := range unifiedFiles {
		files[name] = "\x00 -1 99999999999999999999\n\nrbytes= wbytes=x\n"
	}
	g, err := Open(tree(t, files))
	if err != nil {
		t.Fatal(err)
	}
	var got telemetry.Sample
	if err := g.Read(&got); err != nil {
		t.Fatal(err)
	}
	if got.CPU != 0 || got.MemTotal != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestContainersComeGoAndVanish(t *testing.T) {
	s := New()
	a, b := tree(t, unifiedFiles), tree(t, hybridFiles)
	a.ID, b.ID = "a", "b"
	for _, c := range []telemetry.Container{a, b} {
		if err := s.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add(telemetry.Container{ID: "x", Cgroups: map[string]string{"": "/nowhere"}}); !errors.Is(err, telemetry.ErrVanished) {
		t.Errorf("adding a vanished container: %v", err)
	}
	if got, err := s.Read(); err != nil || len(got) != 2 || got["a"].At.IsZero() {
		t.Errorf("read %v %v", got, err)
	}
	if err := os.RemoveAll(a.Cgroups[""]); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.ReadOne("a"); ok {
		t.Error("a vanished container was read")
	}
	if got, err := s.Read(); err != nil || len(got) != 1 {
		t.Errorf("read %v %v", got, err)
	}
	s.Remove("b")
	s.Remove("b")
	if got, err := s.Read(); err != nil || len(got) != 0 {
		t.Errorf("read %v %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// The shell spins until it is killed; the files must tell what the process has used.
func TestRealCgroupTellsCPUTimeAndRunQueue(t *testing.T) {
	isolatetest.NeedRoot(t)
	root := "/sys/fs/cgroup/unified"
	if _, err := os.Stat(root); err != nil {
		root = "/sys/fs/cgroup"
	}
	dir := filepath.Join(root, "muster", "test-cgroup-"+strconv.Itoa(os.Getpid()))
	err := os.MkdirAll(dir, 0o755)
	for tries := 0; errors.Is(err, fs.ErrNotExist) && tries < 10; tries++ {
		err = os.MkdirAll(dir, 0o755) // another test removed the parent under us
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
		_ = os.Remove(filepath.Dir(dir)) // works for the last user of it
	})
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	s := New()
	if err := s.Add(telemetry.Container{ID: "c", Cgroups: map[string]string{"": dir}}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		got, ok := s.ReadOne("c")
		if !ok || time.Now().After(deadline) {
			t.Fatalf("read %+v %v", got, ok)
		}
		if got.CPU > 100*time.Millisecond && got.Switches > 0 && got.CPUUser > 0 && got.Processes == 1 {
			break
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
}

package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

var update = flag.Bool("update", false, "write testdata/v1.journal anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running opens the journal in dir and runs it until the test ends, or stop is called.
func running(t *testing.T, cfg Config) (j *Journal, s *State, stop func() error) {
	t.Helper()
	j, s, err := Open(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	return j, s, sync.OnceValue(func() error { cancel(); return <-ended })
}

// read opens the journal in dir, returns what it holds and closes it.
func read(t *testing.T, dir string) *State {
	t.Helper()
	j, s, err := Open(Config{Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

// put appends records and waits until they are on disk.
func put(t *testing.T, j *Journal, records ...*Record) {
	t.Helper()
	done := make(chan error, 1)
	j.Append(func(err error) { done <- err }, records...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func fid(id string) *mesos.FrameworkID { return &mesos.FrameworkID{Value: &id} }
func tid(id string) *mesos.TaskID      { return &mesos.TaskID{Value: &id} }

func frameworkRecord(id string) *Record {
	return &Record{Record: &Record_Framework{&mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n"), Id: fid(id)}}}
}

func launchRecord(f, task string) *Record {
	return &Record{Record: &Record_Launch{&Launch{
		FrameworkId: fid(f), ContainerId: proto.String("c-" + task), Directory: proto.String("/d/" + task), User: proto.String("u"), TimeNanoseconds: proto.Int64(5),
		Task: &mesos.TaskInfo{Name: proto.String(task), TaskId: tid(task), AgentId: &mesos.AgentID{Value: proto.String("S0")}, Data: []byte("data")},
	}}}
}

func updateRecord(f, task, uuid string, state mesos.TaskState) *Record {
	return &Record{Record: &Record_Update{&Update{FrameworkId: fid(f), Status: &mesos.TaskStatus{TaskId: tid(task), State: state.Enum(), Uuid: []byte(uuid)}}}}
}

func ackRecord(f, task, uuid string) *Record {
	return &Record{Record: &Record_Acknowledged{&Acknowledged{FrameworkId: fid(f), TaskId: tid(task), Uuid: []byte(uuid)}}}
}

// sample holds every kind of record.
func sample() []*Record {
	return []*Record{
		{Record: &Record_Agent{&Agent{AgentId: &mesos.AgentID{Value: proto.String("S0")}, Term: proto.Uint64(7), BootId: proto.String("boot")}}},
		frameworkRecord("f"), launchRecord("f", "running"), launchRecord("f", "done"), launchRecord("f", "forgotten"),
		updateRecord("f", "running", "u1", mesos.TaskState_TASK_STARTING), updateRecord("f", "running", "u2", mesos.TaskState_TASK_RUNNING),
		ackRecord("f", "running", "u1"), ackRecord("f", "running", "another"),
		{Record: &Record_Kill{&Kill{FrameworkId: fid("f"), TaskId: tid("running"), TimeNanoseconds: proto.Int64(9), GraceNanoseconds: proto.Int64(3e9), CompletionTime: proto.Bool(true)}}},
		updateRecord("f", "done", "u3", mesos.TaskState_TASK_FINISHED), ackRecord("f", "done", "u3"),
		{Record: &Record_Forget{&Forget{FrameworkId: fid("f"), TaskId: tid("forgotten")}}},
		frameworkRecord("g"), launchRecord("g", "other"),
		{Record: &Record_Shutdown{&Shutdown{FrameworkId: fid("g")}}},
	}
}

func checkSample(t *testing.T, s *State) {
	t.Helper()
	if s.Agent.GetAgentId().GetValue() != "S0" || s.Agent.GetTerm() != 7 || s.Agent.GetBootId() != "boot" {
		t.Errorf("agent %v", s.Agent)
	}
	r := s.Tasks[Key{"f", "running"}]
	if len(s.Tasks) != 2 || r == nil || r.State() != mesos.TaskState_TASK_RUNNING || r.Acked != 1 || r.Kill.GetGraceNanoseconds() != 3e9 ||
		!r.Kill.GetCompletionTime() || r.Launch.GetContainerId() != "c-running" || string(r.Launch.GetTask().GetData()) != "data" {
		t.Errorf("tasks %v, running %+v", s.Tasks, r)
	}
	if len(s.Completed) != 2 || s.Completed[0].State() != mesos.TaskState_TASK_FINISHED {
		t.Errorf("completed %v", s.Completed)
	}
	if len(s.Frameworks) != 2 || s.Frameworks["f"].Shutdown || !s.Frameworks["g"].Shutdown || s.Frameworks["g"].Info.GetName() != "n" {
		t.Errorf("frameworks %v", s.Frameworks)
	}
	if sorted := s.Sorted(); len(sorted) != 2 || sorted[0] != r {
		t.Errorf("order of tasks %v", sorted)
	}
}

func TestWhatWasAppendedIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	j, _, stop := running(t, Config{Dir: dir})
	put(t, j, sample()...)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s := read(t, dir)
	checkSample(t, s)
	checkSample(t, s.Clone())
	again := NewState(200)
	for _, r := range s.Records() {
		again.Apply(r)
	}
	checkSample(t, again)
}

// TestJournalOfAnOlderVersionIsRead holds the format: the file is never written
// anew by a later version, only joined by further ones.
func TestJournalOfAnOlderVersionIsRead(t *testing.T) {
	golden := filepath.Join("testdata", "v1.journal")
	if *update {
		b := []byte(magic)
		for _, r := range sample() {
			var err error
			if b, err = appendFrame(b, r); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(golden, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "journal"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	checkSample(t, read(t, dir))
}

func TestRecordsOfANewerVersionArePassedOver(t *testing.T) {
	var unknown Record
	if err := proto.Unmarshal(protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), []byte("new")), &unknown); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	j, _, stop := running(t, Config{Dir: dir})
	put(t, j, &unknown)
	put(t, j, sample()...)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	checkSample(t, read(t, dir))
}

func TestTornEndIsCutOff(t *testing.T) {
	dir := t.TempDir()
	j, _, stop := running(t, Config{Dir: dir})
	put(t, j, sample()...)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "journal")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next, err := appendFrame(nil, updateRecord("f", "running", "u4", mesos.TaskState_TASK_LOST))
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(next); cut++ {
		if err := os.WriteFile(path, append(bytes.Clone(whole), next[:cut]...), 0o600); err != nil {
			t.Fatal(err)
		}
		checkSample(t, read(t, dir))
		torn, err := os.ReadFile(path + ".torn")
		if err != nil || !bytes.Equal(torn, next[:cut]) {
			t.Fatalf("set aside %q, %v", torn, err)
		}
	}
	j, _, stop = running(t, Config{Dir: dir})
	put(t, j, ackRecord("f", "running", "u2"))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if s := read(t, dir); s.Tasks[Key{"f", "running"}].Acked != 2 {
		t.Error("what was written after the cut is lost")
	}
}

func TestDamageThatNoCrashMakesIsAnError(t *testing.T) {
	for name, content := range map[string][]byte{
		"not ours": []byte("something else"),
		"a damaged record far from the end": append(append([]byte(magic), bytes.Repeat([]byte{1}, headSize)...),
			make([]byte, maxTorn)...),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "journal"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(Config{Dir: dir}, nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCrashWhileBeginningIsHarmless(t *testing.T) {
	for size := range len(magic) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "journal"), []byte(magic[:size]), 0o600); err != nil {
			t.Fatal(err)
		}
		read(t, dir)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		j, _, err := Open(Config{Dir: dir}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(Config{Dir: dir}, nil); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("second Open: %v", err)
		}
		time.AfterFunc(lockTime/2, func() {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
		read(t, dir) // waits for the first to let go
	})
}

func TestManyRecordsShareAnFsync(t *testing.T) {
	var f *faulty
	j, _, stop := running(t, Config{Dir: t.TempDir(), Wrap: func(inner File) File { f = &faulty{File: inner}; return f }})
	var wait sync.WaitGroup
	var order []int
	for i := range 1000 {
		wait.Add(1)
		j.Append(func(err error) {
			order = append(order, i)
			wait.Done()
		}, launchRecord("f", fmt.Sprint(i)))
	}
	wait.Wait()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if f.syncs > 500 {
		t.Errorf("%d fsyncs for 1000 records", f.syncs)
	}
	for i, n := range order {
		if i != n {
			t.Fatalf("record %d was reported at place %d", n, i)
		}
	}
}

func TestJournalIsCompacted(t *testing.T) {
	dir := t.TempDir()
	j, _, stop := running(t, Config{Dir: dir, Keep: 1})
	put(t, j, sample()...)
	big := bytes.Repeat([]byte("x"), 100<<10)
	for i := range 100 {
		name := fmt.Sprint("t", i)
		l := launchRecord("f", name)
		l.GetLaunch().Task.Data = big
		put(t, j, l, updateRecord("f", name, "u", mesos.TaskState_TASK_FAILED), ackRecord("f", name, "u"))
	}
	put(t, j, launchRecord("f", "last"))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "journal"))
	if err != nil || info.Size() > 6<<20 {
		t.Errorf("journal has %d bytes, %v", info.Size(), err)
	}
	s := read(t, dir)
	if s.Tasks[Key{"f", "running"}].Acked != 1 || s.Tasks[Key{"f", "last"}] == nil || s.Frameworks["f"].Info == nil || !s.Frameworks["g"].Shutdown {
		t.Errorf("compaction lost something: %+v", s)
	}
}

// faulty is a File that fails when told to.
type faulty struct {
	File
	mu      sync.Mutex
	write   error // writes take half and fail
	reserve error
	syncs   int
}

func (f *faulty) set(write, reserve error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write, f.reserve = write, reserve
}

func (f *faulty) get() (write, reserve error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.write, f.reserve
}

func (f *faulty) Write(b []byte) (int, error) {
	if err, _ := f.get(); err != nil {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, err
	}
	return f.File.Write(b)
}

func (f *faulty) Reserve(size int64) error {
	if _, err := f.get(); err != nil {
		return err
	}
	return f.File.Reserve(size)
}

func (f *faulty) Sync() error {
	f.syncs++
	return f.File.Sync()
}

func TestFailedWriteIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var f *faulty
		j, _, stop := running(t, Config{Dir: dir, Wrap: func(inner File) File { f = &faulty{File: inner}; return f }})
		put(t, j, frameworkRecord("f"), launchRecord("f", "t"))
		f.set(syscall.ENOSPC, nil)
		var tried, appended error
		done := false
		j.Append(func(err error) { appended, done = err, true }, updateRecord("f", "t", "u", mesos.TaskState_TASK_FINISHED))
		j.Try(func(err error) { tried = err }, launchRecord("f", "other"))
		synctest.Wait()
		if !errors.Is(tried, syscall.ENOSPC) || done {
			t.Errorf("Try %v, Append ended %t", tried, done)
		}
		f.set(nil, nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !done || appended != nil {
			t.Errorf("Append ended %t with %v", done, appended)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		s := read(t, dir)
		if len(s.Tasks) != 1 || s.Tasks[Key{"f", "t"}].State() != mesos.TaskState_TASK_FINISHED {
			t.Errorf("tasks %v", s.Tasks)
		}
	})
}

func TestSpaceIsSetAsideForWhatMustBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var f *faulty
		j, _, stop := running(t, Config{Dir: dir, Wrap: func(inner File) File {
			f = &faulty{File: inner}
			f.set(nil, syscall.ENOSPC)
			return f
		}})
		var tried error
		j.Try(func(err error) { tried = err }, launchRecord("f", "other"))
		put(t, j, frameworkRecord("f"), launchRecord("f", "t"))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(tried, syscall.ENOSPC) {
			t.Errorf("Try: %v", tried)
		}
		if s := read(t, dir); len(s.Tasks) != 1 {
			t.Errorf("tasks %v", s.Tasks)
		}
	})
}

func TestTooLargeRecordIsRefusedAlone(t *testing.T) {
	j, _, stop := running(t, Config{Dir: t.TempDir()})
	large := launchRecord("f", "large")
	large.GetLaunch().Task.Data = make([]byte, maxRecord+1)
	done := make(chan error, 1)
	j.Try(func(err error) { done <- err }, large)
	put(t, j, launchRecord("f", "small"))
	if err := <-done; err == nil {
		t.Error("it was taken")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestClosedJournalSaysSo(t *testing.T) {
	j, _, stop := running(t, Config{Dir: t.TempDir()})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var got error
	j.Append(func(err error) { got = err }, frameworkRecord("f"))
	if !errors.Is(got, ErrClosed) {
		t.Errorf("Append: %v", got)
	}
}

func FuzzReplay(f *testing.F) {
	b := []byte(magic)
	for _, r := range sample() {
		var err error
		if b, err = appendFrame(b, r); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b)
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewState(3)
		good, err := replay(b, s)
		if err != nil {
			return
		}
		again := NewState(3)
		if n, err := replay(b[:good], again); err != nil || n != good {
			t.Errorf("%d good bytes are %d, %v", good, n, err)
		}
		for _, r := range s.Records() {
			again.Apply(r)
		}
		s.Clone()
	})
}

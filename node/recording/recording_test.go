package recording

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"muster/offers"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/record"
	"muster/offers/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Unix(1_700_000_000, 0)

// life is a core whose agents register and send heartbeats, recorded.
type life struct {
	t    *testing.T
	core *offers.Master
	rec  *Recorder
	now  time.Time
	link offers.Link
	done sync.WaitGroup
	log  strings.Builder
}

func newLife(t *testing.T, cfg Config) *life {
	l := &life{t: t, now: epoch}
	core := offers.Config{MasterID: "0123456789", Term: 3, Elected: epoch}
	facts := registry.NewState()
	l.core = offers.New(core, facts.Clone())
	l.rec = New(cfg, core, facts, slog.New(slog.NewTextHandler(&l.log, nil)))
	return l
}

func (l *life) run() *life {
	l.done.Go(l.rec.Run)
	return l
}

func (l *life) step(in offers.Input) {
	l.now = l.now.Add(time.Millisecond)
	effects := l.core.Step(l.now, in)
	l.rec.Step(l.now, in, effects, false)
	for _, e := range effects {
		if p, ok := e.(offers.Propose); ok {
			l.step(offers.Committed{Op: p.Op})
		}
	}
}

// agents lets n agents register.
func (l *life) agents(n int) *life {
	for range n {
		l.link++
		l.step(offers.AgentConnected{Link: l.link, Peer: "p"})
		l.step(offers.FromAgent{Link: l.link, Message: &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{Register: &protocol.Register{
			Agent: &mesos.AgentInfo{Hostname: proto.String("host")}}}}})
	}
	return l
}

func (l *life) end() string {
	l.rec.Close()
	l.done.Wait()
	return l.log.String()
}

func only(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.000.rec"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return files[0]
}

// play replays a recording and returns how many steps it has and how many were checked.
func play(t *testing.T, file string) (steps, checked int, end *record.End, err error) {
	t.Helper()
	r, err := Open(file)
	if err != nil {
		return 0, 0, nil, err
	}
	defer r.Close()
	re, err := offers.NewReplay(r.Header)
	if err != nil {
		t.Fatal(err)
	}
	for {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			return steps, checked, r.End, nil
		}
		if err != nil {
			return steps, checked, r.End, err
		}
		p, err := re.Step(s)
		if err != nil {
			return steps, checked, r.End, err
		}
		steps++
		if p.Checked {
			checked++
		}
	}
}

func TestRecordingReplays(t *testing.T) {
	for _, effects := range []bool{false, true} {
		dir := t.TempDir()
		l := newLife(t, Config{Dir: dir, Effects: effects, Version: "1"}).run()
		l.step(offers.Start{})
		log := l.agents(200).end()
		steps, checked, end, err := play(t, only(t, dir))
		if err != nil || steps != int(l.rec.number) || checked != steps || end.GetReason() != "the leadership ended" {
			t.Fatalf("%d steps of %d, %d checked, %v, %v\n%s", steps, l.rec.number, checked, end, err, log)
		}
	}
}

func TestRecordingGoesOnInParts(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, Config{Dir: dir, PartSize: 10_000}).run()
	l.step(offers.Start{})
	l.agents(500).end()
	files, _ := filepath.Glob(filepath.Join(dir, "*.rec"))
	if len(files) < 5 {
		t.Fatal(files)
	}
	steps, _, end, err := play(t, only(t, dir))
	if err != nil || steps != int(l.rec.number) || end == nil {
		t.Fatalf("%d steps of %d, %v, %v", steps, l.rec.number, end, err)
	}
	if _, err := Open(files[2]); err == nil || !strings.Contains(err.Error(), "read from its beginning: "+only(t, dir)) {
		t.Fatal(err)
	}
}

func TestOldRecordingsMakeRoomAndTheLastEndsAtTheLimit(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, partName("20200101T000000-term-1-old", 0))
	if err := os.WriteFile(old, make([]byte, 60_000), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(other, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLife(t, Config{Dir: dir, PartSize: 10_000, Limit: 65_000, Queue: 100_000}).run()
	l.step(offers.Start{})
	log := l.agents(2000).end()
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Error("the old recording is still there")
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
	steps, _, end, err := play(t, only(t, dir))
	if err != nil || steps == 0 || steps >= int(l.rec.number) || end.GetReason() != errLimit.Error() || !strings.Contains(log, "recording ended early") {
		t.Fatalf("%d steps of %d, %v, %v\n%s", steps, l.rec.number, end, err, log)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.rec"))
	var total int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 70_000 {
		t.Errorf("%d bytes", total)
	}
}

// Nobody writes: the queue fills up, and the core is not held up.
func TestRecordingEndsWhenStepsComeTooFast(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, Config{Dir: dir, Queue: 50})
	l.step(offers.Start{})
	l.agents(100)
	log := l.run().end()
	steps, checked, end, err := play(t, only(t, dir))
	if err != nil || steps != 50 || end.GetReason() != errOverflow.Error() || !strings.Contains(log, errOverflow.Error()) {
		t.Fatalf("%d steps, %v, %v\n%s", steps, end, err, log)
	}
	if checked >= steps || checked == 0 {
		t.Errorf("%d of %d steps are checked: effects are to wait while the queue is half full", checked, steps)
	}
}

func TestWhatCannotBeWrittenEndsTheRecordingOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLife(t, Config{Dir: dir}).run()
	if log := l.agents(10).end(); !strings.Contains(log, "recording ended early") {
		t.Fatal(log)
	}
}

func TestCutShortRecordingIsReadToItsLastWholeStep(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, Config{Dir: dir}).run()
	l.step(offers.Start{})
	l.agents(20).end()
	file := only(t, dir)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < 600; cut += 7 {
		if err := os.WriteFile(file, whole[:len(whole)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		steps, _, end, err := play(t, file)
		if err != nil && !errors.Is(err, record.ErrTruncated) || end != nil || steps == 0 || steps > int(l.rec.number) {
			t.Fatalf("cut by %d: %d steps, %v, %v", cut, steps, end, err)
		}
	}
	damaged := append([]byte(nil), whole...)
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(file, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := play(t, file); !errors.Is(err, record.ErrDamaged) && !errors.Is(err, record.ErrTruncated) {
		t.Fatal(err)
	}
}

func TestRecordingOfALaterFormatIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.000.rec")
	b, err := record.Append([]byte(record.Magic), &record.Entry{Entry: &record.Entry_Header{Header: &record.Header{
		Format: proto.Uint32(record.Format + 1), Version: proto.String("9.9")}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); !errors.Is(err, record.ErrFormat) || !strings.Contains(err.Error(), "9.9") {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "is no recording") {
		t.Fatal(err)
	}
}

// forge changes what a recording says of its effects.
func TestFirstStepThatDiffersIsNamed(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, Config{Dir: dir, Effects: true}).run()
	l.step(offers.Start{})
	l.agents(5).end()
	r, err := Open(only(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	re, err := offers.NewReplay(r.Header)
	if err != nil {
		t.Fatal(err)
	}
	for {
		s, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		i := -1
		for j, e := range s.GetEffects() {
			if m := e.GetToAgent().GetMessage().GetRegistered(); m != nil {
				m.AgentId.Value = proto.String("forged")
				i = j
			}
		}
		if i >= 0 {
			s.EffectsHash = proto.Uint64(1)
		}
		_, err = re.Step(s)
		if i < 0 {
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		var d *offers.Difference
		if !errors.As(err, &d) || d.Step != s.GetNumber() || d.Effect != i || !strings.Contains(d.Recorded, "REGISTERED forged") || !strings.Contains(d.Replayed, "REGISTERED 0123456789-S") {
			t.Fatal(err)
		}
		return
	}
}

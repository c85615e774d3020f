package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/consensus/elect"
	"muster/offers/registry"
)

// writer proposes operations without a pause, to whoever leads, and keeps what
// was acknowledged.
type writer struct {
	mu    sync.Mutex
	acked []string
	stop  chan struct{}
	done  chan struct{}
}

func (c *cluster) write() *writer {
	w := &writer{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for i := 0; ; i++ {
			select {
			case <-w.stop:
				return
			case <-time.After(7 * time.Millisecond):
			}
			id := fmt.Sprint("w", i)
			for _, n := range c.all() {
				if n.Status().Role == Leader && propose(n, memberOp(id)) == nil {
					w.mu.Lock()
					w.acked = append(w.acked, id)
					w.mu.Unlock()
					break
				}
			}
		}
	}()
	return w
}

func (w *writer) end() []string {
	close(w.stop)
	<-w.done
	return w.acked
}

func (c *cluster) holds(n *node, ids []string) {
	c.t.Helper()
	s := n.State()
	for _, id := range ids {
		if s.Member(id) == nil {
			c.t.Fatalf("%s: the committed operation %s of %d is lost", n.Status().Node, id, len(ids))
		}
	}
}

func TestACommittedOperationSurvivesAnyMinorityAndARestartOfAll(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.grow(3, 3, 0)
		w := c.write()
		for round := range 6 {
			id := fmt.Sprintf("n%d", round%3+1)
			switch round % 2 {
			case 0:
				c.kill(id)
			case 1:
				c.net.isolate(id, true)
			}
			time.Sleep(2 * time.Second)
			if round%2 == 0 {
				c.run(id)
			} else {
				c.net.isolate(id, false)
			}
			c.settled(10*time.Second, 3, 0)
		}
		acked := w.end()
		if len(acked) < 100 {
			t.Fatalf("only %d operations were committed", len(acked))
		}
		c.holds(c.leader(time.Second), acked)

		for _, id := range []string{"n1", "n2", "n3"} {
			c.kill(id)
		}
		for _, id := range []string{"n1", "n2", "n3"} {
			c.run(id)
		}
		n := c.leader(5 * time.Second)
		c.holds(n, acked)
		time.Sleep(time.Second)
		for _, n := range c.all() {
			c.holds(n, acked)
		}
	})
}

func TestWithoutAMajorityNothingIsCommitted(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.grow(3, 3, 0)
		st := c.leader(time.Second).Status()
		c.kill(other(st.Voters, st.Node))
		c.kill(st.Node)
		time.Sleep(10 * time.Second)
		rest := c.all()
		if len(rest) != 1 {
			t.Fatal(len(rest))
		}
		if err := propose(rest[0], memberOp("x")); !errors.Is(err, ErrNotLeader) {
			t.Errorf("got %v", err)
		}
		c.run(st.Node) // one comes back: that is a majority
		n := c.leader(10 * time.Second)
		if err := propose(n, memberOp("x")); err != nil {
			t.Error(err)
		}
	})
}

func TestASnapshotReplacesTheLog(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.grow(3, 3, 0)
		n := c.leader(time.Second)
		var acked []string
		for i := range 50 {
			acked = append(acked, fmt.Sprint("m", i))
			if err := propose(n, memberOp(acked[i])); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		index := n.replica.configIndex()
		for _, n := range c.all() { // snapshots everywhere, and nothing left of the log
			r := n.running.Load().raft
			rc := r.ReloadableConfig()
			rc.TrailingLogs = 0
			if err := r.ReloadConfig(rc); err != nil {
				t.Fatal(err)
			}
			if err := r.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}

		// A new node gets the snapshot.
		c.run("n4")
		c.settled(5*time.Second, 3, 1)
		c.until(time.Second, "the snapshot at n4", func() bool { return c.nodes["n4"].State().Member("m49") != nil })
		c.holds(c.nodes["n4"], acked)
		index = max(index, n.replica.configIndex())

		// All start from it, and know the membership and its index.
		for _, id := range []string{"n1", "n2", "n3", "n4"} {
			c.stop(id)
		}
		for _, id := range []string{"n1", "n2", "n3", "n4"} {
			c.run(id)
		}
		n = c.leader(5 * time.Second)
		c.holds(n, acked)
		if got := n.replica.configIndex(); got < index {
			t.Errorf("membership of index %d, was %d", got, index)
		}
		c.run("n5")
		c.settled(5*time.Second, 3, 2)
		for _, e := range n.Status().Events {
			if e.Err != "" {
				t.Errorf("%+v", e)
			}
		}
	})
}

// lone runs a quorum of one in real time until it leads, then ends it.
func lone(t *testing.T, dir string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	q := open(t, Config{Node: "n1", Dir: dir, OnLead: func(context.Context, uint64, *registry.State) { cancel() }})
	return q.Run(ctx)
}

func open(t *testing.T, cfg Config) *Quorum {
	t.Helper()
	q, err := New(cfg, newNetwork().transport(cfg.Node))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func founded(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	q := open(t, Config{Node: "n1", Dir: dir})
	defer q.tr.Listener.Close()
	if err := q.Bootstrap(initOp(), memberOp("n1")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBootstrapHappensOnce(t *testing.T) {
	dir := founded(t)
	q := open(t, Config{Node: "n1", Dir: dir})
	defer q.tr.Listener.Close()
	if err := q.Bootstrap(initOp()); !errors.Is(err, ErrBootstrapped) {
		t.Errorf("got %v", err)
	}
	if err := lone(t, dir); err != nil {
		t.Fatal(err)
	}
	if err := q.Bootstrap(initOp()); !errors.Is(err, ErrBootstrapped) {
		t.Errorf("got %v", err)
	}
}

func TestBootstrapThatWasCutShortIsFinished(t *testing.T) {
	dir := t.TempDir()
	q := open(t, Config{Node: "n1", Dir: dir})
	defer q.tr.Listener.Close()
	s, err := openStore(dir, q.raftLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.bootstrap(q.raftConfig(), nil), s.close()); err != nil {
		t.Fatal(err)
	}
	if err := q.Bootstrap(initOp()); err != nil {
		t.Fatal(err)
	}
	if err := q.Bootstrap(initOp()); !errors.Is(err, ErrBootstrapped) {
		t.Errorf("got %v", err)
	}
}

func TestBootstrapRefusesOperationsThatDoNotFit(t *testing.T) {
	dir := t.TempDir()
	q := open(t, Config{Node: "n1", Dir: dir})
	defer q.tr.Listener.Close()
	if err := q.Bootstrap(removeOp("x")); !errors.Is(err, registry.ErrUnknown) {
		t.Errorf("got %v", err)
	}
	if err := q.Bootstrap(initOp()); err != nil {
		t.Error(err)
	}
}

func TestAFolderInUseIsRefused(t *testing.T) {
	dir := founded(t)
	led, ended := make(chan struct{}), make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	q := open(t, Config{Node: "n1", Dir: dir, OnLead: func(ctx context.Context, _ uint64, _ *registry.State) {
		close(led)
		<-ctx.Done()
	}})
	go func() { ended <- q.Run(ctx) }()
	<-led
	if err := lone(t, dir); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := q.Run(t.Context()); err == nil {
		t.Error("ran twice")
	}
}

func TestDamageIsToldAsSuch(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"meta": func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "log", "wal-meta.db"), bytes.Repeat([]byte("x"), 32768))
		},
		"empty meta":       func(t *testing.T, dir string) { write(t, filepath.Join(dir, "log", "wal-meta.db"), nil) },
		"garbage in a log": func(t *testing.T, dir string) { write(t, segment(t, dir), bytes.Repeat([]byte{0xff}, 65536)) },
		"empty log":        func(t *testing.T, dir string) { write(t, segment(t, dir), nil) },
		"snapshot": func(t *testing.T, dir string) {
			snap := filepath.Join(dir, "snapshots", "2-5-1")
			if err := os.MkdirAll(snap, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(snap, "meta.json"), []byte(`{"Version":1,"ID":"2-5-1","Index":5,"Term":2}`))
			write(t, filepath.Join(snap, "state.bin"), []byte("garbage"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := founded(t)
			if err := lone(t, dir); err != nil {
				t.Fatal(err)
			}
			damage(t, dir)
			err := lone(t, dir)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v", err)
			}
			t.Log(err)
		})
	}
}

func TestAFolderThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	if err := lone(t, filepath.Join(file, "dir")); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

func TestAMissingFolderIsMade(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := open(t, Config{Node: "n1", Dir: filepath.Join(t.TempDir(), "a", "b")})
	if err := q.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	tr := newNetwork().transport("n1")
	for _, cfg := range []Config{
		{Dir: "d"}, {Node: "n"}, {Node: "n", Dir: "d", Voters: 2}, {Node: "n", Dir: "d", Voters: -1},
		{Node: "n", Dir: "d", Heartbeat: time.Millisecond},
	} {
		if _, err := New(cfg, tr); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
	if _, err := New(Config{Node: "n", Dir: "d", Nodes: func() []elect.Node { return nil }}, Transport{}); err == nil {
		t.Error("no transport was taken")
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func segment(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files[0]
}

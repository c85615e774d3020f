package consensus

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"muster/offers/registry"
)

func TestAGroupIsReadAsItWasWritten(t *testing.T) {
	ops := []*registry.Op{initOp(), memberOp("a"), removeOp("b"), {}}
	b, err := encodeOps(ops)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeGroup(b)
	if err != nil || len(got) != len(ops) {
		t.Fatal(len(got), err)
	}
	for i := range ops {
		if !proto.Equal(ops[i], got[i]) {
			t.Errorf("%d: %v", i, got[i])
		}
	}
}

func TestEveryFlippedBitOfAGroupIsNoticed(t *testing.T) {
	b, err := encodeOps([]*registry.Op{initOp(), memberOp("a")})
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(b) * 8 {
		bad := bytes.Clone(b)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := decodeGroup(bad); !errors.Is(err, errMalformed) {
			t.Errorf("bit %d: %v", i, err)
		}
	}
	for i := range b {
		if _, err := decodeGroup(b[:i]); !errors.Is(err, errMalformed) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

// The first entry of a log as version 1 wrote it must stay readable.
func TestAnOldGroupCanBeRead(t *testing.T) {
	old := []byte("\x01\xb0D\x14\xe7\b\n\x06\n\x04test\x05\x12\x03\n\x01a")
	ops, err := decodeGroup(old)
	if err != nil || len(ops) != 2 || !proto.Equal(ops[0], initOp()) || !proto.Equal(ops[1], memberOp("a")) {
		t.Errorf("%v %v", ops, err)
	}
}

func FuzzDecodeGroup(f *testing.F) {
	b, err := encodeOps([]*registry.Op{initOp(), memberOp("a")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[groupHeader:])
	f.Fuzz(func(t *testing.T, rest []byte) {
		b := seal(append([]byte{groupVersion, 0, 0, 0, 0}, rest...))
		if ops, err := decodeGroup(b); err != nil && len(ops) > 0 {
			t.Error("operations beside an error")
		}
		_, _ = decodeGroup(rest)
	})
}

func TestAnEntryThatCannotBeReadStopsTheReplica(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		n := c.run("n1", initOp())
		<-n.leads
		n.running.Load().raft.Apply([]byte("garbage"), 0)
		err := <-n.end
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "entry") {
			t.Errorf("got %v", err)
		}
		c.mu.Lock()
		delete(c.nodes, "n1")
		c.mu.Unlock()
	})
}

func TestRaftsLogGoesDownALevelAndDoesNotRepeatItself(t *testing.T) {
	virtual(t, func(t *testing.T) {
		var out bytes.Buffer
		h := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})
		l := newRaftLog(slog.New(h)).Named("x").With("peer", "p")
		l.Info("detail")
		for range 3 {
			l.Error("unreachable", "error", errors.New("gone"), "fmt", hclog.Fmt("%d!", 3))
		}
		l.Warn("slow")
		time.Sleep(repeatAfter + time.Second)
		l.Error("unreachable")
		got := out.String()
		if strings.Contains(got, "detail") || strings.Count(got, "level=WARN msg=unreachable") != 2 ||
			strings.Count(got, "level=INFO msg=slow") != 1 || !strings.Contains(got, `error=gone fmt=3!`) ||
			!strings.Contains(got, "peer=p") {
			t.Error(got)
		}
	})
}

func TestTheHistoryIsBounded(t *testing.T) {
	var h history
	for i := range 3 * keptEvents {
		h.add(Event{Term: uint64(i)})
	}
	l := h.list()
	if len(l) != keptEvents || l[len(l)-1].Term != 3*keptEvents-1 || l[0].Term != 2*keptEvents {
		t.Errorf("%d events, from %d to %d", len(l), l[0].Term, l[len(l)-1].Term)
	}
}

func TestAStandbyTakesOverTheLogOfAFrozenNetwork(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, func(c *Config) { c.Voters = 5 })
		c.grow(7, 5, 2)
		for range 2 { // two of five at once, twice: voters come from the standbys, then from those that return
			st := c.leader(5 * time.Second).Status()
			out := []string{st.Node, other(st.Voters, st.Node)}
			for _, id := range out {
				c.net.isolate(id, true)
			}
			c.until(10*time.Second, "five live voters", func() bool {
				for _, n := range c.all() {
					st := n.Status()
					if st.Role == Leader && len(st.Voters) == 5 {
						return !isMember(st.Voters, out[0]) && !isMember(st.Voters, out[1]) && c.lag(st) == 0
					}
				}
				return false
			})
			for _, id := range out {
				c.net.isolate(id, false)
			}
			c.settled(30*time.Second, 5, 2)
		}
	})
}

func TestRunEndsAtOnceWhenPeersHang(t *testing.T) {
	virtual(t, func(t *testing.T) {
		c := newCluster(t, nil)
		c.grow(3, 3, 0)
		st := c.leader(time.Second).Status()
		for _, m := range st.Voters {
			c.net.isolate(m.ID, true)
		}
		begin := time.Now()
		c.stop(st.Node)
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

package p2p

import (
	"errors"
	"testing"
	"time"
)

func led(term uint64, leader PeerID, sequence uint64, voters ...PeerID) *announcement {
	return &announcement{Peer: leader, Sequence: sequence, Leadership: &Leadership{Term: term, Leader: leader, Voters: voters}}
}

func TestWhichLeadershipWins(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, tc := range map[string]struct {
		next *announcement
		late time.Duration
		want error
	}{
		"newer term, a voter":                      {next: led(6, "b", 1, "a", "b", "c")},
		"newer term, same leader":                  {next: led(6, "a", 1, "a", "b")},
		"same term, newer word":                    {next: led(5, "a", 11, "a", "b")},
		"same term, same word":                     {next: led(5, "a", 10, "a", "b"), want: errStale},
		"same term, another leader":                {next: led(5, "b", 99, "a", "b"), want: errStale},
		"older term":                               {next: led(4, "b", 99, "a", "b"), want: errStale},
		"newer term, no voter, the leader alive":   {next: led(9, "x", 1, "x"), want: errTakeover},
		"newer term, no voter, the leader is gone": {next: led(9, "x", 1, "x"), late: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDirectory("me", time.Second)
			if _, err := d.apply(led(5, "a", 10, "a", "b", "c"), true, now); err != nil {
				t.Fatal(err)
			}
			d.connected("a", now)
			if _, err := d.apply(tc.next, true, now.Add(tc.late)); !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			want := tc.next.Leadership.Term
			if tc.want != nil {
				want = 5
			}
			if l, _ := d.Leadership(); l.Term != want {
				t.Errorf("term %d, want %d", l.Term, want)
			}
		})
	}
}

func recorded(p PeerID, at time.Time, name string) *announcement {
	return &announcement{Peer: p, Sequence: uint64(at.UnixNano()), Record: &NodeRecord{Name: name}, raw: []byte("x")}
}

func TestChangedIsClosedByNewsOnly(t *testing.T) {
	now := time.Unix(10000, 0)
	d := newDirectory("me", time.Second)
	if _, err := d.apply(recorded("a", now, "a"), true, now); err != nil {
		t.Fatal(err)
	}
	changed := d.Changed()
	told := func() bool {
		select {
		case <-changed:
			changed = d.Changed()
			return true
		default:
			return false
		}
	}
	if _, err := d.apply(recorded("a", now.Add(time.Second), "a"), true, now); err != nil || told() {
		t.Errorf("the same record again: %v", err)
	}
	if _, err := d.apply(recorded("a", now, "old"), true, now); !errors.Is(err, errStale) || told() {
		t.Errorf("an older record: %v", err)
	}
	if _, err := d.apply(recorded("a", now.Add(2*time.Second), "new"), true, now); err != nil || !told() {
		t.Errorf("a new name: %v", err)
	}
	d.connected("a", now)
	if !told() {
		t.Error("alive, and nobody is told")
	}
	d.contact("a", time.Second, now)
	if told() {
		t.Error("told of a pulse")
	}
	d.expire(now)
	if told() {
		t.Error("told although nothing changed")
	}
	if d.expire(now.Add(1500 * time.Millisecond)); !told() {
		t.Error("dead, and nobody is told")
	}
}

func TestSilenceOfThisProcessCountsAgainstNobody(t *testing.T) {
	now := time.Unix(10000, 0)
	d := newDirectory("me", time.Second)
	if _, err := d.apply(recorded("a", now, "a"), true, now); err != nil {
		t.Fatal(err)
	}
	d.expire(now)
	d.connected("a", now)
	now = now.Add(time.Hour) // frozen, and thawed
	if silent, _ := d.expire(now); len(silent) > 0 {
		t.Errorf("silent: %v", silent)
	}
	if n, _ := d.Node("a"); !n.Alive {
		t.Error("a peer is declared dead because this process stood still")
	}
	now = now.Add(900 * time.Millisecond)
	d.expire(now)
	now = now.Add(900 * time.Millisecond)
	d.expire(now)
	if n, _ := d.Node("a"); n.Alive {
		t.Error("a silent peer stays alive")
	}
	now = now.Add(900 * time.Millisecond)
	if silent, _ := d.expire(now); len(silent) != 1 {
		t.Errorf("silent: %v", silent)
	}
}

func TestNodesOfAnOverlayLiveByGossip(t *testing.T) {
	now := time.Unix(10000, 0)
	d := newDirectory("me", time.Second)
	d.setOverlay(true)
	if _, err := d.apply(recorded("a", now, "a"), true, now); err != nil {
		t.Fatal(err)
	}
	if _, err := d.apply(recorded("b", now.Add(-3*recordEvery), "b"), false, now); err != nil {
		t.Fatal(err)
	}
	if _, err := d.apply(recorded("c", now.Add(-2*forgetAfter), "c"), false, now); !errors.Is(err, errStale) {
		t.Errorf("a record of long ago: %v", err)
	}
	alive := func(p PeerID) bool { n, _ := d.Node(p); return n.Alive }
	if !alive("a") || alive("b") {
		t.Errorf("a %v, b %v", alive("a"), alive("b"))
	}
	for step := time.Duration(0); step <= forgetAfter+time.Minute; step += time.Second {
		d.expire(now.Add(step))
	}
	if nodes := d.Nodes(); len(nodes) != 0 {
		t.Errorf("still known: %+v", nodes)
	}
}

func TestAnnouncementsAreBounded(t *testing.T) {
	many := make([]PeerID, maxVoters+1)
	for i := range many {
		many[i] = "a"
	}
	for name, a := range map[string]*announcement{
		"nothing":              {Peer: "a"},
		"both":                 {Peer: "a", Record: &NodeRecord{Name: "n"}, Leadership: &Leadership{Leader: "a", Voters: []PeerID{"a"}}},
		"no name":              {Peer: "a", Record: &NodeRecord{}},
		"control characters":   {Peer: "a", Record: &NodeRecord{Name: "a\x1b[31m"}},
		"no multiaddr":         {Peer: "a", Record: &NodeRecord{Name: "n"}, Addresses: []string{"10.0.0.1"}},
		"another's leadership": {Peer: "b", Leadership: &Leadership{Leader: "a", Voters: []PeerID{"a"}}},
		"leader is no voter":   {Peer: "a", Leadership: &Leadership{Leader: "a", Voters: []PeerID{"b"}}},
		"too many voters":      {Peer: "a", Leadership: &Leadership{Leader: "a", Voters: many}},
	} {
		if a.check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

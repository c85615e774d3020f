package elect

import (
	"math/rand"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTargetIsOddAndNoMoreThanThereAreNodes(t *testing.T) {
	for _, c := range []struct{ nodes, policy, want int }{
		{0, 3, 1}, {1, 3, 1}, {2, 3, 1}, {3, 3, 3}, {4, 3, 3}, {100, 3, 3},
		{3, 5, 3}, {4, 5, 3}, {5, 5, 5}, {9, 5, 5}, {9, 1, 1},
	} {
		if got := Target(c.nodes, c.policy); got != c.want {
			t.Errorf("Target(%d, %d) = %d, want %d", c.nodes, c.policy, got, c.want)
		}
	}
}

func TestNext(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	node := func(id string, since int) Node { return Node{ID: id, Alive: true, Eligible: true, Since: at(since)} }
	zone := func(n Node, z string) Node { n.Zone = z; return n }
	barred := func(n Node) Node { n.Eligible = false; return n }
	gone := func(n Node) Node { n.Alive = false; return n }
	voter := func(id string) Member { return Member{ID: id, Voter: true, Alive: true, CaughtUp: true} }
	standby := func(id string) Member { return Member{ID: id, Alive: true, CaughtUp: true} }
	dead := func(m Member) Member { m.Alive = false; return m }
	behind := func(m Member) Member { m.CaughtUp = false; return m }
	a, b, c, d, e := node("a", 1), node("b", 2), node("c", 3), node("d", 4), node("e", 5)

	for _, test := range []struct {
		name    string
		members []Member
		nodes   []Node
		want    Action
		node    string
	}{
		{"one node is enough for itself", []Member{voter("a")}, []Node{a}, None, ""},
		{"the second node keeps the log", []Member{voter("a")}, []Node{a, b}, AddStandby, "b"},
		{"two nodes have one voter", []Member{voter("a"), standby("b")}, []Node{a, b}, None, ""},
		{"nobody is promoted until two are ready", []Member{voter("a"), standby("b"), behind(standby("c"))}, []Node{a, b, c}, None, ""},
		{"the oldest is promoted first", []Member{voter("a"), standby("c"), standby("b")}, []Node{a, b, c}, Promote, "b"},
		{"from two voters one ready standby is enough", []Member{voter("a"), voter("b"), standby("c")}, []Node{a, b, c}, Promote, "c"},
		{"a zone without a voter goes before age", []Member{voter("a"), standby("b"), standby("c")},
			[]Node{zone(a, "x"), zone(b, "x"), zone(c, "y")}, Promote, "c"},
		{"a dead voter is removed when a standby is ready", []Member{voter("a"), dead(voter("b")), voter("c"), standby("d")},
			[]Node{a, gone(b), c, d}, Remove, "b"},
		{"a dead voter stays while none is ready", []Member{voter("a"), dead(voter("b")), voter("c"), behind(standby("d"))},
			[]Node{a, gone(b), c, d}, None, ""},
		{"a dead voter's successor first becomes a standby", []Member{voter("a"), dead(voter("b")), voter("c")},
			[]Node{a, gone(b), c, d}, AddStandby, "d"},
		{"without a quorum nothing is done", []Member{voter("a"), dead(voter("b")), dead(voter("c")), standby("d")},
			[]Node{a, gone(b), gone(c), d}, None, ""},
		{"with two of five dead one is removed", []Member{voter("a"), dead(voter("b")), dead(voter("c")), voter("d"), voter("e")},
			[]Node{a, gone(b), gone(c), d, e}, Remove, "b"},
		{"two voters that are alone become one", []Member{voter("a"), voter("b")}, []Node{a, b}, Demote, "b"},
		{"a dead voter that was shut out goes", []Member{voter("a"), voter("b"), dead(voter("c"))},
			[]Node{a, b, barred(gone(c))}, Remove, "c"},
		{"a live voter that was shut out is demoted", []Member{voter("a"), voter("b"), voter("c")},
			[]Node{a, barred(b), c}, Demote, "b"},
		{"a leader that was shut out hands over", []Member{voter("a"), voter("b"), voter("c")},
			[]Node{barred(a), b, c}, Transfer, "b"},
		{"a leader that was shut out stays if it is the only voter", []Member{voter("a"), standby("b")},
			[]Node{barred(a), b}, None, ""},
		{"a standby that was shut out goes", []Member{voter("a"), standby("b")}, []Node{a, barred(b)}, Remove, "b"},
		{"a dead standby is replaced", []Member{voter("a"), dead(standby("b"))}, []Node{a, gone(b), c}, Remove, "b"},
		{"a dead standby that nobody can replace stays", []Member{voter("a"), dead(standby("b"))}, []Node{a, gone(b)}, None, ""},
		{"a member the directory has not heard of is in order", []Member{voter("a"), voter("b"), voter("c")}, nil, None, ""},
		{"a surplus standby goes, the youngest first", []Member{voter("a"), voter("b"), voter("c"), standby("d"), standby("e"), standby("f")},
			[]Node{a, b, c, d, e, node("f", 6)}, Remove, "f"},
		{"one that does not lead does nothing", []Member{standby("a"), voter("b")}, []Node{a, b}, None, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Next(View{Self: "a", Members: test.members, Nodes: test.nodes, Voters: 3, Standbys: 2})
			if got.Do != test.want || got.Node != test.node {
				t.Errorf("got %+v, want %s %s", got, test.want, test.node)
			}
			if got.Do != None && got.Reason == "" {
				t.Error("no reason")
			}
		})
	}
}

// step carries a change out.
func step(v View, c Change) View {
	members := append([]Member(nil), v.Members...)
	at := func() *Member {
		for i := range members {
			if members[i].ID == c.Node {
				return &members[i]
			}
		}
		return &Member{}
	}
	switch c.Do {
	case AddStandby:
		members = append(members, Member{ID: c.Node, Alive: true, CaughtUp: true})
	case Promote:
		at().Voter = true
	case Demote:
		at().Voter = false
	case Transfer:
		v.Self = c.Node
	case Remove:
		kept := members[:0]
		for _, m := range members {
			if m.ID != c.Node {
				kept = append(kept, m)
			}
		}
		members = kept
	}
	v.Members = members
	return v
}

func count(v View, ok func(Member) bool) (n int) {
	for _, m := range v.Members {
		if ok(m) {
			n++
		}
	}
	return n
}

func voters(v View) int { return count(v, func(m Member) bool { return m.Voter }) }
func live(v View) int   { return count(v, func(m Member) bool { return m.Voter && m.Alive }) }

func drawView(t *rapid.T) View {
	v := View{
		Voters:   rapid.SampledFrom([]int{1, 3, 5, 7}).Draw(t, "voters"),
		Standbys: rapid.IntRange(0, 3).Draw(t, "standbys"),
	}
	ids := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}
	for _, id := range ids {
		alive := rapid.Float64Range(0, 1).Draw(t, "alive") < .7
		if rapid.Bool().Draw(t, "listed") {
			v.Nodes = append(v.Nodes, Node{
				ID: id, Alive: alive, Eligible: rapid.Float64Range(0, 1).Draw(t, "eligible") < .85,
				Since: time.Unix(rapid.Int64Range(0, 3).Draw(t, "since"), 0),
				Zone:  rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "zone"),
			})
		}
		if rapid.Bool().Draw(t, "member") {
			v.Members = append(v.Members, Member{
				ID: id, Alive: alive, Voter: rapid.Bool().Draw(t, "voter"), CaughtUp: alive && rapid.Bool().Draw(t, "caught up"),
			})
		}
	}
	var heads []string
	for _, m := range v.Members {
		if m.Voter && m.Alive {
			heads = append(heads, m.ID)
		}
	}
	v.Self = "a"
	if len(heads) > 0 {
		v.Self = rapid.SampledFrom(heads).Draw(t, "self")
	}
	return v
}

func TestNoChangeCostsTheQuorumAndChangesEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawView(t)
		for n := 0; ; n++ {
			c := Next(v)
			shuffled := v
			shuffled.Members = append([]Member(nil), v.Members...)
			shuffled.Nodes = append([]Node(nil), v.Nodes...)
			r := rand.New(rand.NewSource(int64(n)))
			r.Shuffle(len(shuffled.Members), reflect.Swapper(shuffled.Members))
			r.Shuffle(len(shuffled.Nodes), reflect.Swapper(shuffled.Nodes))
			if again := Next(shuffled); again != c {
				t.Fatalf("%+v, but in another order %+v", c, again)
			}
			if c.Do == None {
				break
			}
			if live(v) < quorum(voters(v)) {
				t.Fatalf("%+v without a quorum", c)
			}
			if (c.Do == Remove || c.Do == Demote) && c.Node == v.Self {
				t.Fatalf("the leader was to %+v", c)
			}
			v = step(v, c)
			if live(v) < quorum(voters(v)) || voters(v) == 0 {
				t.Fatalf("%+v leaves %d live of %d voters", c, live(v), voters(v))
			}
			if n > 60 {
				t.Fatalf("no end: now %+v", c)
			}
		}
	})
}

func TestHealthyNodesEndWithTheWantedQuorum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "nodes")
		v := View{Self: "a", Voters: rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "voters"), Standbys: rapid.IntRange(0, 3).Draw(t, "standbys")}
		for i := range n {
			v.Nodes = append(v.Nodes, Node{ID: string(rune('a' + i)), Alive: true, Eligible: true, Since: time.Unix(int64(i), 0)})
		}
		v.Members = []Member{{ID: "a", Voter: true, Alive: true, CaughtUp: true}}
		for c := Next(v); c.Do != None; c = Next(v) {
			v = step(v, c)
		}
		want := Target(n, v.Voters)
		if voters(v) != want || len(v.Members)-want != min(v.Standbys, n-want) {
			t.Fatalf("%d voters and %d standbys of %d nodes", voters(v), len(v.Members)-voters(v), n)
		}
	})
}

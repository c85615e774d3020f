package elect

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Node is a node of the cluster as the directory sees it.
type Node struct {
	ID       string
	Alive    bool
	Eligible bool      // may belong to the quorum: neither removed, nor draining, nor barred by policy
	Since    time.Time // running without a break since
	Zone     string    // failure domain; nodes without one share it
}

// Member is a voter or standby as its leader sees it.
type Member struct {
	ID       string
	Voter    bool
	Alive    bool // answers the leader
	CaughtUp bool // holds (nearly) all of the leader's log
}

// View is all that Next looks at.
type View struct {
	Self     string // the leader, who asks
	Members  []Member
	Nodes    []Node
	Voters   int // how many vote once there are nodes enough; odd
	Standbys int // how many more keep the log
}

// Action is what a Change does to its node.
type Action string

const (
	None       Action = ""
	AddStandby Action = "add standby"
	Promote    Action = "promote" // standby to voter
	Demote     Action = "demote"  // voter to standby
	Remove     Action = "remove"
	Transfer   Action = "transfer" // leadership, to a voter
)

// Change is one step. The zero Change is none.
type Change struct {
	Do     Action
	Node   string
	Reason string
}

// Next returns the next single change, or none. No change it gives leaves fewer
// live voters than a quorum of the new voters.
func Next(v View) Change {
	t := newTally(v)
	self, ok := t.member(v.Self)
	if !ok || !self.Voter || t.live < quorum(t.voters) {
		return Change{}
	}
	steps := []func() Change{
		t.handOver, t.dropVoter, t.shrink, t.dropStandby, t.promote, t.trimStandbys, t.addStandby,
	}
	for _, step := range steps {
		if c := step(); c.Do != None {
			return c
		}
	}
	return Change{}
}

// Target returns how many of n usable nodes should vote, when at most `voters`
// do: an odd number, for an even one tolerates no more failures than the odd
// one below it.
func Target(n, voters int) int {
	n = max(1, min(n, voters))
	return n - (n+1)%2
}

func quorum(voters int) int { return voters/2 + 1 }

// tally is a View with its counts.
type tally struct {
	View
	nodes  map[string]Node
	voters int // voters, dead ones too
	live   int // voters that are alive
	target int
}

func newTally(v View) *tally {
	t := &tally{View: v, nodes: map[string]Node{}}
	// The order of the caller's slices must not matter.
	t.Members = slices.Clone(v.Members)
	slices.SortFunc(t.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	for _, n := range v.Nodes {
		t.nodes[n.ID] = n
	}
	// Dead voters count, so that two of three that live do not shrink to one:
	// the third is more useful when it comes back than when it was removed.
	usable := map[string]bool{}
	for _, m := range t.Members {
		if m.Voter {
			t.voters++
			if m.Alive {
				t.live++
			}
		}
		if t.eligible(m.ID) && (m.Voter || m.Alive) {
			usable[m.ID] = true
		}
	}
	for _, n := range t.candidates() {
		usable[n.ID] = true
	}
	t.target = Target(len(usable), v.Voters)
	return t
}

func (t *tally) member(id string) (Member, bool) {
	i := slices.IndexFunc(t.Members, func(m Member) bool { return m.ID == id })
	if i < 0 {
		return Member{}, false
	}
	return t.Members[i], true
}

// eligible: a member the directory has not heard of yet is in order. Only what
// it says of a node can bar it.
func (t *tally) eligible(id string) bool {
	n, ok := t.nodes[id]
	return !ok || n.Eligible
}

// candidates are the nodes that could become standbys.
func (t *tally) candidates() []Node {
	var out []Node
	for _, n := range t.nodes {
		if _, member := t.member(n.ID); !member && n.Alive && n.Eligible {
			out = append(out, n)
		}
	}
	return out
}

// promotable are the standbys that could vote at once.
func (t *tally) promotable() []Node {
	return t.pick(func(m Member) bool { return !m.Voter && m.Alive && m.CaughtUp && t.eligible(m.ID) })
}

func (t *tally) pick(ok func(Member) bool) []Node {
	var out []Node
	for _, m := range t.Members {
		if ok(m) {
			out = append(out, t.node(m.ID))
		}
	}
	return out
}

func (t *tally) node(id string) Node {
	n, ok := t.nodes[id]
	if !ok {
		n = Node{ID: id}
	}
	return n
}

// best orders nodes by how much they are wanted beside the voters: those from a
// zone with fewer live voters first, then those that have run longest.
func (t *tally) best(nodes []Node) []Node {
	zones := map[string]int{}
	for _, m := range t.Members {
		if m.Voter && m.Alive {
			zones[t.nodes[m.ID].Zone]++
		}
	}
	slices.SortFunc(nodes, func(a, b Node) int {
		return cmp.Or(
			cmp.Compare(zones[a.Zone], zones[b.Zone]),
			a.Since.Compare(b.Since),
			cmp.Compare(a.ID, b.ID),
		)
	})
	return nodes
}

// worst is the node that is missed least.
func (t *tally) worst(nodes []Node) Node {
	return t.best(nodes)[len(nodes)-1]
}

// safeWithout reports whether the live voters, less this one, are a quorum of
// the voters that would be left.
func (t *tally) safeWithout(m Member) bool {
	live := t.live
	if m.Alive {
		live--
	}
	return t.voters > 1 && live >= quorum(t.voters-1)
}

// handOver moves the leadership away from a node that may not vote: a leader
// never removes itself.
func (t *tally) handOver() Change {
	if t.eligible(t.Self) {
		return Change{}
	}
	heirs := t.pick(func(m Member) bool {
		return m.Voter && m.Alive && m.CaughtUp && m.ID != t.Self && t.eligible(m.ID)
	})
	if len(heirs) == 0 {
		return Change{}
	}
	return Change{Transfer, t.best(heirs)[0].ID, "the leader may not vote any more"}
}

// dropVoter takes the vote of one that is dead or barred. A dead one stays
// until another can take its place: it may come back, and removing it would not
// let the rest survive one failure more.
func (t *tally) dropVoter() Change {
	replaceable := len(t.promotable()) > 0
	for _, dead := range []bool{true, false} {
		for _, m := range t.Members {
			if !m.Voter || m.ID == t.Self || m.Alive == dead || !t.safeWithout(m) {
				continue
			}
			switch {
			case dead && !t.eligible(m.ID):
				return Change{Remove, m.ID, "dead, and may not vote any more"}
			case dead && t.voters > t.target:
				return Change{Remove, m.ID, fmt.Sprintf("dead, and %d voters are enough", t.target)}
			case dead && replaceable:
				return Change{Remove, m.ID, "dead, and a standby can take its place"}
			case !dead && !t.eligible(m.ID):
				return Change{Demote, m.ID, "may not vote any more"}
			}
		}
	}
	return Change{}
}

// shrink takes the vote of a live voter that is one too many.
func (t *tally) shrink() Change {
	if t.voters <= t.target {
		return Change{}
	}
	surplus := t.pick(func(m Member) bool { return m.Voter && m.Alive && m.ID != t.Self && t.safeWithout(m) })
	if len(surplus) == 0 {
		return Change{}
	}
	return Change{Demote, t.worst(surplus).ID, fmt.Sprintf("%d voters are enough", t.target)}
}

// dropStandby removes standbys that may not stay, and dead ones that can be
// replaced.
func (t *tally) dropStandby() Change {
	replaceable := len(t.candidates()) > 0
	for _, m := range t.Members {
		switch {
		case m.Voter:
		case !t.eligible(m.ID):
			return Change{Remove, m.ID, "may not be a standby any more"}
		case !m.Alive && replaceable:
			return Change{Remove, m.ID, "dead, and another node can take its place"}
		}
	}
	return Change{}
}

// promote gives a vote to the best standby. The quorum never rests at an even
// number: it leaves an odd one only when two standbys are ready.
func (t *tally) promote() Change {
	ready := t.promotable()
	if t.voters >= t.target || len(ready) == 0 || t.voters%2 == 1 && len(ready) < 2 {
		return Change{}
	}
	return Change{Promote, t.best(ready)[0].ID, fmt.Sprintf("%d of %d voters", t.voters, t.target)}
}

// wantedStandbys: those that are about to be promoted come on top.
func (t *tally) wantedStandbys() int {
	return t.Standbys + max(0, t.target-t.voters)
}

func (t *tally) trimStandbys() Change {
	standbys := t.pick(func(m Member) bool { return !m.Voter })
	if len(standbys) <= t.wantedStandbys() {
		return Change{}
	}
	reason := fmt.Sprintf("%d standbys are enough", t.wantedStandbys())
	if dead := t.pick(func(m Member) bool { return !m.Voter && !m.Alive }); len(dead) > 0 {
		standbys, reason = dead, "dead, and "+reason
	}
	return Change{Remove, t.worst(standbys).ID, reason}
}

func (t *tally) addStandby() Change {
	have := t.pick(func(m Member) bool { return !m.Voter && m.Alive })
	candidates := t.candidates()
	if len(have) >= t.wantedStandbys() || len(candidates) == 0 {
		return Change{}
	}
	return Change{AddStandby, t.best(candidates)[0].ID, fmt.Sprintf("%d of %d standbys", len(have), t.wantedStandbys())}
}

package consensus

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Role is what a node is in the quorum.
type Role string

const (
	Leader    Role = "leader"
	Voter     Role = "voter"
	Candidate Role = "candidate" // a voter that holds an election
	Standby   Role = "standby"   // holds the log, does not vote
	Outsider  Role = "outsider"  // no member
	Stopped   Role = "stopped"   // Run has not begun, or has ended
)

// Status is a moment's view of the quorum from this node.
type Status struct {
	Node        string
	Role        Role
	Term        uint64
	Leader      string // "" when none is known
	Voters      []Member
	Standbys    []Member
	LastIndex   uint64    // of the log
	Committed   uint64    // as far as this node knows
	Applied     uint64    // to State
	LastContact time.Time // with the leader; zero on the leader, and if there was none
	Events      []Event   // what this node did as a leader, oldest first
}

// Member is a voter or standby. Only the leader knows LastContact and Lag.
type Member struct {
	ID          string
	LastContact time.Time
	Lag         uint64 // entries that it is behind
}

// Event is a change of leadership or membership.
type Event struct {
	Time   time.Time
	Term   uint64
	What   string // an elect.Action, "leads" or "leads no more"
	Node   string // whom it concerns, if another
	Reason string
	Err    string // why it failed, if it did
}

// Status returns what this node knows of the quorum.
func (q *Quorum) Status() Status {
	st := Status{Node: q.cfg.Node, Role: Stopped, Events: q.history.list()}
	run := q.running.Load()
	if run == nil {
		return st
	}
	r := run.raft
	_, leader := r.LeaderWithID()
	st.Term, st.Leader = r.CurrentTerm(), string(leader)
	st.LastIndex, st.Committed, st.Applied = r.LastIndex(), r.CommitIndex(), r.AppliedIndex()
	leads := r.State() == raft.Leader
	if !leads {
		st.LastContact = r.LastContact()
	}
	st.Role = Outsider
	for _, s := range r.GetConfiguration().Configuration().Servers {
		m := Member{ID: string(s.ID)}
		if leads && m.ID != q.cfg.Node {
			c := run.contacts.of(s.ID)
			m.LastContact, m.Lag = c.at, st.LastIndex-min(st.LastIndex, c.match)
		}
		if s.Suffrage == raft.Voter {
			st.Voters = append(st.Voters, m)
		} else {
			st.Standbys = append(st.Standbys, m)
		}
		if m.ID == q.cfg.Node {
			st.Role = role(r.State(), s.Suffrage)
		}
	}
	return st
}

func role(s raft.RaftState, suffrage raft.ServerSuffrage) Role {
	switch {
	case s == raft.Leader:
		return Leader
	case suffrage != raft.Voter:
		return Standby
	case s == raft.Candidate:
		return Candidate
	default:
		return Voter
	}
}

// keptEvents bounds the history.
const keptEvents = 64

type history struct {
	mu     sync.Mutex
	events []Event
}

func (h *history) add(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) == keptEvents {
		copy(h.events, h.events[1:])
		h.events = h.events[:keptEvents-1]
	}
	h.events = append(h.events, e)
}

func (h *history) list() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Event(nil), h.events...)
}

package consensus

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"muster/consensus/elect"
)

const (
	// lagAllowed is how many entries a standby may be behind and still count as
	// caught up: what is under way while the leader is busy.
	lagAllowed = 256
	// barredFor is how long a node that was removed because it did not answer is
	// not added again, though the directory may call it alive.
	barredFor = 10 * time.Second
	// changeTimeout is how long a change waits for the one before it.
	changeTimeout = time.Second
)

// manage keeps the right nodes voting while this node leads: every tick at most
// one change.
func (l *leading) manage(n *leadership) {
	if l.q.cfg.Nodes == nil {
		return
	}
	barred := map[string]time.Time{}
	tick := time.NewTicker(l.q.cfg.Heartbeat / 2)
	defer tick.Stop()
	for {
		if c := elect.Next(l.view(barred)); c.Do != elect.None {
			l.change(n, c, barred)
		}
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
	}
}

// view is what the leader knows of its members and of the nodes there are.
func (l *leading) view(barred map[string]time.Time) elect.View {
	servers := l.raft.GetConfiguration().Configuration().Servers
	cfg := l.q.cfg
	v := elect.View{Self: cfg.Node, Voters: cfg.Voters, Standbys: cfg.Standbys}
	last, now := l.raft.LastIndex(), time.Now()
	removed := l.q.replica.removed(servers)
	for _, s := range servers {
		m := elect.Member{ID: string(s.ID), Voter: s.Suffrage == raft.Voter, Alive: true, CaughtUp: true}
		if m.ID != cfg.Node {
			c := l.contacts.of(s.ID)
			m.Alive = now.Sub(c.at) <= cfg.DeadAfter
			m.CaughtUp = c.match > 0 && c.match+lagAllowed >= last
		}
		v.Members = append(v.Members, m)
	}
	listed := map[string]bool{}
	for _, node := range cfg.Nodes() {
		listed[node.ID] = true
		if until, ok := barred[node.ID]; ok && now.Before(until) {
			node.Alive = false
		}
		node.Eligible = node.Eligible && !removed[node.ID]
		v.Nodes = append(v.Nodes, node)
	}
	for id := range removed {
		if !listed[id] {
			v.Nodes = append(v.Nodes, elect.Node{ID: id})
		}
	}
	return v
}

// change carries one change out, if this node still leads and nothing has
// changed meanwhile.
func (l *leading) change(n *leadership, c elect.Change, barred map[string]time.Time) {
	index := l.q.replica.configIndex()
	err := l.raft.VerifyLeader().Error()
	if err == nil {
		err = l.apply(c, index)
	}
	if err == nil && c.Do == elect.Remove {
		l.contacts.forget(raft.ServerID(c.Node))
		barred[c.Node] = time.Now().Add(barredFor)
	}
	e := Event{Time: time.Now(), Term: n.term, What: string(c.Do), Node: c.Node, Reason: c.Reason}
	log := l.q.cfg.Log.With("peer", c.Node, "change", string(c.Do), "reason", c.Reason)
	switch {
	case err == nil:
		log.Info("quorum changed")
	case n.ctx.Err() != nil:
		return
	default:
		e.Err = err.Error()
		log.Warn("quorum not changed", "err", err)
	}
	l.q.history.add(e)
	l.q.signal()
}

func (l *leading) apply(c elect.Change, index uint64) error {
	id, addr := raft.ServerID(c.Node), raft.ServerAddress(c.Node)
	switch c.Do {
	case elect.AddStandby:
		return l.raft.AddNonvoter(id, addr, index, changeTimeout).Error()
	case elect.Promote:
		return l.raft.AddVoter(id, addr, index, changeTimeout).Error()
	case elect.Demote:
		return l.raft.DemoteVoter(id, index, changeTimeout).Error()
	case elect.Remove:
		return l.raft.RemoveServer(id, index, changeTimeout).Error()
	case elect.Transfer:
		return l.raft.LeadershipTransferToServer(id, addr).Error()
	case elect.None:
		return nil
	default:
		return fmt.Errorf("unknown change %q", c.Do)
	}
}

package consensus

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// quietFor is how seldom a node that was voted out while it was away asks for
// votes that it will not get.
const quietFor = 30 * time.Second

// pace sets how soon this node gives its leader up. Normally that is Heartbeat.
// When a stream that the leader had opened breaks, the leader's process is
// probably gone, and the node waits little more than the lease. When it has heard
// that it votes no more, it keeps quiet. A leader that is heard makes all normal.
func (q *Quorum) pace(ctx context.Context, r *raft.Raft) {
	leaders := make(chan raft.Observation, 16)
	watch := raft.NewObserver(leaders, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	r.RegisterObserver(watch)
	defer r.DeregisterObserver(watch)

	calm := time.NewTimer(0)
	defer calm.Stop()
	current := q.cfg.Heartbeat
	set := func(d time.Duration) {
		if d == current {
			return
		}
		rc := r.ReloadableConfig()
		rc.HeartbeatTimeout, rc.ElectionTimeout = d, d
		if err := r.ReloadConfig(rc); err != nil {
			q.cfg.Log.Warn("election timeout not set", "err", err)
			return
		}
		current = d
	}
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-leaders:
			if o.Data.(raft.LeaderObservation).LeaderID != "" && current > q.cfg.Heartbeat {
				set(q.cfg.Heartbeat)
			}
			q.signal()
		case <-q.cut:
			if r.State() == raft.Follower && current == q.cfg.Heartbeat {
				set(q.cfg.hurry())
				calm.Reset(4 * q.cfg.Heartbeat)
			}
		case <-calm.C:
			if current < q.cfg.Heartbeat {
				set(q.cfg.Heartbeat)
			}
		case h := <-q.news:
			_, leader := r.LeaderWithID()
			switch {
			case h.term > r.CurrentTerm() && r.State() == raft.Leader:
				r.VerifyLeader() // raft steps down if it finds it so
			case h.excluded && h.term >= r.CurrentTerm() && leader == "":
				set(quietFor)
			}
		}
	}
}

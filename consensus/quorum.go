package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"muster/offers/registry"
)

// Quorum is this node's part in the replication of the registry.
type Quorum struct {
	cfg     Config
	tr      Transport
	raftLog *raftLog
	replica *replica
	history history
	started atomic.Bool
	running atomic.Pointer[running]
	cut     chan struct{} // 1: a stream of a leader or candidate broke
	news    chan heard    // 1: the last announcement heard

	mu      sync.Mutex
	open    *proposals    // of the leadership under way
	changed chan struct{} // closed at the next change
}

// running is what exists only while Run does.
type running struct {
	raft     *raft.Raft
	contacts *contacts
	store    *store
}

// heard is what an announcement says.
type heard struct {
	term     uint64
	leader   string
	excluded bool // this node is not among the voters
}

// New returns a Quorum that Run will start. It touches no file.
func New(cfg Config, tr Transport) (*Quorum, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if tr.Dial == nil || tr.Listener == nil {
		return nil, errors.New("consensus: no transport")
	}
	q := &Quorum{
		cfg: cfg, tr: tr, raftLog: newRaftLog(cfg.Log),
		cut: make(chan struct{}, 1), news: make(chan heard, 1), changed: make(chan struct{}),
	}
	q.replica = newReplica(q.configured)
	return q, nil
}

// Bootstrap makes a cluster of this node alone, with ops as its first
// operations. Only the node that founds a cluster calls it, once, before Run;
// a second time it gives ErrBootstrapped.
func (q *Quorum) Bootstrap(ops ...*registry.Op) error {
	if q.started.Load() {
		return errors.New("bootstrap: the quorum is running already")
	}
	trial := registry.NewState()
	for _, op := range ops {
		if err := trial.Apply(op); err != nil {
			return fmt.Errorf("bootstrap: %w", err)
		}
	}
	first, err := encodeOps(ops)
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	s, err := openStore(q.cfg.Dir, q.raftLog)
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	if err := errors.Join(s.bootstrap(q.raftConfig(), first), s.close()); err != nil {
		return fmt.Errorf("bootstrap %s: %w", q.cfg.Dir, err)
	}
	return nil
}

func (q *Quorum) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(q.cfg.Node)
	c.Logger = q.raftLog
	c.HeartbeatTimeout = q.cfg.Heartbeat
	c.ElectionTimeout = q.cfg.Heartbeat
	c.LeaderLeaseTimeout = q.cfg.lease()
	// New entries are sent at once; this only bounds how long an idle follower
	// waits to learn that the last one is committed.
	c.CommitTimeout = q.cfg.Heartbeat * 2 / 5
	c.ShutdownOnRemove = false // it must come back without a restart
	c.SnapshotInterval = time.Minute
	c.SnapshotThreshold = 4096
	c.TrailingLogs = 1024
	c.NoLegacyTelemetry = true
	return c
}

// Propose has an operation replicated and applied, together with others that
// wait. It never blocks. done is called once, from another goroutine, and must
// not block: with nil when the operation is committed and applied; with the
// registry's error when every replica refused it alike; with ErrNotLeader or
// ErrBusy when it was not taken; or with ErrUncertain. Operations are applied
// in the order they were proposed. op may not be changed afterwards.
func (q *Quorum) Propose(op *registry.Op, done func(error)) {
	q.mu.Lock()
	open := q.open
	q.mu.Unlock()
	err := ErrNotLeader
	if open != nil {
		err = open.add(op, done)
	}
	if err != nil {
		go done(err)
	}
}

// State returns a copy of what this node has applied. On a node that does not
// lead it may be a moment behind.
func (q *Quorum) State() *registry.State { return q.replica.clone() }

// Changed is closed at the next change of leader, term or members.
func (q *Quorum) Changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

// configured notes a committed membership. It comes from raft's goroutine, or,
// before raft runs, from a snapshot.
func (q *Quorum) configured(index uint64) {
	if run := q.running.Load(); run != nil {
		if err := run.store.noteHeld(index); err != nil {
			q.cfg.Log.Warn("the log's reach was not noted", "err", err)
		}
	}
	q.signal()
}

func (q *Quorum) signal() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.changed)
	q.changed = make(chan struct{})
}

// Heard tells the quorum of a verified announcement: who leads in which term,
// with which voters. A node that still takes itself for the leader or a voter
// learns from it that it is not; nothing depends on it being told.
func (q *Quorum) Heard(term uint64, leader string, voters []string) {
	if leader == q.cfg.Node {
		return
	}
	h := heard{term: term, leader: leader, excluded: true}
	for _, v := range voters {
		h.excluded = h.excluded && v != q.cfg.Node
	}
	// Only the last counts.
	for {
		select {
		case q.news <- h:
			return
		default:
		}
		select {
		case <-q.news:
		default:
		}
	}
}

// Run takes part in the quorum until ctx ends. It may be called once.
func (q *Quorum) Run(ctx context.Context) error {
	if q.started.Swap(true) {
		return errors.New("consensus: run was called before")
	}
	store, err := openStore(q.cfg.Dir, q.raftLog)
	if err != nil {
		return errors.Join(fmt.Errorf("consensus: %w", err), q.tr.Listener.Close())
	}
	streams := newStreams(q.cfg.Node, q.tr, q.noteCut)
	trans := newContacts(raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Logger: q.raftLog, Stream: streams, MaxPool: pooled, MaxRPCsInFlight: 1, Timeout: q.cfg.rpcTimeout(),
	}))
	r, err := q.startRaft(store, trans)
	if err == nil {
		q.running.Store(&running{r, trans, store})
		lead := &leading{q: q, raft: r, contacts: trans}
		err = q.serve(ctx, lead)
		applied := r.AppliedIndex()
		stopped := r.Shutdown()
		// A peer that hangs must not delay the end: cut all streams first.
		err = errors.Join(err, trans.Close(), stopped.Error(), store.noteHeld(applied))
		lead.wait()
		q.running.Store(nil)
	}
	trans.CloseStreams()
	err = errors.Join(err, trans.Close(), streams.Close(), store.close())
	if err != nil {
		return fmt.Errorf("consensus: %w", err)
	}
	return nil
}

// startRaft starts raft on what the folder holds. Damage that it meets only
// then is told as such.
func (q *Quorum) startRaft(s *store, trans *contacts) (r *raft.Raft, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("start on %s: %w: %v", q.cfg.Dir, ErrDamaged, p)
		}
	}()
	s.snaps.opened = func(m *raft.SnapshotMeta) { q.replica.StoreConfiguration(m.ConfigurationIndex, m.Configuration) }
	r, err = raft.NewRaft(q.raftConfig(), q.replica, s.log, s.log, s.snaps, trans)
	if err != nil {
		return nil, fmt.Errorf("start on %s: %w: %w", q.cfg.Dir, ErrDamaged, err)
	}
	return r, nil
}

// serve runs the goroutines around raft until ctx ends, or the replica fails,
// and nothing but OnLead is left of a leadership.
func (q *Quorum) serve(ctx context.Context, lead *leading) (err error) {
	r := lead.raft
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { q.pace(ctx, r) })
	wg.Go(func() {
		defer stop()
		select {
		case err = <-q.replica.failed:
		case <-ctx.Done():
		}
	})
	if q.alone(r) {
		q.standForElection(r, lead.contacts)
	}
	lead.watch(ctx)
	if r.State() == raft.Leader && !q.alone(r) {
		// Orderly: the next leader need not first find out that this one is gone.
		if err := r.LeadershipTransfer().Error(); err != nil {
			q.cfg.Log.Info("leadership not handed over", "err", err)
		}
	}
	stop()
	wg.Wait()
	return err
}

// alone reports whether this node is the only voter.
func (q *Quorum) alone(r *raft.Raft) bool {
	voters := 0
	self := false
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters++
			self = self || s.ID == raft.ServerID(q.cfg.Node)
		}
	}
	return self && voters == 1
}

// standForElection has this node hold an election at once. The only voter has
// nobody to wait for.
func (q *Quorum) standForElection(r *raft.Raft, trans *contacts) {
	id, addr := raft.ServerID(q.cfg.Node), raft.ServerAddress(q.cfg.Node)
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: []byte(addr),
	}}
	if err := trans.TimeoutNow(id, addr, req, &raft.TimeoutNowResponse{}); err != nil {
		q.cfg.Log.Debug("election not brought forward", "err", err)
	}
}

func (q *Quorum) noteCut() {
	select {
	case q.cut <- struct{}{}:
	default:
	}
}

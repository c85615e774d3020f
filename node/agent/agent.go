package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/node/agent/checkpoint"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/resource"
)

var (
	// ErrStaleTerm: the message is of a leader that was deposed; its link must be dropped.
	ErrStaleTerm = errors.New("stale term")
	// ErrStopped: the agent no longer runs.
	ErrStopped = errors.New("agent has stopped")
)

// inboxSize is how many inputs wait before their senders do.
const inboxSize = 1024

// Agent runs the tasks of one node. The goroutine in Run owns all state below
// "owned by Run"; everybody else, timers and finished jobs too, posts a func to
// it. It never waits: whatever may take time is a job in a pool or a record in
// the journal, and comes back as another input.
type Agent struct {
	cfg         Config
	driver      isolate.Driver
	meter       Meter
	uplink      Uplink
	log         *slog.Logger
	journal     *checkpoint.Journal
	owned       resource.Set // as the settings say
	attributes  []*mesos.Attribute
	boot        string
	incarnation string
	started     time.Time
	board       *board
	counts      counters

	inbox  chan func()
	done   chan struct{} // closed when Run no longer takes inputs
	jobs   sync.WaitGroup
	ctx    context.Context // of jobs: ends with Run
	term   atomic.Uint64   // the highest heard of
	loaded *checkpoint.State

	// Owned by Run.
	id         string
	savedTerm  uint64
	link       link
	frameworks map[string]*framework
	tasks      map[checkpoint.Key]*task
	held       []*task // wait for the resources of removed frameworks, or for their volumes
	used       resource.Set
	settled    resource.Set // what operations have made of owned, as far as it is on disk
	total      resource.Set // and what those in the queue will make of it
	operations map[string]*operation
	queue      []*operation // not ended yet, in the order in which they were given
	pool       resource.Set // revocable resources that are lent, in all
	loans      resource.Set // of these, what tasks have
	starts     pool
	ends       pool
	disks      pool // of work on volumes: one at a time, in order
	order      uint64
	draining   *drain // nil: it takes up tasks
	purging    bool   // marked gone: ends all tasks, then forgets the agent's ID
}

// framework is one with tasks here.
type framework struct {
	info     *mesos.FrameworkInfo
	id       string
	shutdown bool // removed from the cluster: nobody acknowledges anything
	tasks    int
}

// New reads what an earlier agent left in cfg.Dir and returns one that carries
// on from there once it runs. meter and log may be nil.
func New(cfg Config, driver isolate.Driver, meter Meter, uplink Uplink, log *slog.Logger) (*Agent, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("agent: work directory: %w", err)
	}
	a := &Agent{
		cfg: cfg, driver: driver, meter: meter, uplink: uplink, log: log,
		incarnation: uuid.NewString(), started: time.Now(),
		inbox: make(chan func(), inboxSize), done: make(chan struct{}),
		frameworks: make(map[string]*framework), tasks: make(map[checkpoint.Key]*task), operations: make(map[string]*operation),
	}
	a.starts = pool{a: a, slots: cfg.Concurrency}
	a.ends = pool{a: a, slots: cfg.Concurrency}
	a.disks = pool{a: a, slots: 1}
	if a.owned, err = totalResources(cfg.Resources, cfg.Dir); err != nil {
		return nil, err
	}
	if a.attributes, err = parseAttributes(cfg.Attributes); err != nil {
		return nil, err
	}
	if a.boot, err = cfg.bootID(); err != nil {
		return nil, fmt.Errorf("agent: boot ID: %w", err)
	}
	if err := a.load(); err != nil {
		return nil, err
	}
	return a, nil
}

// load opens the journal.
func (a *Agent) load() error {
	journal, state, err := checkpoint.Open(checkpoint.Config{
		Dir: filepath.Join(a.cfg.Dir, "checkpoint"), Keep: a.cfg.Completed, Wrap: a.cfg.wrap,
	}, a.log)
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	a.journal, a.loaded = journal, state
	if a.settled, err = converted(a.owned, state.Made); err != nil {
		return errors.Join(err, journal.Close())
	}
	a.total = a.settled
	a.id = state.Agent.GetAgentId().GetValue()
	a.savedTerm = state.Agent.GetTerm()
	a.term.Store(a.savedTerm)
	a.board = newBoard(a.cfg.Completed, a.info())
	return nil
}

// Run carries on with the tasks of earlier agents and then does what it is told
// until ctx ends. Tasks run on after it; a new Agent finds them.
func (a *Agent) Run(ctx context.Context) error {
	jobs, stopJobs := context.WithCancelCause(context.WithoutCancel(ctx))
	a.ctx = jobs
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	written := make(chan error, 1)
	go func() { written <- a.journal.Run(writing) }()

	a.recover()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case f := <-a.inbox:
			f()
		}
	}
	close(a.done)
	stopJobs(ErrStopped)
	a.jobs.Wait()
	stopWriting()
	return <-written
}

// post hands f to the agent's goroutine; it is dropped once Run has ended.
func (a *Agent) post(f func()) bool {
	select {
	case a.inbox <- f:
		return true
	case <-a.done:
		return false
	}
}

// after posts f when d has passed.
func (a *Agent) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() { a.post(f) })
}

// spawn runs job beside the agent's goroutine; Run waits for it.
func (a *Agent) spawn(job func()) {
	a.jobs.Add(1)
	go func() {
		defer a.jobs.Done()
		job()
	}()
}

// Connected tells of a new link to the leader of term.
func (a *Agent) Connected(term uint64) {
	if err := a.fence(term); err != nil {
		a.log.Warn("leader of a past term ignored", "term", term, "err", err)
		return
	}
	a.post(a.connected)
}

// Disconnected tells that the link is gone.
func (a *Agent) Disconnected() { a.post(a.disconnected) }

// Receive takes a message of the leader. An error means that the link must be
// dropped: ErrStaleTerm if a later leader was heard of, ErrStopped.
func (a *Agent) Receive(m *protocol.MasterToAgent) error {
	if err := a.fence(m.GetTerm()); err != nil {
		return err
	}
	if !a.post(func() { a.handle(m) }) {
		return ErrStopped
	}
	return nil
}

// fence refuses what a deposed leader says.
func (a *Agent) fence(term uint64) error {
	for {
		seen := a.term.Load()
		if term < seen {
			return fmt.Errorf("agent: term %d, but %d was heard of: %w", term, seen, ErrStaleTerm)
		}
		if term == seen || a.term.CompareAndSwap(seen, term) {
			return nil
		}
	}
}

// handle does what the leader says.
func (a *Agent) handle(m *protocol.MasterToAgent) {
	a.saveTerm()
	switch m := m.GetMessage().(type) {
	case *protocol.MasterToAgent_Registered:
		a.registered(m.Registered)
	case *protocol.MasterToAgent_Refused:
		a.refused(m.Refused)
	case *protocol.MasterToAgent_RunTask:
		a.runTasks(m.RunTask)
	case *protocol.MasterToAgent_KillTask:
		a.killTask(m.KillTask)
	case *protocol.MasterToAgent_Acknowledge:
		a.acknowledge(m.Acknowledge)
	case *protocol.MasterToAgent_ShutdownFramework:
		a.shutdownFramework(m.ShutdownFramework.GetFrameworkId().GetValue())
	case *protocol.MasterToAgent_UpdateFramework:
		a.updateFramework(m.UpdateFramework.GetFramework())
	case *protocol.MasterToAgent_Reconcile:
		a.reconcile(m.Reconcile.GetTasks())
	case *protocol.MasterToAgent_ApplyOperation:
		a.applyOperation(m.ApplyOperation)
	case *protocol.MasterToAgent_AcknowledgeOperation:
		a.acknowledgeOperation(m.AcknowledgeOperation)
	case *protocol.MasterToAgent_ReconcileOperations:
		a.reconcileOperations(m.ReconcileOperations.GetOperationUuids())
	case *protocol.MasterToAgent_ShutdownExecutor:
		a.shutdownExecutor(m.ShutdownExecutor)
	case *protocol.MasterToAgent_Drain:
		a.drain(m.Drain.GetConfig())
	case *protocol.MasterToAgent_FrameworkMessage:
		// A command task has no executor that could read it; delivery is best effort.
		a.log.Debug("message to an executor dropped", "framework_id", m.FrameworkMessage.GetFrameworkId().GetValue(),
			"executor_id", m.FrameworkMessage.GetExecutorId().GetValue())
	case *protocol.MasterToAgent_Heartbeat:
	default:
		a.log.Warn("unknown message of the leader ignored", "type", fmt.Sprintf("%T", m))
	}
}

// saveTerm checkpoints the highest term. Launches are written after it.
func (a *Agent) saveTerm() {
	if a.term.Load() > a.savedTerm {
		a.saveAgent()
	}
}

func (a *Agent) saveAgent() {
	a.savedTerm = a.term.Load()
	r := &checkpoint.Agent{Term: &a.savedTerm, BootId: &a.boot}
	term := a.savedTerm
	r.Term = &term
	if a.id != "" {
		id := a.id
		r.AgentId = &mesos.AgentID{Value: &id}
	}
	if a.draining != nil {
		r.Drain, r.DrainStartNanoseconds = a.draining.config, proto.Int64(a.draining.began.UnixNano())
	}
	a.journal.Append(nil, &checkpoint.Record{Record: &checkpoint.Record_Agent{Agent: r}})
}

package agent

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"muster/node/agent/checkpoint"
	"muster/offers/mesos"
)

// State is the agent at one moment, for readers. Nothing in it is ever modified.
type State struct {
	Agent       *mesos.AgentInfo // with its ID once registered
	Incarnation string
	Version     string
	Started     time.Time
	Term        uint64
	Connected   bool   // there is a link to the leader
	Registered  bool   // and it has taken the agent up
	Refused     string // why the leader did not take it up

	Drain      *mesos.DrainConfig // nil unless it is draining
	DrainStart time.Time

	Frameworks []*mesos.FrameworkInfo // of the tasks, by ID
	Tasks      []*Task                // not terminal, or not acknowledged; in the order of their launch
	Completed  []*Task                // oldest first, bounded
	Operations []*mesos.Operation     // not ended, or not acknowledged
	Counts     Counts
}

// Task is one task with its container.
type Task struct {
	Task        *mesos.Task
	Info        *mesos.TaskInfo
	Framework   *mesos.FrameworkInfo
	ExecutorID  string
	ContainerID string // "" if it was never launched
	Directory   string // host path of its sandbox
	PID         int    // 0 until it runs
	Launched    time.Time
	Running     bool // its container has not ended, as far as is known
	Revocable   bool // it runs on CPUs that may be taken back
	order       uint64
}

// Counts are running totals since the agent started.
type Counts struct {
	Launches, LaunchFailures, DestroyFailures, Retries, Operations uint64
	// Updates by the state they told, refusals included.
	Updates map[mesos.TaskState]uint64
}

type counters struct {
	Launches, LaunchFailures, DestroyFailures, Retries, Operations atomic.Uint64
	states                                                         [16]atomic.Uint64
}

func (c *counters) update(s mesos.TaskState) {
	if int(s) < len(c.states) {
		c.states[s].Add(1)
	}
}

func (c *counters) read() Counts {
	out := Counts{
		Launches: c.Launches.Load(), LaunchFailures: c.LaunchFailures.Load(),
		DestroyFailures: c.DestroyFailures.Load(), Retries: c.Retries.Load(), Operations: c.Operations.Load(),
		Updates: make(map[mesos.TaskState]uint64),
	}
	for s := range c.states {
		if n := c.states[s].Load(); n > 0 {
			out.Updates[mesos.TaskState(s)] = n
		}
	}
	return out
}

// board is where readers see the agent. Its owner changes one entry at a time;
// the lock is held for memory only.
type board struct {
	keep int

	mu         sync.RWMutex
	link       link
	info       *mesos.AgentInfo
	tasks      map[checkpoint.Key]*Task
	completed  []*Task
	operations []*mesos.Operation
	drain      *drain
}

func newBoard(keep int, info *mesos.AgentInfo) *board {
	return &board{keep: keep, info: info, tasks: make(map[checkpoint.Key]*Task)}
}

func (b *board) linked(l link, info *mesos.AgentInfo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.link, b.info = l, info
}

func (b *board) drained(d *drain) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drain = d
}

func (b *board) setOperations(list []*mesos.Operation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.operations = list
}

func (b *board) put(key checkpoint.Key, t *Task) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tasks[key] = t
}

// remove takes a task away, to the completed ones if it is to be remembered.
func (b *board) remove(key checkpoint.Key, t *Task, remember bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.tasks, key)
	if !remember {
		return
	}
	b.completed = append(b.completed, t)
	if drop := len(b.completed) - b.keep; drop > 0 {
		b.completed = slices.Delete(b.completed, 0, drop)
	}
}

// ended are the completed tasks that are remembered.
func (b *board) ended() []*Task {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.Clone(b.completed)
}

func (b *board) sandbox(framework, executor, run string) string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var found *Task
	consider := func(t *Task) {
		if t.Framework.GetId().GetValue() != framework || t.ExecutorID != executor || t.Directory == "" {
			return
		}
		if run == t.ContainerID || run == "latest" && (found == nil || !t.Launched.Before(found.Launched)) {
			found = t
		}
	}
	for _, t := range b.completed {
		consider(t)
	}
	for _, t := range b.tasks {
		consider(t)
	}
	if found == nil {
		return ""
	}
	return found.Directory
}

// State returns what the agent is and has now. It costs its owner nothing.
func (a *Agent) State() *State {
	s := &State{Incarnation: a.incarnation, Version: a.cfg.Version, Started: a.started, Term: a.term.Load(), Counts: a.counts.read()}
	b := a.board
	b.mu.RLock()
	s.Agent, s.Connected, s.Registered, s.Refused = b.info, b.link.up, b.link.registered, b.link.refused
	if b.drain != nil {
		s.Drain, s.DrainStart = b.drain.config, b.drain.began
	}
	s.Tasks = slices.Collect(maps.Values(b.tasks))
	s.Completed, s.Operations = slices.Clone(b.completed), b.operations
	b.mu.RUnlock()
	slices.SortFunc(s.Tasks, func(x, y *Task) int { return cmp.Compare(x.order, y.order) })
	frameworks := make(map[string]*mesos.FrameworkInfo)
	for _, ts := range [][]*Task{s.Completed, s.Tasks} {
		for _, t := range ts {
			frameworks[t.Framework.GetId().GetValue()] = t.Framework
		}
	}
	for _, id := range slices.Sorted(maps.Keys(frameworks)) {
		s.Frameworks = append(s.Frameworks, frameworks[id])
	}
	return s
}

// view is t for readers.
func (a *Agent) view(t *task) *Task {
	v := &Task{
		Task: a.taskProto(t), Info: t.info(), Framework: t.framework.info, ExecutorID: t.executor,
		ContainerID: t.launch.GetContainerId(), Directory: t.launch.GetDirectory(), PID: t.container.PID,
		Running: t.phase == running, Revocable: t.revocable(), order: t.order,
	}
	if ns := t.launch.GetTimeNanoseconds(); ns != 0 {
		v.Launched = time.Unix(0, ns)
	}
	return v
}

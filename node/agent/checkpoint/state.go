package checkpoint

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"muster/offers/mesos"
)

// Key names a task: IDs are unique within their framework only.
type Key struct{ Framework, Task string }

// State is what a journal's records add up to. Messages in it are never modified.
type State struct {
	Agent      *Agent // never nil
	Frameworks map[string]*Framework
	Tasks      map[Key]*Task
	Completed  []*Task            // oldest first
	Made       []*mesos.Resource  // by operations
	Operations []*mesos.Operation // begun or ended, not acknowledged; oldest first
	keep       int                // how many completed tasks are remembered
	launches   uint64
}

// Framework is one that has tasks in the State, running or completed.
type Framework struct {
	Info     *mesos.FrameworkInfo
	Shutdown bool // removed from the cluster
}

// Task is one that was launched.
type Task struct {
	Launch  *Launch
	Kill    *Kill               // nil: nobody ended it
	Updates []*mesos.TaskStatus // all, oldest first
	Acked   int                 // so many of Updates were acknowledged
	order   uint64
}

// State is the task's newest state.
func (t *Task) State() mesos.TaskState {
	if len(t.Updates) == 0 {
		return mesos.TaskState_TASK_STAGING
	}
	return t.Updates[len(t.Updates)-1].GetState()
}

// NewState returns an empty State that remembers up to keep completed tasks.
func NewState(keep int) *State {
	return &State{
		Agent:      &Agent{},
		Frameworks: make(map[string]*Framework),
		Tasks:      make(map[Key]*Task),
		keep:       keep,
	}
}

// Apply adds one record. Records of tasks or kinds that are not known change nothing.
func (s *State) Apply(r *Record) {
	switch r := r.GetRecord().(type) {
	case *Record_Agent:
		s.Agent = r.Agent
	case *Record_Framework:
		s.framework(r.Framework.GetId().GetValue()).Info = r.Framework
	case *Record_Launch:
		s.launch(r.Launch)
	case *Record_Update:
		if t := s.Tasks[Key{r.Update.GetFrameworkId().GetValue(), r.Update.GetStatus().GetTaskId().GetValue()}]; t != nil {
			t.Updates = append(t.Updates, r.Update.GetStatus())
		}
	case *Record_Acknowledged:
		s.acknowledge(r.Acknowledged)
	case *Record_Kill:
		if t := s.Tasks[Key{r.Kill.GetFrameworkId().GetValue(), r.Kill.GetTaskId().GetValue()}]; t != nil {
			t.Kill = r.Kill
		}
	case *Record_Shutdown:
		if f := s.Frameworks[r.Shutdown.GetFrameworkId().GetValue()]; f != nil {
			f.Shutdown = true
		}
	case *Record_Resources:
		s.Made = r.Resources.GetMade()
		if o := r.Resources.GetOperation(); o != nil {
			s.operation(o)
		}
	case *Record_Operation:
		s.operation(r.Operation)
	case *Record_OperationForgotten:
		s.Operations = slices.DeleteFunc(s.Operations, func(o *mesos.Operation) bool {
			return bytes.Equal(o.GetUuid().GetValue(), r.OperationForgotten.GetOperationUuid())
		})
	case *Record_Forget:
		s.complete(Key{r.Forget.GetFrameworkId().GetValue(), r.Forget.GetTaskId().GetValue()})
	}
}

// operation replaces what is known of an operation.
func (s *State) operation(o *mesos.Operation) {
	for i, known := range s.Operations {
		if bytes.Equal(known.GetUuid().GetValue(), o.GetUuid().GetValue()) {
			s.Operations[i] = o
			return
		}
	}
	s.Operations = append(s.Operations, o)
}

func (s *State) framework(id string) *Framework {
	f := s.Frameworks[id]
	if f == nil {
		f = &Framework{}
		s.Frameworks[id] = f
	}
	return f
}

func (s *State) launch(l *Launch) {
	key := l.Key()
	if s.Tasks[key] != nil {
		return
	}
	s.launches++
	s.Tasks[key] = &Task{Launch: l, order: s.launches}
}

func (s *State) acknowledge(a *Acknowledged) {
	key := Key{a.GetFrameworkId().GetValue(), a.GetTaskId().GetValue()}
	t := s.Tasks[key]
	if t == nil || t.Acked == len(t.Updates) || !bytes.Equal(t.Updates[t.Acked].GetUuid(), a.GetUuid()) {
		return
	}
	t.Acked++
	if t.Acked == len(t.Updates) && t.State().Terminal() {
		s.complete(key)
	}
}

func (s *State) complete(key Key) {
	t := s.Tasks[key]
	if t == nil {
		return
	}
	delete(s.Tasks, key)
	s.Completed = append(s.Completed, t)
	if drop := len(s.Completed) - s.keep; drop > 0 {
		s.Completed = slices.Delete(s.Completed, 0, drop)
	}
	s.dropFrameworks()
}

// dropFrameworks forgets those that have no task here any more.
func (s *State) dropFrameworks() {
	used := make(map[string]bool, len(s.Frameworks))
	for key := range s.Tasks {
		used[key.Framework] = true
	}
	for _, t := range s.Completed {
		used[t.Launch.GetFrameworkId().GetValue()] = true
	}
	maps.DeleteFunc(s.Frameworks, func(id string, _ *Framework) bool { return !used[id] })
}

// Sorted returns the tasks that are not completed in the order of their launch.
func (s *State) Sorted() []*Task {
	return slices.SortedFunc(maps.Values(s.Tasks), func(a, b *Task) int { return cmp.Compare(a.order, b.order) })
}

// Clone copies s; the messages are shared.
func (s *State) Clone() *State {
	c := *s
	c.Frameworks = make(map[string]*Framework, len(s.Frameworks))
	for id, f := range s.Frameworks {
		f := *f
		c.Frameworks[id] = &f
	}
	c.Tasks = make(map[Key]*Task, len(s.Tasks))
	for key, t := range s.Tasks {
		t := *t
		t.Updates = slices.Clone(t.Updates)
		c.Tasks[key] = &t
	}
	c.Completed = slices.Clone(s.Completed)
	c.Operations = slices.Clone(s.Operations)
	return &c
}

// Records returns records that give s again, without what is no longer needed.
func (s *State) Records() []*Record {
	rs := []*Record{{Record: &Record_Agent{s.Agent}}}
	if len(s.Made) > 0 {
		rs = append(rs, &Record{Record: &Record_Resources{&Resources{Made: s.Made}}})
	}
	for _, o := range s.Operations {
		rs = append(rs, &Record{Record: &Record_Operation{o}})
	}
	written := make(map[string]bool)
	add := func(t *Task) {
		// A framework without tasks is dropped when any task completes, so each comes right before its first.
		id := t.Launch.GetFrameworkId().GetValue()
		if f := s.Frameworks[id]; f != nil && f.Info != nil && !written[id] {
			rs = append(rs, &Record{Record: &Record_Framework{f.Info}})
		}
		written[id] = true
		rs = append(rs, t.records()...)
	}
	for _, t := range s.Completed {
		add(t)
		rs = append(rs, &Record{Record: &Record_Forget{&Forget{FrameworkId: t.Launch.GetFrameworkId(), TaskId: t.Launch.GetTask().GetTaskId()}}})
	}
	for _, t := range s.Sorted() {
		add(t)
	}
	for _, id := range slices.Sorted(maps.Keys(s.Frameworks)) {
		if s.Frameworks[id].Shutdown {
			rs = append(rs, &Record{Record: &Record_Shutdown{&Shutdown{FrameworkId: &mesos.FrameworkID{Value: &id}}}})
		}
	}
	return rs
}

func (t *Task) records() []*Record {
	fid, tid := t.Launch.GetFrameworkId(), t.Launch.GetTask().GetTaskId()
	rs := []*Record{{Record: &Record_Launch{t.Launch}}}
	if t.Kill != nil {
		rs = append(rs, &Record{Record: &Record_Kill{t.Kill}})
	}
	for _, u := range t.Updates {
		rs = append(rs, &Record{Record: &Record_Update{&Update{FrameworkId: fid, Status: u}}})
	}
	for _, u := range t.Updates[:t.Acked] {
		rs = append(rs, &Record{Record: &Record_Acknowledged{&Acknowledged{FrameworkId: fid, TaskId: tid, Uuid: u.GetUuid()}}})
	}
	return rs
}

// Key names the launched task.
func (l *Launch) Key() Key {
	return Key{l.GetFrameworkId().GetValue(), l.GetTask().GetTaskId().GetValue()}
}

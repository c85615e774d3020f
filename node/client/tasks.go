package client

import (
	"sync"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// tasks are those that were launched and have not been seen to end.
type tasks struct {
	mu      sync.Mutex // Handle may call the session from other goroutines
	open    map[string]*scheduler.Call_Reconcile_Task
	unclear map[string]bool // not heard of since the session began
}

// launching notes the tasks of a call, before it is sent: even a call that fails
// may have been taken.
func (t *tasks) launching(call *scheduler.Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, op := range call.GetAccept().GetOperations() {
		for _, task := range append(op.GetLaunch().GetTaskInfos(), op.GetLaunchGroup().GetTaskGroup().GetTasks()...) {
			t.open[task.GetTaskId().GetValue()] = &scheduler.Call_Reconcile_Task{TaskId: task.GetTaskId(), AgentId: task.GetAgentId()}
		}
	}
}

func (t *tasks) seen(status *mesos.TaskStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.unclear, status.GetTaskId().GetValue())
	if status.GetState().Terminal() {
		delete(t.open, status.GetTaskId().GetValue())
	}
}

func (t *tasks) doubt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unclear = map[string]bool{}
	for id := range t.open {
		t.unclear[id] = true
	}
}

func (t *tasks) doubtful() (list []*scheduler.Call_Reconcile_Task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.unclear {
		list = append(list, t.open[id])
	}
	return list
}

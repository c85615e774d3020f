package api

import (
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// A task that was accepted must get a status even if the leader dies before its
// agent hears of it. The gateway that carried the ACCEPT remembers the task until
// it sees a status of it. Where the framework's stream is at another gateway it sees
// none; then it remembers only what was accepted so shortly before the link ended
// that the leader may have been gone already.
const (
	pendingFor = 20 * time.Second // until a dead leader is noticed, and then some
	pendingMax = 100_000
)

type taskKey struct{ framework, task string }

type pendingTask struct {
	task  *protocol.Pending_Task
	since time.Time
	call  uint64 // that would launch it
}

// launches calls do for each task that call would launch.
func launches(call *scheduler.Call, do func(key taskKey, t *mesos.TaskInfo)) {
	framework := call.GetFrameworkId().GetValue()
	for _, op := range call.GetAccept().GetOperations() {
		for _, t := range offers.Launched(op) {
			do(taskKey{framework, t.GetTaskId().GetValue()}, t)
		}
	}
}

// expect remembers the tasks of a call from now on.
func (g *Gateway) expect(id uint64, call *scheduler.Call) {
	now := time.Now()
	launches(call, func(key taskKey, t *mesos.TaskInfo) {
		if _, twice := g.pending[key]; twice {
			return // of the call before, which this one cannot undo
		}
		if len(g.pending) >= pendingMax {
			g.expire(now)
		}
		if len(g.pending) >= pendingMax {
			g.log.Warn("accepted task not remembered: too many are unheard of", "framework_id", key.framework, "task_id", key.task)
			return
		}
		g.pending[key] = pendingTask{since: now, call: id, task: &protocol.Pending_Task{
			TaskId: t.GetTaskId(), AgentId: t.GetAgentId(), ExecutorId: t.GetExecutor().GetExecutorId(),
		}}
	})
}

// forget drops the tasks of a call that was not accepted. Another's stay, whoever names them.
func (g *Gateway) forget(id uint64, call *scheduler.Call) {
	launches(call, func(key taskKey, _ *mesos.TaskInfo) {
		if g.pending[key].call == id {
			delete(g.pending, key)
		}
	})
}

// heard drops a task whose framework was sent a status.
func (g *Gateway) heard(framework, task string) { delete(g.pending, taskKey{framework, task}) }

// expire drops what is old of frameworks whose stream is elsewhere.
func (g *Gateway) expire(now time.Time) {
	local := map[string]bool{}
	for _, s := range g.sessions {
		local[s.framework()] = true
	}
	for key, p := range g.pending {
		if !local[key.framework] && now.Sub(p.since) > pendingFor {
			delete(g.pending, key)
		}
	}
}

// announce returns what a new leader is to be asked about, by framework.
func (g *Gateway) announce() []*protocol.Pending {
	byFramework := map[string]*protocol.Pending{}
	var all []*protocol.Pending
	for key, p := range g.pending {
		f := byFramework[key.framework]
		if f == nil {
			f = &protocol.Pending{FrameworkId: &mesos.FrameworkID{Value: proto.String(key.framework)}}
			byFramework[key.framework] = f
			all = append(all, f)
		}
		f.Tasks = append(f.Tasks, p.task)
	}
	return all
}

package offers

import (
	"muster/offers/mesos"
	"muster/offers/resource"
)

// work is a task about to be launched, in the form its agent gets it.
type work struct {
	info      *mesos.TaskInfo
	resources resource.Set // allocated
	executor  resource.Set // of its executor, allocated
}

// group is a task group about to be launched.
type group struct {
	executor  *mesos.ExecutorInfo
	resources resource.Set // of the executor, allocated
	tasks     []*work
}

// prepare fills in what a task may leave out: whom its resources are allocated to,
// its executor's framework, the type of its health check.
func (x *acceptance) prepare(info *mesos.TaskInfo) (*work, error) {
	if info == nil {
		info = &mesos.TaskInfo{}
	}
	w := &work{info: copyTaskInfo(info)}
	var err error
	if w.resources, err = x.allocated(info.GetResources()); err != nil {
		return nil, answerf("Task uses invalid resources: %v", err)
	}
	w.info.Resources = w.resources.Proto()
	if e := info.GetExecutor(); e != nil {
		if w.executor, err = x.allocated(e.GetResources()); err != nil {
			return nil, answerf("Executor uses invalid resources: %v", err)
		}
		w.info.Executor = x.executorInfo(e, w.executor)
	}
	if h := info.GetHealthCheck(); h != nil && h.Type == nil {
		w.info.HealthCheck = guessType(h)
	}
	return w, nil
}

// prepareGroup is prepare for a group. A task without an executor has the group's.
func (x *acceptance) prepareGroup(op *mesos.Offer_Operation_LaunchGroup) (*group, error) {
	e := op.GetExecutor()
	if e == nil {
		e = &mesos.ExecutorInfo{}
	}
	g := &group{}
	var err error
	if g.resources, err = x.allocated(e.GetResources()); err != nil {
		return nil, answerf("Executor uses invalid resources: %v", err)
	}
	g.executor = x.executorInfo(e, g.resources)
	for _, info := range op.GetTaskGroup().GetTasks() {
		w, err := x.prepare(info)
		if err != nil {
			return nil, answerf("Task '%s' is invalid: %v", info.GetTaskId().GetValue(), err)
		}
		if w.info.Executor == nil {
			w.info.Executor, w.executor = g.executor, g.resources
		}
		g.tasks = append(g.tasks, w)
	}
	return g, nil
}

// allocated returns resources a call names; those that are not said to be allocated
// are allocated to the offers' role.
func (x *acceptance) allocated(rs []*mesos.Resource) (resource.Set, error) {
	set, err := resource.FromProto(rs)
	if err != nil {
		return resource.Set{}, err
	}
	roles := set.AllocatedRoles()
	if len(roles) == 0 {
		return set.Allocate(x.role), nil
	}
	if none := set.AllocatedTo(""); !none.Empty() {
		return set.Sub(none).Add(none.Allocate(x.role)), nil
	}
	return set, nil
}

func (x *acceptance) executorInfo(e *mesos.ExecutorInfo, res resource.Set) *mesos.ExecutorInfo {
	c := &mesos.ExecutorInfo{
		Type: e.Type, ExecutorId: e.ExecutorId, FrameworkId: e.FrameworkId, Command: e.Command, Container: e.Container,
		Resources: res.Proto(), Name: e.Name, Source: e.Source, Data: e.Data, Discovery: e.Discovery,
		ShutdownGracePeriod: e.ShutdownGracePeriod, Labels: e.Labels,
	}
	if c.FrameworkId == nil {
		c.FrameworkId = x.framework.info.GetId()
	}
	return c
}

// guessType returns a health check with the type its fields suggest, if they do.
func guessType(h *mesos.HealthCheck) *mesos.HealthCheck {
	c := &mesos.HealthCheck{
		DelaySeconds: h.DelaySeconds, IntervalSeconds: h.IntervalSeconds, TimeoutSeconds: h.TimeoutSeconds,
		ConsecutiveFailures: h.ConsecutiveFailures, GracePeriodSeconds: h.GracePeriodSeconds,
		Command: h.Command, Http: h.Http, Tcp: h.Tcp,
	}
	switch {
	case h.Command != nil && h.Http == nil:
		c.Type = mesos.HealthCheck_COMMAND.Enum()
	case h.Http != nil && h.Command == nil:
		c.Type = mesos.HealthCheck_HTTP.Enum()
	}
	return c
}

// copyTaskInfo returns a task that may be changed; what it refers to is shared.
func copyTaskInfo(t *mesos.TaskInfo) *mesos.TaskInfo {
	return &mesos.TaskInfo{
		Name: t.Name, TaskId: t.TaskId, AgentId: t.AgentId, Resources: t.Resources, Executor: t.Executor,
		Command: t.Command, Container: t.Container, HealthCheck: t.HealthCheck, Check: t.Check, KillPolicy: t.KillPolicy,
		Data: t.Data, Labels: t.Labels, Discovery: t.Discovery, MaxCompletionTime: t.MaxCompletionTime, Limits: t.Limits,
	}
}

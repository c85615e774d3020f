package offers

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/resource"
)

// The least that a group's executor must have.
const (
	minExecutorCPUs = resource.Milli / 100
	minExecutorMem  = 32 * resource.Milli
)

// validateExecutor checks what executors of LAUNCH and LAUNCH_GROUP have in common.
// Mesos: src/master/validation.cpp, executor::validate and executor::internal::validate.
func (x *acceptance) validateExecutor(e *mesos.ExecutorInfo, res resource.Set) error {
	if err := validateExecutorType(e); err != nil {
		return err
	}
	if err := validateID(e.GetExecutorId().GetValue()); err != nil {
		return err
	}
	if e.GetShutdownGracePeriod().GetNanoseconds() < 0 {
		return answer("ExecutorInfo's 'shutdown_grace_period' must be non-negative")
	}
	if err := validateCommand(e.GetCommand()); err != nil {
		return answerf("Executor's `CommandInfo` is invalid: %v", err)
	}
	if err := validateContainer(e.GetContainer()); err != nil {
		return answerf("Executor's `ContainerInfo` is invalid: %v", err)
	}
	if id := e.GetFrameworkId().GetValue(); id != x.framework.id {
		return answerf("ExecutorInfo has an invalid FrameworkID (Actual: %s vs Expected: %s)", id, x.framework.id)
	}
	if err := validateExecutorResources(res); err != nil {
		return err
	}
	old := x.agent.executors[x.framework.id][e.GetExecutorId().GetValue()]
	if old != nil && !proto.Equal(old.info, e) {
		return answerf("ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n"+
			"Existing ExecutorInfo:\n%s\nExecutorInfo:\n%s", asJSON(old.info), asJSON(e))
	}
	return nil
}

// asJSON writes a message for people; its text form differs from build to build.
func asJSON(msg proto.Message) string {
	b, err := mesos.MarshalJSON(msg)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func validateExecutorType(e *mesos.ExecutorInfo) error {
	switch e.GetType() {
	case mesos.ExecutorInfo_DEFAULT:
		switch {
		case e.Command != nil:
			return answer("'ExecutorInfo.command' must not be set for 'DEFAULT' executor")
		case e.Container != nil && e.GetContainer().GetType() != mesos.ContainerInfo_MESOS:
			return answer("'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor")
		case e.GetContainer().GetMesos().GetImage() != nil:
			return answer("'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor")
		}
	case mesos.ExecutorInfo_CUSTOM:
		if e.Command == nil {
			return answer("'ExecutorInfo.command' must be set for 'CUSTOM' executor")
		}
	}
	return nil
}

func validateExecutorResources(res resource.Set) error {
	if res.Scalar("gpus")%resource.Milli != 0 {
		return answer("Executor uses invalid resources: Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer")
	}
	if err := uniquePersistence(res); err != nil {
		return answerf("Executor uses duplicate persistence ID: %v", err)
	}
	if err := oneRole(res); err != nil {
		return answerf("Invalid executor resources: %v", err)
	}
	return prefixed("Executor mixes revocable and non-revocable resources: ", unmixed(res))
}

// validateGroup checks a task group: all of it or nothing is launched.
// Mesos: src/master/validation.cpp, task::group::validate.
func (x *acceptance) validateGroup(g *group) error {
	seen := map[string]bool{}
	for _, w := range g.tasks {
		id := w.info.GetTaskId().GetValue()
		err := x.validateGroupTask(w)
		if err == nil && seen[id] {
			err = answerf("Task has duplicate ID: %s", id)
		}
		if err != nil {
			return answerf("Task '%s' is invalid: %v", id, err)
		}
		seen[id] = true
	}
	if err := x.validateExecutor(g.executor, g.resources); err != nil {
		return err
	}
	if err := x.validateGroupExecutor(g); err != nil {
		return err
	}
	return x.validateSharing(g)
}

func (x *acceptance) validateGroupTask(w *work) error {
	if err := x.validateTask(w); err != nil {
		return err
	}
	c, h := w.info.GetContainer(), w.info.GetHealthCheck().GetType()
	switch {
	case len(c.GetNetworkInfos()) > 0 && (h == mesos.HealthCheck_HTTP || h == mesos.HealthCheck_TCP):
		return answer("HTTP and TCP health checks are not supported for nested containers not joining parent's network")
	case c.GetType() == mesos.ContainerInfo_DOCKER && c != nil:
		return answer("Docker ContainerInfo is not supported on the task")
	case len(w.info.GetLimits()) > 0 && sharesCgroups(w.info):
		return answer("Resource limits may only be set for tasks within a task group when the 'share_cgroups' field is set to 'false'.")
	}
	return nil
}

// sharesCgroups reports whether a task of a group has no cgroups of its own.
func sharesCgroups(t *mesos.TaskInfo) bool {
	l := t.GetContainer().GetLinuxInfo()
	return l == nil || l.ShareCgroups == nil || l.GetShareCgroups()
}

func (x *acceptance) validateGroupExecutor(g *group) error {
	e, id := g.executor, g.executor.GetExecutorId().GetValue()
	switch {
	case e.Type == nil:
		return answer("'ExecutorInfo.type' must be set")
	case e.GetType() == mesos.ExecutorInfo_UNKNOWN:
		return answer("Unknown executor type")
	case e.Container != nil && e.GetContainer().GetType() == mesos.ContainerInfo_DOCKER:
		return answer("Docker ContainerInfo is not supported on the executor")
	}
	for _, w := range g.tasks {
		if !proto.Equal(w.info.GetExecutor(), e) {
			return answerf("The `ExecutorInfo` of task '%s' is different from executor '%s'", w.info.GetTaskId().GetValue(), id)
		}
	}
	switch res := g.resources; {
	case res.Scalar("cpus") < minExecutorCPUs:
		return answerf("Executor '%s' uses less CPUs (%s) than the minimum required (0.01)", id, amount(res, "cpus"))
	case res.Scalar("mem") < minExecutorMem:
		return answerf("Executor '%s' uses less memory (%s) than the minimum required (32MB)", id, amount(res, "mem"))
	case res.Scalar("disk") == 0:
		return answerf("Executor '%s' uses no disk", id)
	}
	sets := []resource.Set{g.resources}
	for _, w := range g.tasks {
		sets = append(sets, w.resources)
	}
	if err := x.validateTogether("Task group and executor", "the task group", sets...); err != nil {
		return err
	}
	if x.hasExecutor(id) {
		sets = sets[1:]
	}
	if total := resource.Sum(sets...); !x.remaining.Contains(total) {
		return answerf("Total resources %s required by task group and its executor are more than available %s", total, x.remaining)
	}
	return nil
}

// amount writes how much there is of a scalar.
func amount(s resource.Set, name string) string {
	if v := s.Scalar(name); v != 0 {
		return fmt.Sprint(float64(v) / resource.Milli)
	}
	return "None"
}

// asksToShare reports whether an executor says that it shares cgroups, which only
// its tasks may.
func asksToShare(e *mesos.ExecutorInfo) bool {
	l := e.GetContainer().GetLinuxInfo()
	return l != nil && l.ShareCgroups != nil && l.GetShareCgroups()
}

// validateSharing checks that all tasks of an executor share its cgroups, or none.
func (x *acceptance) validateSharing(g *group) error {
	if asksToShare(g.executor) {
		return answer("The 'share_cgroups' field cannot be set to 'true' on executor containers")
	}
	shares := sharesCgroups(g.tasks[0].info)
	differ := false
	for _, w := range g.tasks[1:] {
		differ = differ || sharesCgroups(w.info) != shares
	}
	for _, t := range x.framework.tasks {
		if t.agent == x.agent.id && t.executorID == g.executor.GetExecutorId().GetValue() {
			differ = differ || sharesCgroups(&mesos.TaskInfo{Container: t.msg.GetContainer()}) != shares
		}
	}
	if differ {
		return answer("If set, the value of 'share_cgroups' must be the same for all tasks in each task group and under a single executor")
	}
	return nil
}

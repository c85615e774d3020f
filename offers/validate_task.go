package offers

import (
	"math"
	"slices"

	"muster/offers/mesos"
	"muster/offers/resource"
)

// validate checks a task of LAUNCH against its agent and what remains of the offers.
// The order of the checks and their texts are what frameworks know.
// Mesos: src/master/validation.cpp, task::validate.
func (x *acceptance) validate(w *work) error {
	if err := x.validateTask(w); err != nil {
		return err
	}
	if err := x.validateTaskExecutor(w); err != nil {
		return err
	}
	if s := w.info.GetContainer().GetLinuxInfo(); s != nil && s.ShareCgroups != nil && !s.GetShareCgroups() {
		return answer("Only tasks in a task group may have 'share_cgroups' set to 'false'")
	}
	return nil
}

// validateTask checks what tasks of LAUNCH and of LAUNCH_GROUP have in common.
func (x *acceptance) validateTask(w *work) error {
	t := w.info
	checks := []func() error{
		func() error { return validateID(t.GetTaskId().GetValue()) },
		func() error { return x.validateUnique(t.GetTaskId().GetValue()) },
		func() error { return x.validateAgent(t) },
		func() error {
			if t.GetKillPolicy().GetGracePeriod().GetNanoseconds() < 0 {
				return answer("Task's 'kill_policy.grace_period' must be non-negative")
			}
			return nil
		},
		func() error {
			if t.GetMaxCompletionTime().GetNanoseconds() < 0 {
				return answer("Task's `max_completion_time` must be non-negative")
			}
			return nil
		},
		func() error { return prefixed("Task uses invalid check: ", validateCheck(t.GetCheck())) },
		func() error {
			return prefixed("Task uses invalid health check: ", validateHealthCheck(t.GetHealthCheck()))
		},
		func() error { return validateTaskResources(w) },
		func() error { return prefixed("Task's `CommandInfo` is invalid: ", validateCommand(t.GetCommand())) },
		func() error {
			return prefixed("Task's `ContainerInfo` is invalid: ", validateContainer(t.GetContainer()))
		},
		func() error { return x.validateLimits(w) },
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func prefixed(text string, err error) error {
	if err == nil {
		return nil
	}
	return answerf("%s%v", text, err)
}

func (x *acceptance) validateUnique(id string) error {
	if x.framework.tasks[id] != nil {
		return answerf("Task has duplicate ID: %s", id)
	}
	if x.framework.unreachable[id] != nil {
		return answerf("Task reuses the ID of an unreachable task: %s", id)
	}
	return nil
}

func (x *acceptance) validateAgent(t *mesos.TaskInfo) error {
	if id := t.GetAgentId().GetValue(); id != x.agent.id {
		return answerf("Task uses invalid agent %s while agent %s is expected", id, x.agent.id)
	}
	return nil
}

func validateTaskResources(w *work) error {
	if len(w.info.GetResources()) == 0 {
		return answer("Task uses no resources")
	}
	if w.resources.Scalar("gpus")%resource.Milli != 0 {
		return answer("Task uses invalid resources: Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer")
	}
	if err := uniquePersistence(w.resources); err != nil {
		return answerf("Task uses duplicate persistence ID: %v", err)
	}
	if err := oneRole(w.resources); err != nil {
		return answerf("Invalid task resources: %v", err)
	}
	return prefixed("Task mixes revocable and non-revocable resources: ", unmixed(w.resources))
}

// uniquePersistence checks that no two volumes of a role have the same ID.
func uniquePersistence(s resource.Set) error {
	seen := map[[2]string]bool{}
	for _, r := range s.PersistentVolumes().NonShared().Proto() {
		role := ""
		if n := len(r.GetReservations()); n > 0 {
			role = r.GetReservations()[n-1].GetRole()
		}
		key := [2]string{role, r.GetDisk().GetPersistence().GetId()}
		if seen[key] {
			return answerf("Persistence ID '%s' is not unique", key[1])
		}
		seen[key] = true
	}
	return nil
}

func oneRole(s resource.Set) error {
	if roles := s.AllocatedRoles(); len(roles) > 1 {
		return answerf("The resources have multiple allocation roles ('%s' and '%s') but only one allocation role is allowed",
			roles[1], roles[0])
	}
	return nil
}

// unmixed checks that nothing is taken both for good and revocably.
func unmixed(s resource.Set) error {
	firm := s.NonRevocable().Names()
	for _, name := range s.Revocable().Names() {
		if slices.Contains(firm, name) {
			return answerf("Cannot use both revocable and non-revocable '%s' at the same time", name)
		}
	}
	return nil
}

func (x *acceptance) validateLimits(w *work) error {
	limits := w.info.GetLimits()
	if len(limits) == 0 {
		return nil
	}
	if !x.agent.can(mesos.AgentInfo_Capability_TASK_RESOURCE_LIMITS) {
		return answer("Agent is not capable of handling task resource limits")
	}
	for _, name := range sortedKeys(limits) {
		if name != "cpus" && name != "mem" {
			return answer("Only cpus and mem may be included in a task's resource limits")
		}
	}
	for _, l := range []struct{ name, noun, article string }{{"cpus", "CPU", "cpu"}, {"mem", "memory", "memory"}} {
		limit, ok := limits[l.name]
		if !ok {
			continue
		}
		request := w.resources.Scalar(l.name)
		if request == 0 {
			return answerf("When a %s limit is specified, a %s request must also be specified", l.noun, l.noun)
		}
		if v := limit.GetValue(); !math.IsInf(v, 1) && !(v*resource.Milli >= float64(request)-0.5) {
			return answerf("The %s limit must be greater than or equal to the %s request", l.article, l.article)
		}
	}
	return nil
}

// validateTaskExecutor checks a task's executor, if it brings one, and that there is
// enough for both.
func (x *acceptance) validateTaskExecutor(w *work) error {
	t, e := w.info, w.info.GetExecutor()
	if (e != nil) == (t.Command != nil) {
		return answer("Task should have at least one (but not both) of CommandInfo or ExecutorInfo present")
	}
	total := w.resources
	if e != nil {
		if err := x.validateExecutor(e, w.executor); err != nil {
			return err
		}
		switch {
		case e.Type != nil && e.GetType() != mesos.ExecutorInfo_CUSTOM:
			return answer("'ExecutorInfo.type' must be 'CUSTOM'")
		case e.Command == nil:
			return answer("'ExecutorInfo.command' must be set")
		case !w.executor.Shared().Empty():
			return answerf("Executor resources %s should not contain any shared resources", w.executor)
		case asksToShare(e):
			return answer("The 'share_cgroups' field cannot be set to 'true' on executor containers")
		}
		if err := x.validateTogether("Task and its executor", "the task", w.resources, w.executor); err != nil {
			return err
		}
		if !x.hasExecutor(e.GetExecutorId().GetValue()) {
			total = total.Add(w.executor)
		}
	}
	if available := x.available(); !available.Contains(total) {
		return answerf("Total resources %s required by task and its executor is more than available %s", total, available)
	}
	return nil
}

// validateTogether checks what must hold for several uses together.
func (x *acceptance) validateTogether(who, noun string, sets ...resource.Set) error {
	sum := resource.Sum(sets...)
	if err := uniquePersistence(sum); err != nil {
		return answerf("%s use duplicate persistence ID: %v", who, err)
	}
	if err := unmixed(sum); err != nil {
		return answerf("%s mix revocable and non-revocable resources: %v", who, err)
	}
	if overlapping(sets) {
		return answerf("There are overlapping resources in the resources of %s and its executor", noun)
	}
	return nil
}

// overlapping reports whether a port or an item is in two of the sets.
func overlapping(sets []resource.Set) bool {
	seen := map[string][]resource.Range{}
	items := map[string]map[string]bool{}
	for _, s := range sets {
		for _, name := range s.Names() {
			for _, r := range s.Ranges(name) {
				for _, o := range seen[name] {
					if r.Begin <= o.End && o.Begin <= r.End {
						return true
					}
				}
			}
			seen[name] = append(seen[name], s.Ranges(name)...)
			for _, it := range s.Items(name) {
				if items[name] == nil {
					items[name] = map[string]bool{}
				}
				if items[name][it] {
					return true
				}
				items[name][it] = true
			}
		}
	}
	return false
}

package view

import (
	"slices"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
)

// Synced reports whether the view has held every fact once.
func (v *View) Synced() bool { return v.synced }

// Master returns who leads, nil before it is known.
func (v *View) Master() *protocol.ViewEvent_Master { return v.master }

// Agents returns the registered agents by ID.
func (v *View) Agents() []*master.Response_GetAgents_Agent { return v.agents.values() }

// AgentRuns returns what Agents does, as TaskRuns does.
func (v *View) AgentRuns() [][]*master.Response_GetAgents_Agent { return v.agents.lists() }

// Agent returns a registered agent, nil when there is none.
func (v *View) Agent(id string) *master.Response_GetAgents_Agent {
	a, _ := v.agents.get(id)
	return a
}

// RecoveredAgents returns the agents that the leader knows of but has not heard, by ID.
func (v *View) RecoveredAgents() []*mesos.AgentInfo { return v.recovered.values() }

// UnreachableAgents returns the IDs of agents that fell silent.
func (v *View) UnreachableAgents() []string { return v.unreachable.keys() }

// Frameworks returns the frameworks by ID.
func (v *View) Frameworks() []*master.Response_GetFrameworks_Framework {
	return facts(v.frameworks.values())
}

// Framework returns a framework, completed ones too, nil when there is none.
func (v *View) Framework(id string) *master.Response_GetFrameworks_Framework {
	if f := v.find(id); f != nil {
		return f.fact
	}
	return nil
}

// CompletedFrameworks returns the frameworks that were removed, oldest first.
func (v *View) CompletedFrameworks() []*master.Response_GetFrameworks_Framework {
	return facts(v.completed.values())
}

// Tasks returns the tasks of the frameworks named, of all when none is. In the
// order of framework and task ID.
func (v *View) Tasks(frameworks ...string) []*mesos.Task {
	return slices.Concat(v.TaskRuns(frameworks...)...)
}

// TaskRuns returns what Tasks does in the runs that it is kept in. A run is not to be
// modified, and never will be: one that begins at the same address is the same.
func (v *View) TaskRuns(frameworks ...string) [][]*mesos.Task {
	var out [][]*mesos.Task
	for _, f := range v.chosen(frameworks) {
		out = append(out, f.tasks.lists()...)
	}
	return out
}

// Task returns a task, be it running, unreachable or completed, nil when there is none.
func (v *View) Task(framework, id string) *mesos.Task {
	f := v.find(framework)
	if f == nil {
		return nil
	}
	if t, ok := f.tasks.get(id); ok {
		return t
	}
	if t, ok := f.unreachable.get(id); ok {
		return t
	}
	t, _ := f.completed.last(func(t *mesos.Task) bool { return t.GetTaskId().GetValue() == id })
	return t
}

// UnreachableTasks returns the tasks of unreachable agents, chosen and ordered as Tasks does.
func (v *View) UnreachableTasks(frameworks ...string) []*mesos.Task {
	return slices.Concat(v.UnreachableTaskRuns(frameworks...)...)
}

// UnreachableTaskRuns returns what UnreachableTasks does, as TaskRuns does.
func (v *View) UnreachableTaskRuns(frameworks ...string) [][]*mesos.Task {
	var out [][]*mesos.Task
	for _, f := range v.chosen(frameworks) {
		out = append(out, f.unreachable.lists()...)
	}
	return out
}

// CompletedTasks returns the tasks that ended, chosen as Tasks does, those of each
// framework oldest first.
func (v *View) CompletedTasks(frameworks ...string) []*mesos.Task {
	return slices.Concat(v.CompletedTaskRuns(frameworks...)...)
}

// CompletedTaskRuns returns what CompletedTasks does, as TaskRuns does.
func (v *View) CompletedTaskRuns(frameworks ...string) [][]*mesos.Task {
	var out [][]*mesos.Task
	for _, f := range v.chosen(frameworks) {
		out = append(out, f.completed.lists()...)
	}
	return out
}

// Operations returns those that have not both ended and been acknowledged, by agent.
func (v *View) Operations() []*mesos.Operation { return v.operations.values() }

// Offers returns the outstanding offers to the frameworks named, to all when none is.
func (v *View) Offers(frameworks ...string) []*mesos.Offer {
	if len(frameworks) == 0 {
		return v.offers.values()
	}
	want := map[string]bool{}
	for _, id := range frameworks {
		want[id] = true
	}
	var out []*mesos.Offer
	for _, o := range v.offers.values() {
		if want[o.GetFrameworkId().GetValue()] {
			out = append(out, o)
		}
	}
	return out
}

// OfferRuns returns the outstanding offers to all, as TaskRuns does.
func (v *View) OfferRuns() [][]*mesos.Offer { return v.offers.lists() }

// InverseOffers returns the outstanding inverse offers to all frameworks.
func (v *View) InverseOffers() []*mesos.InverseOffer { return v.inverse.values() }

// Executors returns the executors that are more than the inside of a command task.
func (v *View) Executors() []*master.Response_GetExecutors_Executor { return v.executors.values() }

// chosen returns the frameworks named; without names all of them, completed ones last.
func (v *View) chosen(ids []string) []*framework {
	if len(ids) == 0 {
		return append(v.frameworks.values(), v.completed.values()...)
	}
	var out []*framework
	for _, id := range ids {
		if f := v.find(id); f != nil {
			out = append(out, f)
		}
	}
	return out
}

func (v *View) find(id string) *framework {
	if f, ok := v.frameworks.get(id); ok {
		return f
	}
	f, _ := v.completed.last(func(f *framework) bool { return f.id == id })
	return f
}

func facts(fs []*framework) []*master.Response_GetFrameworks_Framework {
	out := make([]*master.Response_GetFrameworks_Framework, 0, len(fs))
	for _, f := range fs {
		if f.fact != nil {
			out = append(out, f.fact)
		}
	}
	return out
}

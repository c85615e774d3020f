package api

import (
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/view"
)

// The answers that grow with the cluster, as trees.

var (
	fieldState      = fieldOf(&master.Response{}, "get_state")
	fieldTasks      = fieldOf(&master.Response_GetState{}, "get_tasks")
	fieldExecutors  = fieldOf(&master.Response_GetState{}, "get_executors")
	fieldFrameworks = fieldOf(&master.Response_GetState{}, "get_frameworks")
	fieldAgents     = fieldOf(&master.Response_GetState{}, "get_agents")

	fieldTask            = fieldOf(&master.Response_GetTasks{}, "tasks")
	fieldUnreachableTask = fieldOf(&master.Response_GetTasks{}, "unreachable_tasks")
	fieldCompletedTask   = fieldOf(&master.Response_GetTasks{}, "completed_tasks")

	fieldExecutor = fieldOf(&master.Response_GetExecutors{}, "executors")

	fieldFramework          = fieldOf(&master.Response_GetFrameworks{}, "frameworks")
	fieldCompletedFramework = fieldOf(&master.Response_GetFrameworks{}, "completed_frameworks")
	fieldOffer              = fieldOf(&master.Response_GetFrameworks_Framework{}, "offers")
	fieldInverseOffer       = fieldOf(&master.Response_GetFrameworks_Framework{}, "inverse_offers")

	fieldAgent          = fieldOf(&master.Response_GetAgents{}, "agents")
	fieldRecoveredAgent = fieldOf(&master.Response_GetAgents{}, "recovered_agents")

	fieldSubscribed      = fieldOf(&master.Event{}, "subscribed")
	fieldSubscribedState = fieldOf(&master.Event_Subscribed{}, "get_state")
)

// wholes are the reads whose answers are trees. Each is the field of the response
// that bears the call's name.
var wholes = map[master.Call_Type]func(tree, *view.View){
	master.Call_GET_STATE:      writeState,
	master.Call_GET_TASKS:      writeTasks,
	master.Call_GET_EXECUTORS:  writeExecutors,
	master.Call_GET_FRAMEWORKS: writeFrameworks,
	master.Call_GET_AGENTS:     writeAgents,
}

func writeState(t tree, v *view.View) {
	t.message(fieldTasks, func() { writeTasks(t, v) })
	t.message(fieldExecutors, func() { writeExecutors(t, v) })
	t.message(fieldFrameworks, func() { writeFrameworks(t, v) })
	t.message(fieldAgents, func() { writeAgents(t, v) })
}

func writeTasks(t tree, v *view.View) {
	runs(t, fieldTask, v.TaskRuns())
	runs(t, fieldUnreachableTask, v.UnreachableTaskRuns())
	runs(t, fieldCompletedTask, v.CompletedTaskRuns())
}

func writeExecutors(t tree, v *view.View) { each(t, fieldExecutor, v.Executors()) }

func writeAgents(t tree, v *view.View) {
	runs(t, fieldAgent, v.AgentRuns())
	each(t, fieldRecoveredAgent, v.RecoveredAgents())
}

// writeFrameworks writes the frameworks, each with its offers.
func writeFrameworks(t tree, v *view.View) {
	offers := byFramework(v.Offers())
	inverse := byFramework(v.InverseOffers())
	framework := func(in field, f *master.Response_GetFrameworks_Framework, rest func(id string)) {
		t.element(in, func() {
			t.put(t.parts().part(f, func(dst []byte) []byte { return t.fields(dst, f) }))
			rest(f.GetFrameworkInfo().GetId().GetValue())
		})
	}
	if list := v.Frameworks(); len(list) > 0 {
		t.list(fieldFramework, func() {
			for _, f := range list {
				framework(fieldFramework, f, func(id string) {
					each(t, fieldOffer, offers[id])
					each(t, fieldInverseOffer, inverse[id])
				})
			}
		})
	}
	if list := v.CompletedFrameworks(); len(list) > 0 { // they may be kept from when they were not
		t.list(fieldCompletedFramework, func() {
			for _, f := range list {
				framework(fieldCompletedFramework, f, func(string) {})
			}
		})
	}
}

// byFramework groups what is for one framework each.
func byFramework[T interface{ GetFrameworkId() *mesos.FrameworkID }](list []T) map[string][]T {
	by := map[string][]T{}
	for _, x := range list {
		id := x.GetFrameworkId().GetValue()
		by[id] = append(by[id], x)
	}
	return by
}

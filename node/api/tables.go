package api

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/view"
)

// The endpoints that show one part of the state: /slaves, /frameworks, /tasks
// and /state-summary.

func (m *masterAPI) slaves(w *writer, r *http.Request, v *view.View) error {
	id := r.URL.Query().Get("slave_id")
	w.object(func() {
		w.key("slaves").array(func() {
			if id == "" {
				kept(w, v.AgentRuns(), (*writer).agent)
			} else if a := v.Agent(id); a != nil {
				w.agent(a)
			}
		})
		w.key("recovered_slaves").recovered(slices.DeleteFunc(v.RecoveredAgents(), func(a *mesos.AgentInfo) bool {
			return id != "" && id != a.GetId().GetValue()
		}))
	})
	return nil
}

func (m *masterAPI) frameworks(w *writer, r *http.Request, v *view.View) error {
	id, d := r.URL.Query().Get("framework_id"), detailsOf(v)
	pick := func(list []*master.Response_GetFrameworks_Framework) {
		w.frameworks(d, slices.DeleteFunc(list, func(f *master.Response_GetFrameworks_Framework) bool {
			return id != "" && id != f.GetFrameworkInfo().GetId().GetValue()
		}))
	}
	w.object(func() {
		w.key("frameworks").array(func() { pick(v.Frameworks()) })
		w.key("completed_frameworks").array(func() { pick(v.CompletedFrameworks()) })
		w.key("unregistered_frameworks").strs(nil)
	})
	return nil
}

// tasks shows tasks of every kind, by the time of their first status.
// Mesos: src/master/http.cpp, TaskComparator.
func (m *masterAPI) tasks(w *writer, r *http.Request, v *view.View) error {
	q := r.URL.Query()
	framework, id := q.Get("framework_id"), q.Get("task_id")
	list := slices.Concat(v.Tasks(), v.UnreachableTasks(), v.CompletedTasks())
	list = slices.DeleteFunc(list, func(t *mesos.Task) bool {
		return framework != "" && framework != t.GetFrameworkId().GetValue() || id != "" && id != t.GetTaskId().GetValue()
	})
	slices.SortStableFunc(list, func(a, b *mesos.Task) int { return cmp.Compare(firstStatus(a), firstStatus(b)) })
	list, err := page(q, list)
	w.object(func() { w.key("tasks").tasks(list) })
	return err
}

func firstStatus(t *mesos.Task) float64 {
	if len(t.GetStatuses()) == 0 {
		return 0
	}
	return t.GetStatuses()[0].GetTimestamp()
}

// page reads limit, offset and order of a query. Mesos: 100 tasks, the latest
// first, unless told.
func page[T any](q url.Values, list []T) ([]T, error) {
	limit, err := countValue(q, "limit", 100)
	if err != nil {
		return nil, err
	}
	offset, err := countValue(q, "offset", 0)
	if err != nil {
		return nil, err
	}
	switch order := q.Get("order"); order {
	case "", "des", "desc":
		slices.Reverse(list)
	case "asc":
	default:
		return nil, refuse(http.StatusBadRequest, "Failed to parse order: '%s' is neither 'asc' nor 'desc'.", order)
	}
	list = list[min(offset, len(list)):]
	return list[:min(limit, len(list))], nil
}

func countValue(q url.Values, name string, unset int) (int, error) {
	text := q.Get(name)
	if text == "" {
		return unset, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, refuse(http.StatusBadRequest, "Failed to parse %s: '%s' is not a count.", name, text)
	}
	return n, nil
}

// summary counts tasks by state, for each framework and agent.
func (m *masterAPI) summary(w *writer, _ *http.Request, v *view.View) error {
	byFramework, byAgent := map[string]*tally{}, map[string]*tally{}
	for _, list := range [][]*mesos.Task{v.Tasks(), v.UnreachableTasks(), v.CompletedTasks()} {
		for _, t := range list {
			f, a := t.GetFrameworkId().GetValue(), t.GetAgentId().GetValue()
			count(byFramework, f, t.GetState(), a)
			count(byAgent, a, t.GetState(), f)
		}
	}
	w.object(func() {
		w.key("hostname").str(v.Master().GetInfo().GetHostname())
		w.key("cluster").str(v.Master().GetCluster())
		w.key("slaves").array(func() {
			for _, a := range v.Agents() {
				w.object(func() {
					w.agentFields(a)
					w.tally("framework_ids", byAgent[a.GetAgentInfo().GetId().GetValue()])
				})
			}
		})
		w.key("frameworks").array(func() {
			for _, f := range v.Frameworks() {
				w.object(func() {
					w.frameworkFields(f)
					w.tally("slave_ids", byFramework[f.GetFrameworkInfo().GetId().GetValue()])
				})
			}
		})
	})
	return nil
}

// tally counts the tasks of one framework or agent, and names those on the other side.
type tally struct {
	states map[mesos.TaskState]int
	others map[string]bool
}

func count(by map[string]*tally, key string, state mesos.TaskState, other string) {
	t := by[key]
	if t == nil {
		t = &tally{map[mesos.TaskState]int{}, map[string]bool{}}
		by[key] = t
	}
	t.states[state]++
	t.others[other] = true
}

func (w *writer) tally(others string, t *tally) {
	if t == nil {
		t = &tally{}
	}
	for _, state := range slices.Sorted(maps.Keys(mesos.TaskState_name)) {
		w.key(mesos.TaskState_name[state]).int(t.states[mesos.TaskState(state)])
	}
	w.key(others).strs(sortedKeys(t.others))
}

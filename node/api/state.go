package api

import (
	"net/http"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
	"muster/offers/view"
)

// state is what /state shows of the cluster.
func (m *masterAPI) state(w http.ResponseWriter, r *http.Request) error {
	return m.read(w, r, func(v *view.View) (any, error) {
		o := m.masterObject(v.Master())
		agents, active := []object{}, 0
		for _, a := range v.Agents() {
			agents = append(agents, agentObject(a))
			if a.GetActive() {
				active++
			}
		}
		o["slaves"] = agents
		o["activated_slaves"], o["deactivated_slaves"] = active, len(agents)-active
		o["unreachable_slaves"] = len(v.UnreachableAgents())
		recovered := []object{}
		for _, a := range v.RecoveredAgents() {
			recovered = append(recovered, agentInfoObject(a))
		}
		o["recovered_slaves"] = recovered
		o["frameworks"] = frameworkObjects(v, v.Frameworks())
		o["completed_frameworks"] = frameworkObjects(v, v.CompletedFrameworks())
		o["orphan_tasks"], o["unregistered_frameworks"] = []object{}, []string{}
		return o, nil
	})
}

// masterObject is the part of /state about the master.
func (m *masterAPI) masterObject(e *protocol.ViewEvent_Master) object {
	info := e.GetInfo()
	o := object{
		"version": info.GetVersion(), "id": info.GetId(), "pid": info.GetPid(), "hostname": info.GetHostname(),
		"start_time": m.cfg.Started, "elected_time": e.GetElectedTime(),
		"leader":  info.GetPid(),
		"cluster": e.GetCluster(),
		"flags":   m.cfg.Flags,
		"leader_info": object{
			"id": info.GetId(), "pid": info.GetPid(), "port": info.GetPort(), "hostname": info.GetHostname(),
		},
	}
	if caps := capabilities(info.GetCapabilities()); len(caps) > 0 {
		o["capabilities"] = caps
	}
	return o
}

// capabilities names what a list of capability messages holds.
func capabilities[C interface{ GetType() T }, T interface{ String() string }](list []C) []string {
	out := []string{}
	for _, c := range list {
		out = append(out, c.GetType().String())
	}
	return out
}

func agentInfoObject(a *mesos.AgentInfo) object {
	o := object{
		"id": a.GetId().GetValue(), "hostname": a.GetHostname(), "port": a.GetPort(),
		"attributes": attributes(a.GetAttributes()),
		"resources":  resources(a.GetResources()),
	}
	if a.Domain != nil {
		o["domain"] = raw(a.GetDomain())
	}
	return o
}

func agentObject(a *master.Response_GetAgents_Agent) object {
	o := agentInfoObject(a.GetAgentInfo())
	o["pid"], o["version"] = a.GetPid(), a.GetVersion()
	o["active"], o["deactivated"] = a.GetActive(), a.GetDeactivated()
	o["registered_time"] = seconds(a.GetRegisteredTime())
	if a.ReregisteredTime != nil {
		o["reregistered_time"] = seconds(a.GetReregisteredTime())
	}
	o["capabilities"] = capabilities(a.GetCapabilities())
	o["resources"] = resources(a.GetTotalResources())
	o["used_resources"] = resources(a.GetAllocatedResources())
	o["offered_resources"] = resources(a.GetOfferedResources())
	reserved, unreserved := byReservation(a.GetTotalResources())
	o["unreserved_resources"] = resources(unreserved)
	o["unreserved_resources_full"] = full(unreserved)
	o["used_resources_full"] = full(a.GetAllocatedResources())
	o["offered_resources_full"] = full(a.GetOfferedResources())
	byRole, byRoleFull := object{}, object{}
	for role, list := range reserved {
		byRole[role], byRoleFull[role] = resources(list), full(list)
	}
	o["reserved_resources"], o["reserved_resources_full"] = byRole, byRoleFull
	if a.DrainInfo != nil {
		o["drain_info"] = raw(a.GetDrainInfo())
	}
	return o
}

// byReservation parts resources by the role they are reserved to.
func byReservation(list []*mesos.Resource) (reserved map[string][]*mesos.Resource, unreserved []*mesos.Resource) {
	reserved = map[string][]*mesos.Resource{}
	for _, r := range list {
		if n := len(r.GetReservations()); n > 0 {
			role := r.GetReservations()[n-1].GetRole()
			reserved[role] = append(reserved[role], r)
			continue
		}
		unreserved = append(unreserved, r)
	}
	return reserved, unreserved
}

func seconds(t *mesos.TimeInfo) float64 { return float64(t.GetNanoseconds()) / 1e9 }

func frameworkObjects(v *view.View, list []*master.Response_GetFrameworks_Framework) []object {
	out := []object{}
	for _, f := range list {
		out = append(out, frameworkObject(v, f))
	}
	return out
}

// frameworkObject leaves out "pid": clients take its absence, not "", for an HTTP framework.
func frameworkObject(v *view.View, f *master.Response_GetFrameworks_Framework) object {
	info, id := f.GetFrameworkInfo(), f.GetFrameworkInfo().GetId().GetValue()
	o := object{
		"id": id, "name": info.GetName(), "user": info.GetUser(), "hostname": info.GetHostname(),
		"failover_timeout": info.GetFailoverTimeout(), "checkpoint": info.GetCheckpoint(),
		"webui_url": info.GetWebuiUrl(),
		"active":    f.GetActive(), "connected": f.GetConnected(), "recovered": f.GetRecovered(),
		"registered_time":   seconds(f.GetRegisteredTime()),
		"reregistered_time": seconds(f.GetReregisteredTime()),
		"unregistered_time": seconds(f.GetUnregisteredTime()),
		"capabilities":      capabilities(info.GetCapabilities()),
		"used_resources":    resources(f.GetAllocatedResources()),
		"offered_resources": resources(f.GetOfferedResources()),
		"resources":         resources(append(f.GetAllocatedResources()[:len(f.GetAllocatedResources()):len(f.GetAllocatedResources())], f.GetOfferedResources()...)),
		"tasks":             taskObjects(v.Tasks(id)),
		"unreachable_tasks": taskObjects(v.UnreachableTasks(id)),
		"completed_tasks":   taskObjects(v.CompletedTasks(id)),
		"offers":            offerObjects(v.Offers(id)),
		"executors":         []object{},
	}
	if info.Principal != nil {
		o["principal"] = info.GetPrincipal()
	}
	if info.Labels != nil {
		o["labels"] = labels(info.GetLabels())
	}
	if len(info.GetRoles()) > 0 {
		o["roles"] = info.GetRoles()
	} else {
		o["role"] = info.GetRole()
	}
	return o
}

func taskObjects(list []*mesos.Task) []object {
	out := []object{}
	for _, t := range list {
		out = append(out, taskObject(t))
	}
	return out
}

func offerObjects(list []*mesos.Offer) []object {
	out := []object{}
	for _, f := range list {
		o := object{
			"id": f.GetId().GetValue(), "framework_id": f.GetFrameworkId().GetValue(),
			"slave_id": f.GetAgentId().GetValue(), "resources": resources(f.GetResources()),
		}
		if f.AllocationInfo != nil {
			o["allocation_info"] = raw(f.GetAllocationInfo())
		}
		out = append(out, o)
	}
	return out
}

func (m *masterAPI) slaves(w http.ResponseWriter, r *http.Request) error {
	return m.read(w, r, func(v *view.View) (any, error) {
		list := []object{}
		for _, a := range v.Agents() {
			if id := r.FormValue("slave_id"); id == "" || id == a.GetAgentInfo().GetId().GetValue() {
				list = append(list, agentObject(a))
			}
		}
		recovered := []object{}
		for _, a := range v.RecoveredAgents() {
			recovered = append(recovered, agentInfoObject(a))
		}
		return object{"slaves": list, "recovered_slaves": recovered}, nil
	})
}

func (m *masterAPI) frameworks(w http.ResponseWriter, r *http.Request) error {
	return m.read(w, r, func(v *view.View) (any, error) {
		pick := func(list []*master.Response_GetFrameworks_Framework) []object {
			out := []object{}
			for _, f := range list {
				if id := r.FormValue("framework_id"); id == "" || id == f.GetFrameworkInfo().GetId().GetValue() {
					out = append(out, frameworkObject(v, f))
				}
			}
			return out
		}
		return object{
			"frameworks": pick(v.Frameworks()), "completed_frameworks": pick(v.CompletedFrameworks()),
			"unregistered_frameworks": []string{},
		}, nil
	})
}

func (m *masterAPI) tasks(w http.ResponseWriter, r *http.Request) error {
	return m.read(w, r, func(v *view.View) (any, error) {
		var list []*mesos.Task
		for _, t := range append(append(v.Tasks(), v.UnreachableTasks()...), v.CompletedTasks()...) {
			framework, id := r.FormValue("framework_id"), r.FormValue("task_id")
			if (framework == "" || framework == t.GetFrameworkId().GetValue()) && (id == "" || id == t.GetTaskId().GetValue()) {
				list = append(list, t)
			}
		}
		list, err := page(r, list)
		return object{"tasks": taskObjects(list)}, err
	})
}

func (m *masterAPI) roles(w http.ResponseWriter, r *http.Request) error {
	return m.read(w, r, func(v *view.View) (any, error) {
		list := []object{}
		for _, role := range v.Roles() {
			frameworks := []string{}
			for _, f := range role.GetFrameworks() {
				frameworks = append(frameworks, f.GetValue())
			}
			list = append(list, object{
				"name": role.GetName(), "weight": role.GetWeight(), "frameworks": frameworks,
				"resources": resources(role.GetResources()),
			})
		}
		return object{"roles": list}, nil
	})
}

// summary counts tasks by state, for each framework and agent.
func (m *masterAPI) summary(w http.ResponseWriter, r *http.Request) error {
	return m.read(w, r, func(v *view.View) (any, error) {
		byFramework, byAgent := map[string]object{}, map[string]object{}
		agentsOf, frameworksOf := map[string]map[string]bool{}, map[string]map[string]bool{}
		for _, t := range append(append(v.Tasks(), v.UnreachableTasks()...), v.CompletedTasks()...) {
			f, a := t.GetFrameworkId().GetValue(), t.GetAgentId().GetValue()
			count(byFramework, f, t.GetState())
			count(byAgent, a, t.GetState())
			relate(agentsOf, f, a)
			relate(frameworksOf, a, f)
		}
		agents, frameworks := []object{}, []object{}
		for _, a := range v.Agents() {
			o, id := agentObject(a), a.GetAgentInfo().GetId().GetValue()
			o["framework_ids"] = sortedKeys(frameworksOf[id])
			agents = append(agents, merge(o, counts(byAgent[id])))
		}
		for _, f := range v.Frameworks() {
			o, id := frameworkObject(v, f), f.GetFrameworkInfo().GetId().GetValue()
			for _, long := range []string{"tasks", "unreachable_tasks", "completed_tasks", "offers", "executors"} {
				delete(o, long)
			}
			o["slave_ids"] = sortedKeys(agentsOf[id])
			frameworks = append(frameworks, merge(o, counts(byFramework[id])))
		}
		info := v.Master().GetInfo()
		return object{"hostname": info.GetHostname(), "cluster": v.Master().GetCluster(), "slaves": agents, "frameworks": frameworks}, nil
	})
}

func count(by map[string]object, key string, state mesos.TaskState) {
	if by[key] == nil {
		by[key] = object{}
	}
	n, _ := by[key][state.String()].(int)
	by[key][state.String()] = n + 1
}

// counts has every state, most of them 0.
func counts(by object) object {
	out := object{}
	for _, name := range mesos.TaskState_name {
		out[name] = 0
	}
	return merge(out, by)
}

func merge(into, from object) object {
	for k, v := range from {
		into[k] = v
	}
	return into
}

func relate(by map[string]map[string]bool, key, value string) {
	if by[key] == nil {
		by[key] = map[string]bool{}
	}
	by[key][value] = true
}

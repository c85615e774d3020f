package api

import (
	"maps"
	"slices"

	"muster/offers/mesos"
)

// What tools read from the endpoints older than the v1 API: the same facts under
// the older names ("slave" for agent) and in plainer shapes.
// Mesos: src/common/http.cpp and src/master/readonly_handler.cpp.

func sortedKeys[M ~map[string]V, V any](m M) []string { return slices.Sorted(maps.Keys(m)) }

// capabilities names what a list of capability messages holds.
func capabilities[C interface{ GetType() T }, T interface{ String() string }](w *writer, list []C) {
	w.open('[')
	for _, c := range list {
		w.str(c.GetType().String())
	}
	w.close(']')
}

// labels writes a flat array of keys and values.
func (w *writer) labels(l *mesos.Labels) { messages(w, l.GetLabels()) }

// task writes a task as /state, /tasks and an agent's /state show it.
func (w *writer) task(t *mesos.Task) {
	w.open('{')
	w.key("id").str(t.GetTaskId().GetValue())
	w.key("name").str(t.GetName())
	w.key("framework_id").str(t.GetFrameworkId().GetValue())
	w.key("executor_id").str(t.GetExecutorId().GetValue())
	w.key("slave_id").str(t.GetAgentId().GetValue())
	w.key("state").str(t.GetState().String())
	w.key("resources").resources(t.GetResources())
	if len(t.GetLimits()) > 0 {
		w.key("limits").open('{')
		for _, name := range sortedKeys(t.GetLimits()) {
			w.key(name).num(t.GetLimits()[name].GetValue())
		}
		w.close('}')
	}
	w.key("role").str(allocatedRole(t.GetResources()))
	w.key("statuses").open('[')
	for _, s := range t.GetStatuses() {
		w.status(s)
	}
	w.close(']')
	if t.User != nil {
		w.key("user").str(t.GetUser())
	}
	if t.Labels != nil {
		w.key("labels").labels(t.GetLabels())
	}
	if t.Discovery != nil {
		w.key("discovery").message(t.GetDiscovery())
	}
	if t.Container != nil {
		w.key("container").message(t.GetContainer())
	}
	if t.HealthCheck != nil {
		w.key("health_check").message(t.GetHealthCheck())
	}
	w.close('}')
}

func (w *writer) status(s *mesos.TaskStatus) {
	w.open('{')
	w.key("state").str(s.GetState().String())
	w.key("timestamp").num(s.GetTimestamp())
	if s.Labels != nil {
		w.key("labels").labels(s.GetLabels())
	}
	if s.ContainerStatus != nil {
		w.key("container_status").message(s.GetContainerStatus())
	}
	if s.Healthy != nil {
		w.key("healthy").bool(s.GetHealthy())
	}
	if s.CheckStatus != nil {
		w.key("check_status").message(s.GetCheckStatus())
	}
	w.close('}')
}

func (w *writer) tasks(list []*mesos.Task) {
	w.open('[')
	for _, t := range list {
		w.task(t)
	}
	w.close(']')
}

func (w *writer) offer(o *mesos.Offer) {
	w.open('{')
	w.key("id").str(o.GetId().GetValue())
	w.key("framework_id").str(o.GetFrameworkId().GetValue())
	w.key("slave_id").str(o.GetAgentId().GetValue())
	if o.AllocationInfo != nil {
		w.key("allocation_info").message(o.GetAllocationInfo())
	}
	w.key("resources").resources(o.GetResources())
	w.close('}')
}

// roles writes a framework's roles in the form that it chose.
func (w *writer) roles(info *mesos.FrameworkInfo) {
	if multiRole(info) {
		w.key("roles").strs(info.GetRoles())
	} else {
		w.key("role").str(info.GetRole())
	}
}

func multiRole(info *mesos.FrameworkInfo) bool {
	return slices.ContainsFunc(info.GetCapabilities(), func(c *mesos.FrameworkInfo_Capability) bool {
		return c.GetType() == mesos.FrameworkInfo_Capability_MULTI_ROLE
	})
}

func allocatedRole(list []*mesos.Resource) string {
	for _, r := range list {
		if role := r.GetAllocationInfo().GetRole(); role != "" {
			return role
		}
	}
	return "*"
}

// agentInfo writes the part of an agent that its own info tells.
func (w *writer) agentInfo(a *mesos.AgentInfo) {
	w.key("id").str(a.GetId().GetValue())
	w.key("hostname").str(a.GetHostname())
	w.key("port").int(int(a.GetPort()))
	w.key("attributes").attributes(a.GetAttributes())
	if a.Domain != nil {
		w.key("domain").message(a.GetDomain())
	}
}

// reservations writes sums by role, or the resources themselves.
func (w *writer) reservations(by map[string][]*mesos.Resource, whole bool) {
	w.open('{')
	for _, role := range sortedKeys(by) {
		w.key(role)
		if whole {
			messages(w, by[role])
		} else {
			w.resources(by[role])
		}
	}
	w.close('}')
}

func seconds(t *mesos.TimeInfo) float64 { return float64(t.GetNanoseconds()) / 1e9 }

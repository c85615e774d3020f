package api

import (
	"net/http"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
	"muster/offers/view"
)

// state is what /state shows of the cluster.
func (m *masterAPI) state(w *writer, _ *http.Request, v *view.View) error {
	w.object(func() {
		m.master(w, v.Master())
		w.key("slaves").array(func() { kept(w, v.AgentRuns(), (*writer).agent) })
		agents, active := v.Agents(), 0
		for _, a := range agents {
			if a.GetActive() {
				active++
			}
		}
		w.key("activated_slaves").int(active)
		w.key("deactivated_slaves").int(len(agents) - active)
		w.key("unreachable_slaves").int(len(v.UnreachableAgents()))
		w.key("recovered_slaves")
		w.recovered(v.RecoveredAgents())
		d := detailsOf(v)
		w.key("frameworks").array(func() { w.frameworks(d, v.Frameworks()) })
		w.key("completed_frameworks").array(func() { w.frameworks(d, v.CompletedFrameworks()) })
		w.key("orphan_tasks").strs(nil)
		w.key("unregistered_frameworks").strs(nil)
	})
	return nil
}

// master writes the part of /state about the master.
func (m *masterAPI) master(w *writer, e *protocol.ViewEvent_Master) {
	info := e.GetInfo()
	w.key("version").str(info.GetVersion())
	w.key("id").str(info.GetId())
	w.key("pid").str(info.GetPid())
	w.key("hostname").str(info.GetHostname())
	w.key("capabilities")
	capabilities(w, info.GetCapabilities())
	w.key("start_time").num(m.cfg.Started)
	w.key("elected_time").num(e.GetElectedTime())
	w.key("leader").str(info.GetPid())
	w.key("leader_info").object(func() {
		w.key("id").str(info.GetId())
		w.key("pid").str(info.GetPid())
		w.key("port").int(int(info.GetPort()))
		w.key("hostname").str(info.GetHostname())
		if info.Domain != nil {
			w.key("domain").message(info.GetDomain())
		}
	})
	if info.Domain != nil {
		w.key("domain").message(info.GetDomain())
	}
	w.key("cluster").str(e.GetCluster())
	w.key("flags").flags(m.cfg.Flags)
}

func (w *writer) flags(flags map[string]string) {
	w.open('{')
	for _, name := range sortedKeys(flags) {
		w.key(name).str(flags[name])
	}
	w.close('}')
}

func (w *writer) recovered(list []*mesos.AgentInfo) {
	w.open('[')
	for _, a := range list {
		w.open('{')
		w.agentInfo(a)
		w.key("resources").resources(a.GetResources())
		w.close('}')
	}
	w.close(']')
}

func (w *writer) agent(a *master.Response_GetAgents_Agent) {
	w.open('{')
	w.agentFields(a)
	w.close('}')
}

func (w *writer) agentFields(a *master.Response_GetAgents_Agent) {
	w.agentInfo(a.GetAgentInfo())
	w.key("pid").str(a.GetPid())
	w.key("version").str(a.GetVersion())
	w.key("active").bool(a.GetActive())
	w.key("deactivated").bool(a.GetDeactivated())
	w.key("registered_time").num(seconds(a.GetRegisteredTime()))
	if a.ReregisteredTime != nil {
		w.key("reregistered_time").num(seconds(a.GetReregisteredTime()))
	}
	w.key("capabilities")
	capabilities(w, a.GetCapabilities())
	w.key("resources").resources(a.GetTotalResources())
	w.key("used_resources").resources(a.GetAllocatedResources())
	w.key("offered_resources").resources(a.GetOfferedResources())
	reserved, unreserved := byReservation(a.GetTotalResources())
	w.key("reserved_resources").reservations(reserved, false)
	w.key("reserved_resources_full").reservations(reserved, true)
	w.key("unreserved_resources").resources(unreserved)
	w.key("unreserved_resources_full")
	messages(w, unreserved)
	w.key("used_resources_full")
	messages(w, a.GetAllocatedResources())
	w.key("offered_resources_full")
	messages(w, a.GetOfferedResources())
	if a.DrainInfo != nil {
		w.key("drain_info").message(a.GetDrainInfo())
	}
	if a.EstimatedDrainStartTime != nil {
		w.key("estimated_drain_start_time_seconds").num(seconds(a.GetEstimatedDrainStartTime()))
	}
}

// details is a view with its offers and executors grouped by their framework.
type details struct {
	*view.View
	offers    map[string][]*mesos.Offer
	executors map[string][]*master.Response_GetExecutors_Executor
}

func detailsOf(v *view.View) *details {
	d := &details{v, byFramework(v.Offers()), map[string][]*master.Response_GetExecutors_Executor{}}
	for _, e := range v.Executors() {
		id := e.GetExecutorInfo().GetFrameworkId().GetValue()
		d.executors[id] = append(d.executors[id], e)
	}
	return d
}

func (w *writer) frameworks(d *details, list []*master.Response_GetFrameworks_Framework) {
	for _, f := range list {
		id := f.GetFrameworkInfo().GetId().GetValue()
		w.open('{')
		w.part(f, func(w *writer) { w.frameworkFields(f) })
		w.key("tasks").array(func() { kept(w, d.TaskRuns(id), (*writer).task) })
		w.key("unreachable_tasks").array(func() { kept(w, d.UnreachableTaskRuns(id), (*writer).task) })
		w.key("completed_tasks").array(func() { kept(w, d.CompletedTaskRuns(id), (*writer).task) })
		w.key("offers").array(func() {
			for _, o := range d.offers[id] {
				w.part(o, func(w *writer) { w.offer(o) })
			}
		})
		w.key("executors").array(func() {
			for _, e := range d.executors[id] {
				w.part(e, func(w *writer) { w.executor(e) })
			}
		})
		w.close('}')
	}
}

// frameworkFields leaves out "pid": clients take its absence, not "", for an HTTP framework.
func (w *writer) frameworkFields(f *master.Response_GetFrameworks_Framework) {
	info := f.GetFrameworkInfo()
	w.key("id").str(info.GetId().GetValue())
	w.key("name").str(info.GetName())
	w.key("user").str(info.GetUser())
	w.key("hostname").str(info.GetHostname())
	w.key("webui_url").str(info.GetWebuiUrl())
	w.key("failover_timeout").num(info.GetFailoverTimeout())
	w.key("checkpoint").bool(info.GetCheckpoint())
	if info.Principal != nil {
		w.key("principal").str(info.GetPrincipal())
	}
	w.roles(info)
	w.key("capabilities")
	capabilities(w, info.GetCapabilities())
	if info.Labels != nil {
		w.key("labels").labels(info.GetLabels())
	}
	if f.OfferConstraints != nil {
		w.key("offer_constraints").message(f.GetOfferConstraints())
	}
	w.key("active").bool(f.GetActive())
	w.key("connected").bool(f.GetConnected())
	w.key("recovered").bool(f.GetRecovered())
	w.key("registered_time").num(seconds(f.GetRegisteredTime()))
	if f.ReregisteredTime != nil {
		w.key("reregistered_time").num(seconds(f.GetReregisteredTime()))
	}
	w.key("unregistered_time").num(seconds(f.GetUnregisteredTime()))
	w.key("used_resources").resources(f.GetAllocatedResources())
	w.key("offered_resources").resources(f.GetOfferedResources())
	w.key("resources").resources(f.GetAllocatedResources(), f.GetOfferedResources())
}

func (w *writer) executor(e *master.Response_GetExecutors_Executor) {
	info := e.GetExecutorInfo()
	w.open('{')
	w.key("executor_id").str(info.GetExecutorId().GetValue())
	w.key("name").str(info.GetName())
	w.key("framework_id").str(info.GetFrameworkId().GetValue())
	w.key("slave_id").str(e.GetAgentId().GetValue())
	if info.Command != nil {
		w.key("command").message(info.GetCommand())
	}
	w.key("resources").resources(info.GetResources())
	w.key("role").str(allocatedRole(info.GetResources()))
	if info.Labels != nil {
		w.key("labels").labels(info.GetLabels())
	}
	w.key("type").str(info.GetType().String())
	w.close('}')
}

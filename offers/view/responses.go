package view

import (
	"muster/offers/mesos"
	"muster/offers/mesos/maintenance"
	"muster/offers/mesos/master"
)

// GetState returns the payload of GET_STATE and of SUBSCRIBED on the operator's event stream.
func (v *View) GetState() *master.Response_GetState {
	return &master.Response_GetState{
		GetTasks:      v.GetTasks(),
		GetExecutors:  v.GetExecutors(),
		GetFrameworks: v.GetFrameworks(),
		GetAgents:     v.GetAgents(),
	}
}

// GetAgents returns the payload of GET_AGENTS.
func (v *View) GetAgents() *master.Response_GetAgents {
	return &master.Response_GetAgents{Agents: v.Agents(), RecoveredAgents: v.RecoveredAgents()}
}

// GetFrameworks returns the payload of GET_FRAMEWORKS, with each framework's offers.
func (v *View) GetFrameworks() *master.Response_GetFrameworks {
	offers := map[string][]*mesos.Offer{}
	for _, o := range v.Offers() {
		id := o.GetFrameworkId().GetValue()
		offers[id] = append(offers[id], o)
	}
	inverse := map[string][]*mesos.InverseOffer{}
	for _, o := range v.InverseOffers() {
		id := o.GetFrameworkId().GetValue()
		inverse[id] = append(inverse[id], o)
	}
	r := &master.Response_GetFrameworks{CompletedFrameworks: v.CompletedFrameworks()}
	for _, f := range v.Frameworks() {
		id := f.GetFrameworkInfo().GetId().GetValue()
		if os, is := offers[id], inverse[id]; len(os)+len(is) > 0 {
			f = &master.Response_GetFrameworks_Framework{
				FrameworkInfo: f.FrameworkInfo, Active: f.Active, Connected: f.Connected, Recovered: f.Recovered,
				RegisteredTime: f.RegisteredTime, ReregisteredTime: f.ReregisteredTime, UnregisteredTime: f.UnregisteredTime,
				Offers: os, InverseOffers: is, AllocatedResources: f.AllocatedResources,
				OfferedResources: f.OfferedResources, OfferConstraints: f.OfferConstraints,
			}
		}
		r.Frameworks = append(r.Frameworks, f)
	}
	return r
}

// GetTasks returns the payload of GET_TASKS.
func (v *View) GetTasks() *master.Response_GetTasks {
	return &master.Response_GetTasks{
		Tasks:            v.Tasks(),
		UnreachableTasks: v.UnreachableTasks(),
		CompletedTasks:   v.CompletedTasks(),
	}
}

// GetOperations returns the payload of GET_OPERATIONS.
func (v *View) GetOperations() *master.Response_GetOperations {
	return &master.Response_GetOperations{Operations: v.Operations()}
}

// GetExecutors returns the payload of GET_EXECUTORS.
func (v *View) GetExecutors() *master.Response_GetExecutors {
	return &master.Response_GetExecutors{Executors: v.Executors()}
}

// GetMaintenanceSchedule returns the payload of GET_MAINTENANCE_SCHEDULE.
func (v *View) GetMaintenanceSchedule() *master.Response_GetMaintenanceSchedule {
	s := v.maintenance.GetSchedule()
	if s == nil {
		s = &maintenance.Schedule{}
	}
	return &master.Response_GetMaintenanceSchedule{Schedule: s}
}

// GetMaintenanceStatus returns the payload of GET_MAINTENANCE_STATUS.
func (v *View) GetMaintenanceStatus() *master.Response_GetMaintenanceStatus {
	s := v.maintenance.GetStatus()
	if s == nil {
		s = &maintenance.ClusterStatus{}
	}
	return &master.Response_GetMaintenanceStatus{Status: s}
}

// GetMaster returns the payload of GET_MASTER.
func (v *View) GetMaster() *master.Response_GetMaster {
	if v.master == nil {
		return &master.Response_GetMaster{}
	}
	// A core lives as long as its leadership.
	return &master.Response_GetMaster{
		MasterInfo: v.master.Info, StartTime: v.master.ElectedTime, ElectedTime: v.master.ElectedTime,
	}
}

package view

import (
	"muster/offers/mesos/maintenance"
	"muster/offers/mesos/master"
)

// GetOperations returns the payload of GET_OPERATIONS.
func (v *View) GetOperations() *master.Response_GetOperations {
	return &master.Response_GetOperations{Operations: v.Operations()}
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

package api

import (
	"bytes"
	"net/http"
	"slices"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/maintenance"
	"muster/offers/mesos/master"
	"muster/offers/view"
)

// The endpoints by which scripts maintain machines: /maintenance/schedule,
// /maintenance/status, /machine/down and /machine/up.
// Mesos: src/master/http.cpp, maintenanceSchedule and those after it.

func (m *masterAPI) maintenanceSchedule(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return m.readMaintenance(w, r, func(v *view.View) proto.Message { return v.GetMaintenanceSchedule().GetSchedule() })
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	schedule := &maintenance.Schedule{}
	if err := mesos.UnmarshalJSON(body, schedule); err != nil {
		return refuse(http.StatusBadRequest, "Failed to parse the maintenance schedule: %v", err)
	}
	return m.operate(w, r, &master.Call{
		Type:                      master.Call_UPDATE_MAINTENANCE_SCHEDULE.Enum(),
		UpdateMaintenanceSchedule: &master.Call_UpdateMaintenanceSchedule{Schedule: schedule},
	})
}

func (m *masterAPI) maintenanceStatus(w http.ResponseWriter, r *http.Request) error {
	return m.readMaintenance(w, r, func(v *view.View) proto.Message { return v.GetMaintenanceStatus().GetStatus() })
}

func (m *masterAPI) readMaintenance(w http.ResponseWriter, r *http.Request, pick func(*view.View) proto.Message) error {
	if r.Method != http.MethodHead {
		if err := only(w, r, http.MethodGet); err != nil {
			return err
		}
	}
	return m.read("", func(out *writer, _ *http.Request, v *view.View) error {
		out.message(pick(v))
		return nil
	})(w, r)
}

func (m *masterAPI) machineDown(w http.ResponseWriter, r *http.Request) error {
	machines, err := readMachines(w, r)
	if err != nil {
		return err
	}
	return m.operate(w, r, &master.Call{
		Type: master.Call_START_MAINTENANCE.Enum(), StartMaintenance: &master.Call_StartMaintenance{Machines: machines},
	})
}

func (m *masterAPI) machineUp(w http.ResponseWriter, r *http.Request) error {
	machines, err := readMachines(w, r)
	if err != nil {
		return err
	}
	return m.operate(w, r, &master.Call{
		Type: master.Call_STOP_MAINTENANCE.Enum(), StopMaintenance: &master.Call_StopMaintenance{Machines: machines},
	})
}

// readMachines reads a JSON array of machines.
func readMachines(w http.ResponseWriter, r *http.Request) ([]*mesos.MachineID, error) {
	if err := only(w, r, http.MethodPost); err != nil {
		return nil, err
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		return nil, refuse(http.StatusBadRequest, `Failed to parse the machines: expecting a JSON array such as [{"hostname":"a"},{"ip":"10.0.0.1"}]`)
	}
	list := &master.Call_StartMaintenance{}
	if err := mesos.UnmarshalJSON(slices.Concat([]byte(`{"machines":`), body, []byte("}")), list); err != nil {
		return nil, refuse(http.StatusBadRequest, "Failed to parse the machines: %v", err)
	}
	return list.GetMachines(), nil
}

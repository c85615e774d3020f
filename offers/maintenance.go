package offers

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/maintenance"
	"muster/offers/mesos/master"
	"muster/offers/protocol"
	"muster/offers/registry"
)

// Machines are what operators schedule maintenance of; an agent is on each machine
// whose host name and IP, as far as the schedule names them, are the agent's.
// Mesos: src/master/http.cpp and src/master/maintenance.cpp.

const machineDown = "Machine is `DOWN`"

// updateSchedule replaces the maintenance schedule.
func (m *Master) updateSchedule(l Link, id uint64, call *master.Call_UpdateMaintenanceSchedule) {
	schedule := call.GetSchedule()
	if schedule == nil {
		m.reply(l, id, statusBadRequest, "Failed to validate master::Call: Expecting 'update_maintenance_schedule.schedule' to be present")
		return
	}
	if err := m.facts.CheckSchedule(schedule); err != nil {
		m.reply(l, id, statusBadRequest, err.Error())
		return
	}
	m.decide(l, id, &registry.Op{Op: &registry.Op_UpdateMaintenanceSchedule{
		UpdateMaintenanceSchedule: &registry.UpdateMaintenanceSchedule{Schedule: schedule},
	}}, m.rescheduled)
}

// startMaintenance takes machines down: their agents are removed, and none may register.
func (m *Master) startMaintenance(l Link, id uint64, machines []*mesos.MachineID) {
	if err := m.facts.CheckDown(machines); err != nil {
		m.reply(l, id, statusBadRequest, err.Error())
		return
	}
	m.decide(l, id, &registry.Op{Op: &registry.Op_StartMaintenance{
		StartMaintenance: &registry.StartMaintenance{Machines: machines},
	}}, func() {
		for _, a := range sorted(m.agents) {
			if m.onDownMachine(a.info, a.address) {
				m.takeDown(a)
			}
		}
		m.dirty.maintenance = true
	})
}

// stopMaintenance brings machines up again: they leave the schedule.
func (m *Master) stopMaintenance(l Link, id uint64, machines []*mesos.MachineID) {
	if err := m.facts.CheckUp(machines); err != nil {
		m.reply(l, id, statusBadRequest, err.Error())
		return
	}
	m.decide(l, id, &registry.Op{Op: &registry.Op_StopMaintenance{
		StopMaintenance: &registry.StopMaintenance{Machines: machines},
	}}, m.rescheduled)
}

// takeDown removes an agent whose machine goes down: its tasks are lost, and what
// comes back later is a new agent.
func (m *Master) takeDown(a *agent) {
	if a.leaving {
		return // if it returns from where it goes, it is refused
	}
	a.leaving = true
	if a.link != nil {
		m.refuse(a.link, "Operator initiated 'Machine DOWN'", true)
	}
	m.forgetInRegistry(a.id, func() { m.agentRemoved(a, "Operator initiated 'Machine DOWN'") })
}

// onDownMachine reports whether an agent may not be here now.
func (m *Master) onDownMachine(info *mesos.AgentInfo, address string) bool {
	return m.facts.DownAt(info.GetHostname(), hostOf(address))
}

// rescheduled takes in what the registry has of the schedule now.
func (m *Master) rescheduled() {
	m.windows = windowsOf(m.facts.MaintenanceSchedule())
	for _, a := range sorted(m.agents) {
		m.plan(a)
	}
	m.dirty.maintenance = true
}

// windowsOf tells of each machine when it will be out of service.
func windowsOf(s *maintenance.Schedule) map[registry.MachineKey]*mesos.Unavailability {
	out := map[registry.MachineKey]*mesos.Unavailability{}
	for _, w := range s.GetWindows() {
		for _, id := range w.GetMachineIds() {
			out[registry.KeyOf(id)] = w.GetUnavailability()
		}
	}
	return out
}

// unavailability returns when an agent's machine will be out of service, nil when
// that is not planned. Of several windows the first to come counts.
func (m *Master) unavailability(a *agent) *mesos.Unavailability {
	var first *mesos.Unavailability
	if len(m.windows) == 0 {
		return nil
	}
	for _, key := range registry.KeysOf(a.info.GetHostname(), hostOf(a.address)) {
		u := m.windows[key]
		if u != nil && (first == nil || u.GetStart().GetNanoseconds() < first.GetStart().GetNanoseconds()) {
			first = u
		}
	}
	return first
}

// scheduledMachine returns the machine of the schedule that an agent is on, as JSON; "" when it is on none.
func (m *Master) scheduledMachine(a *agent) string {
	keys := registry.KeysOf(a.info.GetHostname(), hostOf(a.address))
	for _, w := range m.facts.MaintenanceSchedule().GetWindows() {
		for _, id := range w.GetMachineIds() {
			for _, key := range keys {
				if key == registry.KeyOf(id) {
					return registry.MachineText(id)
				}
			}
		}
	}
	return ""
}

// plan takes in when an agent's machine will be out of service. A change is told by
// new offers and new inverse offers; what was answered to the old ones counts no more.
func (m *Master) plan(a *agent) {
	next := m.unavailability(a)
	if proto.Equal(next, a.upkeep.when()) {
		return
	}
	for _, o := range a.sortedOffers() {
		m.rescind(o, nil)
	}
	m.dropUpkeep(a)
	if next != nil {
		a.upkeep = newUpkeep(next)
		m.upkept[a.id] = a
		m.oweInverse(a)
	}
	m.dirty.maintenance = true
}

// hostOf returns the host of an ip:port.
func hostOf(address string) string {
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 {
		return address
	}
	return strings.Trim(address[:colon], "[]")
}

// maintenanceFact returns the schedule and its status as the view shows them.
func (m *Master) maintenanceFact() *protocol.ViewEvent_Maintenance {
	on := map[registry.MachineKey][]*agent{}
	for _, a := range sorted(m.upkept) {
		for _, key := range registry.KeysOf(a.info.GetHostname(), hostOf(a.address)) {
			on[key] = append(on[key], a)
		}
	}
	status := &maintenance.ClusterStatus{DownMachines: m.facts.MachinesDown()}
	for _, w := range m.facts.MaintenanceSchedule().GetWindows() {
		for _, id := range w.GetMachineIds() {
			if m.facts.MachineDown(id) {
				continue
			}
			d := &maintenance.ClusterStatus_DrainingMachine{Id: id}
			for _, a := range on[registry.KeyOf(id)] {
				d.Statuses = append(d.Statuses, sorted(a.upkeep.answers)...)
			}
			status.DrainingMachines = append(status.DrainingMachines, d)
		}
	}
	return &protocol.ViewEvent_Maintenance{Schedule: m.facts.MaintenanceSchedule(), Status: status}
}

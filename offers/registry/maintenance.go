package registry

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"muster/offers/mesos"
	"muster/offers/mesos/maintenance"
)

// MachineKey names a machine: host names do not differ by case.
type MachineKey struct{ Hostname, IP string }

// KeyOf returns a machine's key.
func KeyOf(id *mesos.MachineID) MachineKey {
	return MachineKey{strings.ToLower(id.GetHostname()), id.GetIp()}
}

// KeysOf returns the keys of all machines that a host may be: what a machine names
// must be the host's.
func KeysOf(hostname, ip string) [3]MachineKey {
	hostname = strings.ToLower(hostname)
	return [3]MachineKey{{hostname, ip}, {hostname, ""}, {"", ip}}
}

// MaintenanceSchedule returns when which machines are out of service; not nil.
func (s *State) MaintenanceSchedule() *maintenance.Schedule { return s.schedule }

// MachinesDown returns the machines that are down, in the order of the schedule.
func (s *State) MachinesDown() []*mesos.MachineID {
	var out []*mesos.MachineID
	for _, w := range s.schedule.GetWindows() {
		for _, id := range w.GetMachineIds() {
			if s.down[KeyOf(id)] {
				out = append(out, id)
			}
		}
	}
	return out
}

// MachineDown reports whether a machine of the schedule is down.
func (s *State) MachineDown(id *mesos.MachineID) bool { return s.down[KeyOf(id)] }

// DownAt reports whether a host is on a machine that is down.
func (s *State) DownAt(hostname, ip string) bool {
	if len(s.down) == 0 {
		return false
	}
	keys := KeysOf(hostname, ip)
	return slices.ContainsFunc(keys[:], func(k MachineKey) bool { return s.down[k] })
}

func (s *State) scheduled() map[MachineKey]bool {
	keys := map[MachineKey]bool{}
	for _, w := range s.schedule.GetWindows() {
		for _, id := range w.GetMachineIds() {
			keys[KeyOf(id)] = true
		}
	}
	return keys
}

// CheckSchedule returns why a schedule cannot replace the one that holds, in the
// words that operators know.
// Mesos: src/master/maintenance.cpp, validation::schedule.
func (s *State) CheckSchedule(schedule *maintenance.Schedule) error {
	seen := map[MachineKey]bool{}
	for _, w := range schedule.GetWindows() {
		if len(w.GetMachineIds()) == 0 {
			return mesos.Errorf("List of machines in the maintenance window is empty")
		}
		if w.GetUnavailability().GetStart() == nil {
			return mesos.Errorf("Missing required fields: 'unavailability.start' of the maintenance window")
		}
		if w.GetUnavailability().GetDuration().GetNanoseconds() < 0 {
			return mesos.Errorf("Unavailability 'duration' is negative")
		}
		if err := checkMachines(w.GetMachineIds(), seen); err != nil {
			return err
		}
	}
	for _, id := range s.MachinesDown() {
		if !seen[KeyOf(id)] {
			return mesos.Errorf("Machine '%s' is deactivated and cannot be removed from the schedule", MachineText(id))
		}
	}
	return nil
}

// CheckDown and CheckUp return why machines cannot be brought down, or up.
// Mesos: src/master/http.cpp, _startMaintenance and _stopMaintenance.
func (s *State) CheckDown(ids []*mesos.MachineID) error {
	return s.checkMode(ids, func(id *mesos.MachineID) error {
		if s.MachineDown(id) {
			return mesos.Errorf("Machine '%s' is not in DRAINING mode and cannot be brought down", MachineText(id))
		}
		return nil
	})
}

func (s *State) CheckUp(ids []*mesos.MachineID) error {
	return s.checkMode(ids, func(id *mesos.MachineID) error {
		if !s.MachineDown(id) {
			return mesos.Errorf("Machine '%s' is not in DOWN mode and cannot be brought up", MachineText(id))
		}
		return nil
	})
}

func (s *State) checkMode(ids []*mesos.MachineID, check func(*mesos.MachineID) error) error {
	if len(ids) == 0 {
		return mesos.Errorf("List of machines is empty")
	}
	if err := checkMachines(ids, map[MachineKey]bool{}); err != nil {
		return err
	}
	scheduled := s.scheduled()
	for _, id := range ids {
		if !scheduled[KeyOf(id)] {
			return mesos.Errorf("Machine '%s' is not part of a maintenance schedule", MachineText(id))
		}
		if err := check(id); err != nil {
			return err
		}
	}
	return nil
}

// checkMachines checks that each machine can be known and was not seen before.
func checkMachines(ids []*mesos.MachineID, seen map[MachineKey]bool) error {
	for _, id := range ids {
		if id.GetHostname() == "" && id.GetIp() == "" {
			return mesos.Errorf("Both 'hostname' and 'ip' for a machine are empty")
		}
		if id.GetIp() != "" {
			if _, err := netip.ParseAddr(id.GetIp()); err != nil {
				return mesos.Errorf("Failed to parse the IP '%s' of a machine", id.GetIp())
			}
		}
		if seen[KeyOf(id)] {
			return mesos.Errorf("Machine '%s' appears more than once in the schedule", MachineText(id))
		}
		seen[KeyOf(id)] = true
	}
	return nil
}

// MachineText writes a machine as operators know it.
func MachineText(id *mesos.MachineID) string {
	text, err := mesos.MarshalJSON(id)
	if err != nil {
		return id.GetHostname() + " " + id.GetIp()
	}
	return string(text)
}

// refused is an operation whose content a check has refused.
func refused(op string, why error) error { return fmt.Errorf("%s: %w: %w", op, ErrInvalid, why) }

func (s *State) updateMaintenanceSchedule(o *UpdateMaintenanceSchedule) error {
	const op = "update maintenance schedule"
	if o.GetSchedule() == nil {
		return missing(op, "schedule")
	}
	if err := s.CheckSchedule(o.GetSchedule()); err != nil {
		return refused(op, err)
	}
	s.schedule = o.GetSchedule()
	return nil
}

func (s *State) startMaintenance(o *StartMaintenance) error {
	if err := s.CheckDown(o.GetMachines()); err != nil {
		return refused("start maintenance", err)
	}
	for _, id := range o.GetMachines() {
		s.down[KeyOf(id)] = true
	}
	return nil
}

// stopMaintenance also takes the machines out of the schedule.
func (s *State) stopMaintenance(o *StopMaintenance) error {
	if err := s.CheckUp(o.GetMachines()); err != nil {
		return refused("stop maintenance", err)
	}
	up := map[MachineKey]bool{}
	for _, id := range o.GetMachines() {
		up[KeyOf(id)] = true
		delete(s.down, KeyOf(id))
	}
	next := &maintenance.Schedule{}
	for _, w := range s.schedule.GetWindows() {
		kept := &maintenance.Window{Unavailability: w.GetUnavailability()}
		for _, id := range w.GetMachineIds() {
			if !up[KeyOf(id)] {
				kept.MachineIds = append(kept.MachineIds, id)
			}
		}
		if len(kept.MachineIds) > 0 {
			next.Windows = append(next.Windows, kept)
		}
	}
	s.schedule = next
	return nil
}

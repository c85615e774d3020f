package runc

import (
	"errors"
	"fmt"
	"math"
	"os"

	"muster/isolate"
	"muster/isolate/runc/state"
)

var _ isolate.Control = (*Driver)(nil)

// LimitCPU caps the CPUs that the container may keep busy.
func (d *Driver) LimitCPU(id isolate.ID, cpus float64) error {
	return d.change(id, func(s *state.Started) error {
		quota := int64(-1)
		switch {
		case !math.IsInf(cpus, 1):
			quota = max(minQuota, int64(math.Round(cpus*state.CPUPeriod)))
		default:
			task, err := d.dir(id).Task()
			if err != nil {
				return err
			}
			if task.Limits.CPUQuota > 0 {
				quota = task.Limits.CPUQuota
			}
		}
		return state.LimitCPU(s.Cgroups, quota)
	})
}

// minQuota is the least that the kernel takes: a hundredth of a CPU.
const minQuota = state.CPUPeriod / 100

// Freeze stops all processes of the container where they are.
func (d *Driver) Freeze(id isolate.ID) error {
	return d.change(id, func(s *state.Started) error { return state.Freeze(s.Cgroups, true) })
}

// Thaw lets them go on.
func (d *Driver) Thaw(id isolate.ID) error {
	return d.change(id, func(s *state.Started) error { return state.Freeze(s.Cgroups, false) })
}

// change makes a change to a started container, beside nothing else that is done to it.
func (d *Driver) change(id isolate.ID, how func(*state.Started) error) error {
	defer d.locks.lock(id)()
	started, err := d.started(id)
	if err != nil {
		return err
	}
	ended, err := d.dir(id).Ended()
	if err != nil || ended != nil {
		return err
	}
	if err := how(started); err != nil && !isGone(err) && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("container %s: %w", id, err)
	}
	return nil
}

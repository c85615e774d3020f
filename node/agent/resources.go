package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"muster/offers/mesos"
	"muster/offers/resource"
)

// totalResources is what the text says, and what the machine has of the usual
// kinds that the text does not name.
func totalResources(text, dir string) (resource.Set, error) {
	given, err := resource.Parse(text)
	if err == nil {
		err = configurable(given)
	}
	if err != nil {
		return resource.Set{}, fmt.Errorf("agent: resources %q: %w", text, err)
	}
	for _, kind := range []struct {
		name   string
		detect func(dir string) (string, error)
	}{
		{"cpus", detectCPUs}, {"mem", detectMem}, {"disk", detectDisk}, {"ports", detectPorts},
	} {
		if slices.Contains(given.Names(), kind.name) || strings.Contains(text, kind.name+":0") {
			continue
		}
		found, err := kind.detect(dir)
		if err != nil {
			return resource.Set{}, fmt.Errorf("agent: detect %s: %w", kind.name, err)
		}
		more, err := resource.Parse(found)
		if err != nil {
			return resource.Set{}, fmt.Errorf("agent: detect %s: %w", kind.name, err)
		}
		given = given.Add(more)
	}
	return given, nil
}

func detectCPUs(string) (string, error) {
	return fmt.Sprintf("cpus:%d", runtime.NumCPU()), nil
}

func detectPorts(string) (string, error) { return "ports:[31000-32000]", nil }

// detectMem leaves 1 GB to the system, or half of what is less than 2 GB.
// Mesos: src/slave/containerizer/containerizer.cpp, Containerizer::resources.
func detectMem(string) (string, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return "", err
	}
	total := info.Totalram * uint64(info.Unit) >> 20
	return fmt.Sprintf("mem:%d", leave(total, 1024)), nil
}

// detectDisk leaves 5 GB of the file system, or half of what is less than 10 GB.
func detectDisk(dir string) (string, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "", err
	}
	total := fs.Blocks * uint64(fs.Bsize) >> 20
	return fmt.Sprintf("disk:%d", leave(total, 5*1024)), nil
}

// leave takes away from total what the system keeps, but at most half.
func leave(total, kept uint64) uint64 {
	if total < 2*kept {
		return total / 2
	}
	return total - kept
}

// configurable checks what settings may say an agent has: reservations that are
// static, disks that are there, whole GPUs.
func configurable(s resource.Set) error {
	switch made := s.Converted(); {
	case !made.Empty():
		return fmt.Errorf("%s: dynamic reservations and persistent volumes are made by operations, not by settings", made)
	case !s.Revocable().Empty():
		return fmt.Errorf("%s: what is revocable is measured, not set", s.Revocable())
	case len(s.AllocatedRoles()) > 0:
		return fmt.Errorf("allocation_info must not be set")
	case s.Scalar("gpus")%resource.Milli != 0:
		return fmt.Errorf("gpus must be a whole number")
	}
	for _, r := range s.Proto() {
		switch source := r.GetDisk().GetSource(); {
		case source == nil:
		case source.GetType() == mesos.Resource_DiskInfo_Source_MOUNT:
			if info, err := os.Stat(source.GetMount().GetRoot()); err != nil || !info.IsDir() || !filepath.IsAbs(source.GetMount().GetRoot()) {
				return fmt.Errorf("disk.source.mount.root %q is not the absolute path of a directory", source.GetMount().GetRoot())
			}
		case source.GetType() == mesos.Resource_DiskInfo_Source_PATH:
			if source.GetPath().GetRoot() == "" {
				return fmt.Errorf("disk.source.path.root is not set")
			}
		default:
			return fmt.Errorf("disk.source.type %s needs a resource provider, and this agent has none", source.GetType())
		}
	}
	return nil
}

// converted returns what operations have made of an agent's own resources. Settings
// that have changed must still have what that was made of.
// Mesos: src/slave/slave.cpp, applyCheckpointedResources.
func converted(own resource.Set, made []*mesos.Resource) (resource.Set, error) {
	set, err := resource.FromProto(made)
	if err != nil {
		return resource.Set{}, fmt.Errorf("agent: checkpointed resources: %w", err)
	}
	from := set.Original()
	if !own.Contains(from) {
		return resource.Set{}, fmt.Errorf("agent: reservations and volumes that were made here (%s) do not fit the resources any more: they need %s of %s, "+
			"which has not got %s. Set resources that have it, or start with the former ones and unreserve and destroy first",
			set, from, own, from.Sub(own))
	}
	return own.Sub(from).Add(set), nil
}

// claim is what a task takes of the agent's total, whoever it is reserved for.
// Revocable resources are none of the total; volumes are counted one by one.
func claim(rs []*mesos.Resource) (all, flat resource.Set, err error) {
	all, err = resource.FromProto(rs)
	if err != nil {
		return resource.Set{}, resource.Set{}, err
	}
	return all, flatten(all), nil
}

func flatten(s resource.Set) resource.Set {
	s = s.Unallocate().NonRevocable().NonShared()
	return s.Sub(s.PersistentVolumes()).StripReservations()
}

// readBootID names this boot of the kernel.
func readBootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(b)), err
}

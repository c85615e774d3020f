package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // lets the cgroup manager set device rules
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"muster/isolate/runc/state"
)

// config says in libcontainer's terms what the task says in ours.
func config(task *state.Task) (*configs.Config, error) {
	caps, err := capabilities()
	if err != nil {
		return nil, err
	}
	return &configs.Config{
		Rootfs:          task.Root,
		Readonlyfs:      true,
		RootPropagation: unix.MS_SLAVE | unix.MS_REC,
		Namespaces: configs.Namespaces{
			{Type: configs.NEWNS}, {Type: configs.NEWPID}, {Type: configs.NEWIPC},
			{Type: configs.NEWUTS}, {Type: configs.NEWCGROUP},
		},
		Hostname:        task.Hostname,
		Capabilities:    caps,
		NoNewPrivileges: true,
		NoNewKeyring:    true,
		MaskPaths:       append(slices.Clone(maskedPaths), task.Masked...),
		ReadonlyPaths:   readonlyPaths,
		Cgroups:         cgroup(task),
		Mounts:          mounts(task),
		Devices:         deviceNodes,
	}, nil
}

// What of /proc and /sys tells of the host, or changes it.
var (
	maskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// mounts are the file systems that every container has, and then the task's own.
func mounts(task *state.Task) []*configs.Mount {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	all := []*configs.Mount{}
	system := []*configs.Mount{
		{Device: "proc", Source: "proc", Destination: "/proc", Flags: safe},
		{Device: "tmpfs", Source: "tmpfs", Destination: "/dev", Flags: unix.MS_NOSUID | unix.MS_STRICTATIME, Data: "mode=755,size=64k"},
		{Device: "devpts", Source: "devpts", Destination: "/dev/pts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{Device: "tmpfs", Source: "shm", Destination: "/dev/shm", Flags: safe, Data: "mode=1777,size=64m"},
		{Device: "sysfs", Source: "sysfs", Destination: "/sys", Flags: safe | unix.MS_RDONLY},
	}
	if state.Unified() {
		system = append(system, &configs.Mount{
			Device: "cgroup", Source: "cgroup", Destination: "/sys/fs/cgroup", Flags: safe | unix.MS_RDONLY,
		})
	}
	for _, m := range task.Mounts {
		all = append(all, mount(m))
	}
	return append(system, all...)
}

func mount(m state.Mount) *configs.Mount {
	flags := unix.MS_NOSUID | unix.MS_NODEV
	if !m.Exec {
		flags |= unix.MS_NOEXEC
	}
	out := &configs.Mount{Device: m.Type, Source: m.Source, Destination: m.Target, Data: m.Data}
	if m.Type == "bind" {
		flags |= unix.MS_BIND
	}
	if !m.Write {
		flags |= unix.MS_RDONLY
		if m.Type == "bind" { // all that is mounted below it, too
			flags |= unix.MS_REC
			out.RecAttr = &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		}
	}
	out.Flags = flags
	return out
}

// deviceNodes are those that programs expect in any container.
var deviceNodes = func() []*devices.Device {
	var all []*devices.Device
	for _, d := range []struct {
		path         string
		major, minor int64
	}{
		{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7},
		{"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
	} {
		all = append(all, &devices.Device{
			Path: d.path, FileMode: 0o666,
			Rule: devices.Rule{Type: devices.CharDevice, Major: d.major, Minor: d.minor, Permissions: "rwm", Allow: true},
		})
	}
	return all
}()

// deviceRules deny every device but those, and terminals of its own.
func deviceRules() []*devices.Rule {
	rules := []*devices.Rule{{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm"}}
	for _, d := range deviceNodes {
		rules = append(rules, &d.Rule)
	}
	return append(rules,
		&devices.Rule{Type: devices.CharDevice, Major: 136, Minor: devices.Wildcard, Permissions: "rwm", Allow: true},
		&devices.Rule{Type: devices.CharDevice, Major: 5, Minor: 2, Permissions: "rwm", Allow: true})
}

// cgroup translates the limits for both versions: libcontainer reads CPU
// shares on version 1 only and the weight on version 2 only.
func cgroup(task *state.Task) *cgroups.Cgroup {
	l := task.Limits
	r := &cgroups.Resources{
		Devices:           deviceRules(),
		Memory:            l.Memory,
		MemoryReservation: l.MemorySet,
		CpuQuota:          l.CPUQuota,
	}
	if l.CPUQuota != 0 {
		r.CpuPeriod = 100_000
	}
	if l.NoSwap {
		r.MemorySwap = l.Memory
	}
	if l.Pids != 0 {
		r.PidsLimit = &l.Pids
	}
	switch {
	case l.CPUIdle && hasIdle(task.Cgroup):
		idle := int64(1)
		r.CPUIdle = &idle
	case l.CPUIdle:
		r.CpuShares, r.CpuWeight = 2, 1
	case l.CPUShares != 0:
		r.CpuShares, r.CpuWeight = l.CPUShares, cgroups.ConvertCPUSharesToCgroupV2Value(l.CPUShares)
	}
	return &cgroups.Cgroup{Path: task.Cgroup, Resources: r}
}

// hasIdle reports whether the kernel knows cpu.idle. The root cgroup of
// version 2 has no such file, so it looks where the container's parent is.
func hasIdle(cgroup string) bool {
	dir := "/sys/fs/cgroup/cpu"
	if state.Unified() {
		dir = filepath.Join("/sys/fs/cgroup", filepath.Dir(cgroup))
	}
	_, err := os.Stat(filepath.Join(dir, "cpu.idle"))
	return err == nil
}

// wanted are the capabilities that a container's root keeps: those that
// Docker's containers have, without the making of device nodes.
var wanted = []capability.Cap{
	capability.CAP_AUDIT_WRITE, capability.CAP_CHOWN, capability.CAP_DAC_OVERRIDE, capability.CAP_FOWNER,
	capability.CAP_FSETID, capability.CAP_KILL, capability.CAP_NET_BIND_SERVICE, capability.CAP_NET_RAW,
	capability.CAP_SETFCAP, capability.CAP_SETGID, capability.CAP_SETPCAP, capability.CAP_SETUID, capability.CAP_SYS_CHROOT,
}

// capabilities are the wanted ones that this process has itself to give.
func capabilities() (*configs.Capabilities, error) {
	var data [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&head, &data[0]); err != nil {
		return nil, fmt.Errorf("own capabilities: %w", err)
	}
	held := uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
	var names []string
	for _, c := range wanted {
		if held&(1<<uint(c)) != 0 {
			names = append(names, "CAP_"+strings.ToUpper(c.String()))
		}
	}
	return &configs.Capabilities{Bounding: names, Effective: names, Permitted: names}, nil
}

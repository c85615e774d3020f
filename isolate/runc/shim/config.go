package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // lets the cgroup manager set device rules
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"muster/isolate/runc/state"
)

// config says in libcontainer's terms what the task says in ours. The root is
// ready but for what only the container's own namespaces can mount.
func config(task *state.Task, root string) (*configs.Config, error) {
	caps, err := capabilities()
	if err != nil {
		return nil, err
	}
	return &configs.Config{
		Rootfs:          root,
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
		MaskPaths:       maskedPaths,
		ReadonlyPaths:   readonlyPaths,
		Cgroups:         cgroup(task),
		Mounts:          mounts(root),
	}, nil
}

// What of /proc tells of the host, or changes it.
var (
	maskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// mounts are few, because libcontainer takes some 80 system calls for each to
// make sure that an image's links lead it nowhere: the shim has made the others.
func mounts(root string) []*configs.Mount {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	all := []*configs.Mount{
		{Device: "proc", Source: "proc", Destination: "/proc", Flags: safe},
		// Onto itself: a bind mount of /dev tells libcontainer not to fill it.
		{Device: "bind", Source: filepath.Join(root, "dev"), Destination: "/dev", Flags: unix.MS_BIND | unix.MS_REC},
	}
	if state.Unified() {
		all = append(all, &configs.Mount{
			Device: "cgroup", Source: "cgroup", Destination: "/sys/fs/cgroup", Flags: safe | unix.MS_RDONLY,
		})
	}
	return all
}

// deviceRules deny every device but those, and terminals of its own.
func deviceRules() []*devices.Rule {
	rules := []*devices.Rule{{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm"}}
	allow := func(major, minor int64) {
		rules = append(rules, &devices.Rule{
			Type: devices.CharDevice, Major: major, Minor: minor, Permissions: "rwm", Allow: true,
		})
	}
	for _, d := range deviceNodes {
		allow(int64(d.major), int64(d.minor))
	}
	allow(136, devices.Wildcard)
	allow(5, 2) // ptmx
	return rules
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

package runc

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/moby/sys/user"

	"muster/isolate"
	"muster/isolate/runc/seccomp"
	"muster/isolate/runc/state"
	"muster/offers/mesos"
)

// minMemory is the least hard limit: the container's setup itself runs in it.
// Mesos: src/slave/containerizer/mesos/isolators/cgroups/constants.hpp.
const minMemory = 32 << 20

// task resolves a spec for the shim.
func (d *Driver) task(spec isolate.Spec) (*state.Task, error) {
	if err := supported(spec.Container); err != nil {
		return nil, err
	}
	path, args, err := command(spec.Command)
	if err != nil {
		return nil, err
	}
	who, err := lookup(spec.User)
	if err != nil {
		return nil, err
	}
	tmp, err := d.directories(spec, who)
	if err != nil {
		return nil, err
	}
	task := &state.Task{
		ID:       string(spec.ID),
		Cgroup:   d.cgroup(spec.ID),
		Path:     path,
		Args:     args,
		Env:      spec.Env,
		Dir:      isolate.SandboxPath,
		UID:      who.Uid,
		GID:      who.Gid,
		Groups:   who.Sgids,
		Hostname: spec.Hostname,
		Stage:    d.stage(),
		Stdout:   filepath.Join(spec.Sandbox, "stdout"),
		Stderr:   filepath.Join(spec.Sandbox, "stderr"),
		Limits:   d.limits(spec),
		Seccomp:  seccomp.Available,
	}
	if err := d.host.show(task); err != nil {
		return nil, err
	}
	task.Mounts = append(task.Mounts,
		state.Mount{Source: tmp, Target: "/tmp", Write: true},
		state.Mount{Source: spec.Sandbox, Target: isolate.SandboxPath, Write: true, Whole: true})
	// MESOS_DIRECTORY names the sandbox as the host does.
	task.Shown = []state.Mount{{Source: spec.Sandbox, Target: spec.Sandbox, Write: true, Whole: true}}
	hidden, err := resolved(spec.Hidden)
	if err != nil {
		return nil, err
	}
	task.Masked = append(task.Masked[:len(task.Masked):len(task.Masked)], hidden...)
	return task, volumes(task, spec)
}

// volumes adds the volumes. Those inside the sandbox are mounted onto it before it is
// shown, so that it has them under both its names; the others where they are wanted.
func volumes(task *state.Task, spec isolate.Spec) error {
	if len(spec.Volumes) == 0 {
		return nil
	}
	sandbox, err := os.OpenRoot(spec.Sandbox)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	defer sandbox.Close()
	for _, v := range spec.Volumes {
		m := state.Mount{Source: v.Source, Target: v.Target, Write: !v.ReadOnly}
		if filepath.IsAbs(v.Target) {
			task.Last = append(task.Last, m)
			continue
		}
		// The command has not run yet: nothing in the sandbox is of its making.
		if err := sandbox.MkdirAll(v.Target, 0o755); err != nil {
			return fmt.Errorf("%w: mount point of volume: %w", isolate.ErrStart, err)
		}
		m.Target = filepath.Join(spec.Sandbox, v.Target)
		task.Inside = append(task.Inside, m)
	}
	return nil
}

// supported refuses what this driver would otherwise silently leave out.
func supported(c *mesos.ContainerInfo) error {
	switch {
	case c.GetDocker() != nil || c.GetMesos().GetImage() != nil:
		return fmt.Errorf("%w: container images are not supported", isolate.ErrStart)
	case len(c.GetVolumes()) > 0:
		return fmt.Errorf("%w: volumes are not supported", isolate.ErrStart)
	case len(c.GetNetworkInfos()) > 0:
		return fmt.Errorf("%w: container networks are not supported", isolate.ErrStart)
	case c.GetTtyInfo() != nil:
		return fmt.Errorf("%w: terminals are not supported", isolate.ErrStart)
	}
	return nil
}

// command returns the program and its whole argument vector.
func command(c *mesos.CommandInfo) (string, []string, error) {
	switch {
	case c.GetShell() && (c == nil || c.Value == nil):
		return "", nil, fmt.Errorf("%w: a shell command needs a value", isolate.ErrStart)
	case c.GetShell():
		return "/bin/sh", []string{"sh", "-c", c.GetValue()}, nil
	case c.GetValue() == "":
		return "", nil, fmt.Errorf("%w: a command needs the program to run as its value", isolate.ErrStart)
	case len(c.GetArguments()) == 0:
		return c.GetValue(), []string{c.GetValue()}, nil
	default:
		return c.GetValue(), c.GetArguments(), nil
	}
}

// lookup finds a user by name or number in the host's database.
func lookup(name string) (*user.ExecUser, error) {
	who, err := user.GetExecUserPath(name, &user.ExecUser{}, "/etc/passwd", "/etc/group")
	if err != nil {
		return nil, fmt.Errorf("%w: user %q: %w", isolate.ErrStart, name, err)
	}
	return who, nil
}

// directories gives the sandbox to the user, and makes the container's own /tmp.
func (d *Driver) directories(spec isolate.Spec, who *user.ExecUser) (tmp string, err error) {
	if !filepath.IsAbs(spec.Sandbox) {
		return "", fmt.Errorf("%w: sandbox %q is no absolute path", isolate.ErrStart, spec.Sandbox)
	}
	if err := os.Chown(spec.Sandbox, who.Uid, who.Gid); err != nil {
		return "", fmt.Errorf("sandbox: %w", err)
	}
	tmp = filepath.Join(string(d.dir(spec.ID)), "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return "", err
	}
	return tmp, os.Chmod(tmp, 0o777|os.ModeSticky) // not through the umask
}

// limits follows Mesos: CPU time is shared by request and capped only by an
// explicit limit; memory is capped by its limit, or else by its request.
func (d *Driver) limits(spec isolate.Spec) state.Limits {
	l := state.Limits{CPUIdle: spec.Revocable, Pids: d.cfg.Pids}
	cpus := spec.Resources.Scalar("cpus")
	l.CPUShares = max(2, uint64(cpus)*1024/1000)
	if limit, ok := finite(spec.Limits, "cpus"); ok {
		l.CPUQuota = max(1000, int64(math.Round(limit*100_000)))
	}
	request := spec.Resources.Scalar("mem") * (1 << 20) / 1000
	l.MemorySet = max(request, minMemory)
	l.Memory = l.MemorySet
	if limit, ok := spec.Limits["mem"]; ok {
		l.Memory = -1
		if !math.IsInf(limit, 1) {
			l.Memory = max(int64(limit*(1<<20)), l.MemorySet)
		}
	} else if request == 0 {
		l.Memory, l.MemorySet = 0, 0 // a task that names no memory is not limited
	}
	l.NoSwap = d.noSwap && l.Memory > 0
	return l
}

func finite(limits map[string]float64, name string) (float64, bool) {
	v, ok := limits[name]
	return v, ok && !math.IsInf(v, 1)
}

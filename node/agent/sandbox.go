package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"muster/isolate"
	"muster/node/agent/checkpoint"
	"muster/offers/mesos"
)

// insideSandbox is where a task sees its sandbox.
const insideSandbox = "/mnt/mesos/sandbox"

// defaultPath is a task's PATH unless its command names another.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// ErrNoSandbox: no such sandbox is known.
var ErrNoSandbox = errors.New("unknown sandbox")

// sandboxDir is laid out as Mesos lays it out, because tools walk it.
// Mesos: src/slave/paths.cpp.
func (a *Agent) sandboxDir(t *task) string {
	return filepath.Join(a.cfg.Dir, "slaves", a.id, "frameworks", t.key.Framework,
		"executors", t.executor, "runs", t.launch.GetContainerId())
}

// Sandbox returns the host path of an executor's sandbox; run is a container ID
// or "latest". Command tasks have their task ID as executor ID.
func (a *Agent) Sandbox(framework, executor, run string) (string, error) {
	if !fileName(framework) || !fileName(executor) || !fileName(run) {
		return "", fmt.Errorf("sandbox of %q: %w", executor, ErrNoSandbox)
	}
	found := a.board.sandbox(framework, executor, run)
	if found == "" {
		return "", fmt.Errorf("sandbox of executor %s of framework %s: %w", executor, framework, ErrNoSandbox)
	}
	return found, nil
}

// makeSandbox runs as a job; done again it changes nothing.
func (a *Agent) makeSandbox(l *checkpoint.Launch) error {
	dir := l.GetDirectory()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	if err := linkLatest(dir); err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	for _, name := range []string{"stdout", "stderr"} {
		// Excluding also what a task that runs already has put in its place, a link out of the sandbox for one.
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("make sandbox: %w", err)
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("make sandbox: %w", err)
		}
	}
	return a.own(dir, l.GetUser())
}

// own gives a sandbox to its task's user.
func (a *Agent) own(dir, user string) error {
	if !*a.cfg.SwitchUser {
		return nil
	}
	uid, gid, err := a.cfg.lookup(user)
	if err != nil {
		return fmt.Errorf("user %q is not known on this machine: %w", user, err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "stdout"), filepath.Join(dir, "stderr")} {
		if err := os.Lchown(path, uid, gid); err != nil {
			return fmt.Errorf("give sandbox to user %q: %w", user, err)
		}
	}
	return os.Chmod(dir, 0o750)
}

// linkLatest points runs/latest at dir.
func linkLatest(dir string) error {
	latest := filepath.Join(filepath.Dir(dir), "latest")
	if to, err := os.Readlink(latest); err == nil && to == filepath.Base(dir) {
		return nil
	}
	tmp := dir + ".latest"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(filepath.Base(dir), tmp); err != nil {
		return err
	}
	return os.Rename(tmp, latest)
}

// spec says how t's container is run.
func (a *Agent) spec(t *task) isolate.Spec {
	info := t.info()
	all, _, _ := claim(info.GetResources()) // checked before it was launched
	s := isolate.Spec{
		ID:        t.containerID(),
		Command:   info.GetCommand(),
		Container: info.GetContainer(),
		Env:       a.environment(t, all.AllocatedRoles()),
		Hostname:  info.GetContainer().GetHostname(),
		Sandbox:   t.launch.GetDirectory(),
		Resources: all,
		Limits:    limits(info),
		Volumes:   t.mounts(),
		Hidden:    a.diskDirs(),
		Revocable: t.revocable(),
	}
	if *a.cfg.SwitchUser {
		s.User = t.launch.GetUser()
	}
	return s
}

func limits(info *mesos.TaskInfo) map[string]float64 {
	if len(info.GetLimits()) == 0 {
		return nil
	}
	m := make(map[string]float64, len(info.GetLimits()))
	for name, l := range info.GetLimits() {
		m[name] = l.GetValue()
		if math.IsInf(l.GetValue(), 0) {
			m[name] = math.Inf(1)
		}
	}
	return m
}

// environment is all that t's command sees. What the framework set wins, except
// for the role. Mesos: src/slave/slave.cpp, executorEnvironment.
func (a *Agent) environment(t *task, roles []string) []string {
	endpoint := net.JoinHostPort(a.cfg.IP, strconv.Itoa(a.cfg.Port))
	env := map[string]string{
		"PATH":                 defaultPath,
		"HOME":                 insideSandbox,
		"MESOS_SANDBOX":        insideSandbox,
		"MESOS_DIRECTORY":      t.launch.GetDirectory(),
		"MESOS_TASK_ID":        t.key.Task,
		"MESOS_EXECUTOR_ID":    t.executor,
		"MESOS_FRAMEWORK_ID":   t.key.Framework,
		"MESOS_AGENT_ID":       t.info().GetAgentId().GetValue(),
		"MESOS_SLAVE_ID":       t.info().GetAgentId().GetValue(),
		"MESOS_CONTAINER_ID":   t.launch.GetContainerId(),
		"MESOS_AGENT_ENDPOINT": endpoint,
		"MESOS_SLAVE_PID":      "slave(1)@" + endpoint,
		"MESOS_CHECKPOINT":     "1",
	}
	if *a.cfg.SwitchUser {
		env["USER"] = t.launch.GetUser()
	}
	for _, v := range t.info().GetCommand().GetEnvironment().GetVariables() {
		env[v.GetName()] = variable(v)
	}
	if len(roles) > 0 {
		env["MESOS_ALLOCATION_ROLE"] = roles[0]
	}
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

func variable(v *mesos.Environment_Variable) string {
	if v.GetType() == mesos.Environment_Variable_SECRET {
		return string(v.GetSecret().GetValue().GetData())
	}
	return v.GetValue()
}

// unusable names a variable of the command that cannot be set, and why.
func unusable(c *mesos.CommandInfo) string {
	for _, v := range c.GetEnvironment().GetVariables() {
		name := v.GetName()
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			return fmt.Sprintf("%q cannot name an environment variable", name)
		case v.GetType() == mesos.Environment_Variable_SECRET && v.GetSecret().GetValue() == nil:
			return fmt.Sprintf("environment variable %s refers to a secret, which this agent cannot resolve", name)
		case strings.Contains(variable(v), "\x00"):
			return fmt.Sprintf("environment variable %s has a value that holds a zero byte", name)
		}
	}
	return ""
}

// fileName tells whether id may be the name of a directory.
func fileName(id string) bool {
	return id != "" && id != "." && id != ".." && len(id) <= 255 &&
		!strings.ContainsFunc(id, func(r rune) bool { return r == '/' || r == '\\' || r < 0x20 || r == 0x7f })
}

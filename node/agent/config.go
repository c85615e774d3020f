package agent

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"muster/node/agent/checkpoint"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/telemetry"
)

// Config of an Agent.
type Config struct {
	Dir        string            // work directory: checkpoints and sandboxes; must be set
	Hostname   string            // as offers tell it [the machine's name]
	IP         string            // where tasks are reached [127.0.0.1]
	Port       int               // of the agent's HTTP API [5051]
	Resources  string            // as "cpus:4;mem:8192" or JSON; what it does not name is detected [""]
	Attributes string            // as "rack:a;zone:west" or JSON [""]
	Domain     *mesos.DomainInfo // region and zone [none]
	Version    string            // of muster

	SwitchUser  *bool         // run tasks as their user; must be off unless the daemon is root [on as root]
	KillGrace   time.Duration // from SIGTERM to SIGKILL when nobody says otherwise [3s]
	RetryMin    time.Duration // until an unacknowledged update is sent again, at first [10s]
	RetryMax    time.Duration // and at last [10m]
	Concurrency int           // containers started, and ended, at a time [2 × CPUs]
	Completed   int           // completed tasks that are remembered [200]

	lookup func(name string) (uid, gid int, err error) // for tests
	wrap   func(checkpoint.File) checkpoint.File       // for tests
	bootID func() (string, error)                      // for tests
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, fmt.Errorf("agent: no work directory given")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("agent: work directory: %w", err)
	}
	c.Dir = dir
	if c.Hostname == "" {
		if c.Hostname, err = os.Hostname(); err != nil {
			return c, fmt.Errorf("agent: host name: %w", err)
		}
	}
	c.IP = cmp.Or(c.IP, "127.0.0.1")
	c.Port = cmp.Or(c.Port, 5051)
	if c.SwitchUser == nil {
		root := os.Geteuid() == 0
		c.SwitchUser = &root
	}
	c.KillGrace = cmp.Or(c.KillGrace, 3*time.Second)
	c.RetryMin = cmp.Or(c.RetryMin, 10*time.Second)
	c.RetryMax = cmp.Or(c.RetryMax, 10*time.Minute)
	c.Concurrency = cmp.Or(c.Concurrency, 2*runtime.NumCPU())
	c.Completed = cmp.Or(c.Completed, 200)
	if c.lookup == nil {
		c.lookup = lookupUser
	}
	if c.bootID == nil {
		c.bootID = readBootID
	}
	return c, nil
}

// Uplink sends to whoever leads. Send never waits; an error says that the
// message was not taken, and what it said is said again after the next Connected.
type Uplink interface {
	Send(m *protocol.AgentToMaster) error
}

// Meter measures containers. Its methods are called by many goroutines.
type Meter interface {
	Add(c telemetry.Container) error
	Remove(id string)
}

func lookupUser(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, fmt.Errorf("user %s: %w", name, err)
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return 0, 0, fmt.Errorf("user %s: %w", name, err)
	}
	return uid, gid, nil
}

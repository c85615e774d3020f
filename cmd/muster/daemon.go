package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"muster/cmd/muster/embedded"
	"muster/isolate/runc"
	"muster/node"
	"muster/p2p"
	"muster/telemetry"
	"muster/telemetry/bpf"
	"muster/telemetry/cgroup"
)

func daemonCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "daemon", Short: "Run this node", GroupID: "node", Args: cobra.NoArgs,
		Long: `Runs this node until it is told to stop (SIGTERM or Ctrl-C). Tasks run on without
it; a daemon started again in the same directory finds them.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := readConfig(c)
			if err != nil {
				return err
			}
			level, err := c.Flags().GetString("log-level")
			if err != nil {
				return err
			}
			err = runDaemon(c, cfg, level)
			if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
				return fmt.Errorf("%w: the daemon runs containers, and so must run as root", err)
			}
			return err
		},
	}
	addSettings(c, allSettings()...)
	c.Flags().String("log-level", "info", "debug, info, warn or error")
	return c
}

func runDaemon(c *cobra.Command, cfg node.Config, level string) error {
	log, closeLog, err := openLog(cfg.LogFile, level)
	if err != nil {
		return err
	}
	defer closeLog()
	unlock, err := lockDir(cfg.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	machine, closeMachine, err := openMachine(cfg, log)
	if err != nil {
		return err
	}
	defer closeMachine()
	n, err := node.New(cfg, machine, log)
	if errors.Is(err, p2p.ErrNoIdentity) {
		return fmt.Errorf("%s is in no cluster yet: found one with `muster init`, or join one with `muster join TOKEN`", cfg.Dir)
	}
	if err != nil {
		return err
	}
	return n.Run(c.Context())
}

// openLog returns the daemon's log; close does nothing for standard error.
func openLog(file, level string) (log *slog.Logger, close func(), err error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, nil, fmt.Errorf("log-level: %q is none of debug, info, warn, error", level)
	}
	out, close := os.Stderr, func() {}
	if file != "" {
		if out, err = os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
			return nil, nil, fmt.Errorf("log file: %w", err)
		}
		close = func() { out.Close() }
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: l})), close, nil
}

// openDriver builds what runs tasks on the real machine.
func openDriver(cfg node.Config, log *slog.Logger) (*runc.Driver, error) {
	shim, err := embedded.Shim()
	if err != nil {
		return nil, err
	}
	if shim == nil {
		log.Warn("this program carries no lean shim and starts itself beside every task: build it with make")
	}
	return runc.New(runc.Config{Dir: cfg.ContainerDir(), Hidden: []string{cfg.Dir}, Program: shim}, log)
}

// openMachine builds what runs and measures tasks on the real machine.
func openMachine(cfg node.Config, log *slog.Logger) (node.Machine, func(), error) {
	driver, err := openDriver(cfg, log)
	if err != nil {
		return node.Machine{}, nil, err
	}
	var source telemetry.Source
	if source, err = bpf.Open(log); err != nil {
		log.Warn("tasks are measured from cgroup files: eBPF is not available", "err", err)
		source = cgroup.New()
	}
	done := func() {
		if err := errors.Join(source.Close(), driver.Close()); err != nil {
			log.Warn("not closed well", "err", err)
		}
	}
	return node.Machine{Driver: driver, Source: source}, done, nil
}

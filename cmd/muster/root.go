package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// exitError ends the program with a code of its own.
type exitError struct {
	error
	code int
}

func (e exitError) Unwrap() error { return e.error }

func exitCode(err error) int {
	var e exitError
	if errors.As(err, &e) {
		return e.code
	}
	return 1
}

// root is the command line. Commands are grouped as their users come to them.
func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "muster",
		Short: "A cluster of peers that runs the tasks of Mesos frameworks",
		Long: `muster runs one daemon on every node. The nodes form an authenticated mesh,
elect a small quorum among themselves, and offer their resources to frameworks
that speak the Mesos v1 HTTP API to any of them.

Try it on this machine:   muster dev --nodes 3
Found a real cluster:     muster init && muster daemon
Add a node to it:         muster join TOKEN && muster daemon
Run something:            muster run -- echo hello`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: see `%s --help`", err, c.CommandPath())
	})
	c.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	c.AddGroup(
		&cobra.Group{ID: "node", Title: "Nodes:"},
		&cobra.Group{ID: "use", Title: "Use a cluster:"},
		&cobra.Group{ID: "operate", Title: "Operate a cluster:"},
		&cobra.Group{ID: "ask", Title: "Ask a cluster:"},
	)
	c.AddCommand(
		daemonCommand(), initCommand(), joinCommand(), devCommand(), purgeCommand(), replayCommand(),
		runCommand(), logsCommand(), simulateCommand(),
		quotaCommand(), weightCommand(),
		drainCommand(), deactivateCommand(), reactivateCommand(), goneCommand(), maintenanceCommand(),
		reserveCommand(), unreserveCommand(), volumeCommand(),
		nodesCommand(), agentsCommand(), resourcesCommand(), frameworksCommand(), rolesCommand(), tasksCommand(), offersCommand(), explainCommand(), quorumCommand(), usageCommand(), oversubscriptionCommand(), versionCommand(),
	)
	return c
}

// one wants a single argument and says which.
func one(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("expecting one %s, got %d arguments: see `%s --help`", what, len(args), c.CommandPath())
		}
		return nil
	}
}

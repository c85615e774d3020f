package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"muster/node"
	"muster/p2p"
)

func initCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "init", Short: "Found a cluster with this node as its first member", GroupID: "node", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := readConfig(c)
			if err != nil {
				return err
			}
			name, err := c.Flags().GetString("cluster")
			if err != nil {
				return err
			}
			token, err := node.Init(cfg, name)
			if errors.Is(err, p2p.ErrHasIdentity) {
				return fmt.Errorf("%s is a member of a cluster already: start it with `%s`", cfg.Dir, daemonLine(c))
			}
			if err != nil {
				return err
			}
			return show(c, map[string]string{"cluster": name, "cluster_id": token.Cluster(), "dir": cfg.Dir, "token": token.String()}, func(out *printer) {
				out.line("Founded cluster %q (%s) in %s.", name, token.Cluster(), cfg.Dir)
				out.line("")
				out.line("Start this node:      %s", daemonLine(c))
				out.line("Add another node:     muster join %s", token)
				out.line("")
				out.line("Who holds the token can join: keep it secret.")
			})
		},
	}
	c.Flags().String("cluster", "muster", "name of the cluster, for people")
	addSettings(c, "dir", "name", "listen", "mesh_port", "region")
	addOutput(c)
	return c
}

func joinCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "join TOKEN", Short: "Make this node a member of a cluster", GroupID: "node", Args: one("TOKEN"),
		Long: `Asks the members named in the token, and those found on the local network, to
admit this node. A member must be running. The token comes from muster init.`,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := readConfig(c)
			if err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, "asking the cluster to admit this node …")
			err = node.Join(c.Context(), cfg, args[0])
			if errors.Is(err, p2p.ErrHasIdentity) {
				return fmt.Errorf("%s is a member of a cluster already: start it with `%s`", cfg.Dir, daemonLine(c))
			}
			if err != nil {
				return err
			}
			return show(c, map[string]string{"dir": cfg.Dir, "name": cfg.Name}, func(out *printer) {
				out.line("%s has joined. Start it:  %s", cfg.Name, daemonLine(c))
			})
		},
	}
	addSettings(c, "dir", "name", "no_mdns")
	addOutput(c)
	return c
}

// daemonLine is the command that starts the daemon with the settings given to c.
func daemonLine(c *cobra.Command) string {
	line := "muster daemon"
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "config" || slices.ContainsFunc(settings, func(s setting) bool { return flagOf(s.key) == f.Name }) {
			line += " --" + f.Name + "=" + f.Value.String()
		}
	})
	return line
}

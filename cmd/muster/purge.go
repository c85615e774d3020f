package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"muster/node"
)

func purgeCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "purge", Short: "End the tasks that a stopped daemon has left running", GroupID: "node", Args: cobra.NoArgs,
		Long: `Tasks outlive their daemon, so that it can be upgraded under them. Where it is
not to be started again, purge ends them. It refuses to while the daemon runs.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := readConfig(c)
			if err != nil {
				return err
			}
			unlock, err := lockDir(cfg.Dir)
			if err != nil {
				return err
			}
			defer unlock()
			n, err := endTasks(c.Context(), cfg)
			if err != nil {
				return err
			}
			return show(c, map[string]int{"containers": n}, func(out *printer) { out.line("Ended %d containers.", n) })
		},
	}
	addSettings(c, "dir")
	addOutput(c)
	return c
}

// endTasks destroys the containers of a node whose daemon has ended, and says how many.
func endTasks(ctx context.Context, cfg node.Config) (int, error) {
	driver, err := openDriver(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	defer driver.Close()
	ids, err := driver.List()
	if err != nil {
		return 0, fmt.Errorf("%s: list containers: %w", cfg.Name, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(8)
	for _, id := range ids {
		g.Go(func() error { return driver.Destroy(ctx, id) })
	}
	return len(ids), g.Wait()
}

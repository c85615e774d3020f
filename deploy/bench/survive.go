package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"muster/deploy/e2e/cluster"
	"muster/offers/mesos"
)

// leaderKilled kills the leader under a framework that is subscribed at another
// peer and holds all offers, until the first offer of the next leader is there.
// Then the killed one comes back, for the next run.
func leaderKilled(ctx context.Context, m *machine) (o outcome, err error) {
	const runs = 5
	err = withCluster(ctx, m, 3, func(c *cluster.Cluster) error {
		for range runs {
			leader, err := c.Settled(ctx)
			if err != nil {
				return err
			}
			gateway, err := c.Other(leader)
			if err != nil {
				return err
			}
			err = withFramework(ctx, gateway, func(f *framework) error {
				took, err := f.nextOffer(ctx, leader)
				o.samples = append(o.samples, took.Seconds())
				return errors.Join(err, f.unbroken())
			})
			if err != nil {
				return err
			}
			if err := leader.Start(); err != nil {
				return err
			}
		}
		o.notes = []string{"the framework's stream stayed unbroken"}
		return nil
	})
	return o, err
}

// nextOffer kills the leader and waits for an offer that is not its.
func (f *framework) nextOffer(ctx context.Context, leader *cluster.Daemon) (time.Duration, error) {
	err := f.await(ctx, "the offers of all agents", func() bool { return len(f.offers) == 3 })
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	var dead string // an offer's ID begins with its leader's
	for id := range f.offers {
		dead = id[:strings.LastIndex(id, "-")]
	}
	f.mu.Unlock()
	begin := time.Now()
	leader.Kill()
	var at time.Time
	err = f.await(ctx, "an offer of the next leader", func() bool {
		for id, o := range f.offers {
			if !strings.HasPrefix(id, dead) {
				at = o.at
				return true
			}
		}
		return false
	})
	return at.Sub(begin), err
}

// voterLost kills a voter that does not lead, where a fourth node may take its
// place, until three others vote. Every run has a cluster of its own: who was
// lost may not vote again at once.
func voterLost(ctx context.Context, m *machine) (o outcome, err error) {
	const runs = 3
	for range runs {
		err := withCluster(ctx, m, 4, func(c *cluster.Cluster) error {
			leader, err := c.Settled(ctx)
			if err != nil {
				return err
			}
			took, err := loseVoter(ctx, c, leader)
			o.samples = append(o.samples, took.Seconds())
			return err
		})
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

func loseVoter(ctx context.Context, c *cluster.Cluster, leader *cluster.Daemon) (time.Duration, error) {
	before, err := leader.Members(ctx)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(c.Daemons, func(d *cluster.Daemon) bool { return d != leader && slices.Contains(before.Voters(), d.Name) })
	if i < 0 {
		return 0, fmt.Errorf("nobody votes but %s", leader.Name)
	}
	lost := c.Daemons[i]
	begin := time.Now()
	lost.Kill()
	err = cluster.Await(ctx, "a voter in the lost one's place", func() bool {
		now, err := leader.Members(ctx)
		voters := now.Voters()
		return err == nil && len(voters) == 3 && !slices.Contains(voters, lost.Name)
	})
	return time.Since(begin), err
}

// daemonKilled kills a daemon under 100 tasks and starts it again at once, until
// it watches and measures all of them again: the same processes. Another daemon
// leads and serves the framework, which then hears of every task that it runs.
func daemonKilled(ctx context.Context, m *machine) (o outcome, err error) {
	const count, runs = 100, 5
	err = withCluster(ctx, m, 2, func(c *cluster.Cluster) error {
		leader, err := c.Settled(ctx)
		if err != nil {
			return err
		}
		victim, err := c.Other(leader)
		if err != nil {
			return err
		}
		return withFramework(ctx, leader, func(f *framework) error {
			ids, _, err := f.launch(ctx, tasks{prefix: "stay", n: count, host: victim.IP, argv: []string{"/bin/sleep", "100000"}})
			if err != nil {
				return err
			}
			if _, err := f.reach(ctx, mesos.TaskState_TASK_RUNNING, ids...); err != nil {
				return err
			}
			for range runs {
				took, err := restart(ctx, victim, count)
				if err != nil {
					return err
				}
				o.samples = append(o.samples, took.Seconds())
				if _, err := c.Settled(ctx); err != nil {
					return err
				}
				if err := f.reconcile(ctx, mesos.TaskState_TASK_RUNNING, ids...); err != nil {
					return err
				}
			}
			o.notes = []string{fmt.Sprintf("of %d tasks none was restarted, none lost", count)}
			return f.unbroken()
		})
	})
	return o, err
}

// restart returns how long a killed daemon takes to be back with all its tasks.
func restart(ctx context.Context, d *cluster.Daemon, count int) (time.Duration, error) {
	before, err := running(ctx, d, count)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	d.Kill()
	if err := d.Start(); err != nil {
		return 0, err
	}
	after, err := running(ctx, d, count)
	took := time.Since(begin)
	if err != nil {
		return 0, err
	}
	for id, pid := range before {
		if after[id] != pid {
			return 0, fmt.Errorf("%s was process %d and is %d", id, pid, after[id])
		}
	}
	return took, nil
}

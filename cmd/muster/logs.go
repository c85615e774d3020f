package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
)

const (
	followEvery = 200 * time.Millisecond // how often a followed file is looked at
	wholeFile   = 0
)

func logsCommand() *cobra.Command {
	var follow, stderr bool
	var framework string
	c := &cobra.Command{
		Use: "logs TASK", Short: "Print what a task has written", GroupID: "use", Args: one("TASK"), ValidArgsFunction: completeTask,
		RunE: func(c *cobra.Command, args []string) error {
			nodes, err := connect(c)
			if err != nil {
				return err
			}
			name := "stdout"
			if stderr {
				name = "stderr"
			}
			return explain(printLog(c, nodes, framework, args[0], name, follow), nodes)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the task ends")
	c.Flags().BoolVar(&stderr, "stderr", false, "print its standard error instead")
	c.Flags().StringVar(&framework, "framework", "", "ID of the task's framework, where several have such a task")
	addAPI(c)
	return c
}

// completeTask proposes the IDs of running tasks to the shell.
func completeTask(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	nodes, err := connect(c)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	r, err := nodes.Get(c.Context(), master.Call_GET_TASKS)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []cobra.Completion
	for _, t := range r.GetGetTasks().GetTasks() {
		ids = append(ids, t.GetTaskId().GetValue())
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

func printLog(c *cobra.Command, nodes *client.Client, framework, id, name string, follow bool) error {
	t, err := findTask(c.Context(), nodes, framework, id)
	if err != nil {
		return err
	}
	address, err := findAgent(c.Context(), nodes, t.GetAgentId().GetValue())
	if err != nil {
		return err
	}
	agent, err := connectTo(c, address)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	if !follow || t.GetState().Terminal() {
		close(done)
	} else {
		go awaitEnd(c.Context(), nodes, t, done)
	}
	_, err = agent.Follow(c.Context(), sandboxFile(t, name), wholeFile, c.OutOrStdout(), followEvery, done)
	return explainAgent(err, address)
}

// sandboxFile is the path of a file in a command task's sandbox, as agents take it.
func sandboxFile(t *mesos.Task, name string) string {
	executor := t.GetExecutorId().GetValue()
	if executor == "" {
		executor = t.GetTaskId().GetValue()
	}
	return fmt.Sprintf("/frameworks/%s/executors/%s/runs/latest/%s", t.GetFrameworkId().GetValue(), executor, name)
}

// awaitEnd closes done when the task has ended.
func awaitEnd(ctx context.Context, nodes *client.Client, t *mesos.Task, done chan struct{}) {
	defer close(done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := findTask(ctx, nodes, t.GetFrameworkId().GetValue(), t.GetTaskId().GetValue())
		if err == nil && now.GetState().Terminal() {
			return
		}
	}
}

// findTask looks a task up by its ID, which may be in use in several frameworks.
func findTask(ctx context.Context, nodes *client.Client, framework, id string) (*mesos.Task, error) {
	r, err := nodes.Get(ctx, master.Call_GET_TASKS)
	if err != nil {
		return nil, err
	}
	tasks := r.GetGetTasks()
	for _, list := range [][]*mesos.Task{tasks.GetTasks(), tasks.GetUnreachableTasks(), tasks.GetCompletedTasks()} {
		var found []*mesos.Task
		for _, t := range list {
			if t.GetTaskId().GetValue() == id && (framework == "" || framework == t.GetFrameworkId().GetValue()) {
				found = append(found, t)
			}
		}
		if len(found) > 1 {
			return nil, fmt.Errorf("%d frameworks have a task %q: name one with --framework", len(found), id)
		}
		if len(found) == 1 {
			return found[0], nil
		}
	}
	return nil, fmt.Errorf("no task %q is known: see muster tasks --all", id)
}

func findAgent(ctx context.Context, nodes *client.Client, id string) (string, error) {
	r, err := nodes.Get(ctx, master.Call_GET_AGENTS)
	if err != nil {
		return "", err
	}
	for _, a := range r.GetGetAgents().GetAgents() {
		if a.GetAgentInfo().GetId().GetValue() == id {
			return agentAddress(a.GetPid()), nil
		}
	}
	return "", fmt.Errorf("agent %s, which has the task's files, is not registered now", id)
}

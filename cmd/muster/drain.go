package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
)

// operateCommand is a command that changes something and says what is so then.
func operateCommand(use, short string, args cobra.PositionalArgs, do func(c *cobra.Command, nodes *client.Client, args []string) error) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, GroupID: "operate", Args: args,
		RunE: func(c *cobra.Command, args []string) error {
			nodes, err := connect(c)
			if err != nil {
				return err
			}
			return explain(do(c, nodes, args), nodes)
		},
	}
	addAPI(c)
	addOutput(c)
	return c
}

// steered is what commands about an agent show.
type steered struct {
	Agent    string `json:"agent_id"`
	Hostname string `json:"hostname,omitempty"`
	State    string `json:"state"`
	Tasks    int    `json:"tasks,omitempty"` // that are not over
}

func showSteered(c *cobra.Command, s steered) error {
	return show(c, s, func(out *printer) { out.line("%s %s", s.Agent, s.State) })
}

// agentCommand is a command that does one thing to one agent.
func agentCommand(use, short, state string, call func(*mesos.AgentID) *master.Call) *cobra.Command {
	return operateCommand(use+" NODE", short, one("NODE"), func(c *cobra.Command, nodes *client.Client, args []string) error {
		t, err := find(c.Context(), nodes, args[0])
		if err != nil {
			return err
		}
		if _, err := nodes.Master(c.Context(), call(&mesos.AgentID{Value: proto.String(t.id)})); err != nil {
			return err
		}
		return showSteered(c, steered{Agent: t.id, Hostname: t.hostname, State: state})
	})
}

func deactivateCommand() *cobra.Command {
	return agentCommand("deactivate", "Offer a node's agent no more; its tasks run on", "deactivated", func(id *mesos.AgentID) *master.Call {
		return &master.Call{Type: master.Call_DEACTIVATE_AGENT.Enum(), DeactivateAgent: &master.Call_DeactivateAgent{AgentId: id}}
	})
}

func reactivateCommand() *cobra.Command {
	return agentCommand("reactivate", "Offer a node's agent again, which was deactivated or drained", "active", func(id *mesos.AgentID) *master.Call {
		return &master.Call{Type: master.Call_REACTIVATE_AGENT.Enum(), ReactivateAgent: &master.Call_ReactivateAgent{AgentId: id}}
	})
}

func goneCommand() *cobra.Command {
	return agentCommand("gone", "Shut a node's agent out for good: its tasks are gone, whatever becomes of it", "gone", func(id *mesos.AgentID) *master.Call {
		return &master.Call{Type: master.Call_MARK_AGENT_GONE.Enum(), MarkAgentGone: &master.Call_MarkAgentGone{AgentId: id}}
	})
}

func drainCommand() *cobra.Command {
	var grace time.Duration
	var gone, wait bool
	c := operateCommand("drain NODE", "End all tasks of a node and offer its agent no more", one("NODE"), func(c *cobra.Command, nodes *client.Client, args []string) error {
		t, err := find(c.Context(), nodes, args[0])
		if err != nil {
			return err
		}
		call := &master.Call_DrainAgent{AgentId: &mesos.AgentID{Value: proto.String(t.id)}, MarkGone: proto.Bool(gone)}
		if c.Flags().Changed("max-grace") {
			call.MaxGracePeriod = durationpb.New(grace)
		}
		if _, err := nodes.Master(c.Context(), &master.Call{Type: master.Call_DRAIN_AGENT.Enum(), DrainAgent: call}); err != nil {
			return err
		}
		if !wait {
			return showSteered(c, steered{Agent: t.id, Hostname: t.hostname, State: "draining"})
		}
		s, err := waitDrained(c, nodes, t, gone)
		if err != nil {
			return err
		}
		return showSteered(c, s)
	})
	c.Flags().DurationVar(&grace, "max-grace", 0, "the most that a task may take to end (default: what each asks for)")
	c.Flags().BoolVar(&gone, "mark-gone", false, "shut the agent out for good once it is drained")
	c.Flags().BoolVar(&wait, "wait", false, "wait until it is drained")
	return c
}

// waitDrained returns when the agent is drained, or gone. It tells of progress.
func waitDrained(c *cobra.Command, nodes *client.Client, t target, gone bool) (steered, error) {
	last := ""
	for {
		s, err := drainState(c.Context(), nodes, t, gone)
		if err != nil {
			return s, err
		}
		if s.State == "drained" || s.State == "gone" {
			return s, nil
		}
		if text := fmt.Sprintf("%s, %d tasks left", s.State, s.Tasks); text != last {
			fmt.Fprintf(c.ErrOrStderr(), "%s %s\n", t.id, text)
			last = text
		}
		select {
		case <-c.Context().Done():
			return s, context.Cause(c.Context())
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// drainState says how far an agent has come.
func drainState(ctx context.Context, nodes *client.Client, t target, gone bool) (steered, error) {
	s := steered{Agent: t.id, Hostname: t.hostname, State: away}
	r, err := nodes.Get(ctx, master.Call_GET_STATE)
	if err != nil {
		return s, err
	}
	state := r.GetGetState()
	for _, task := range state.GetGetTasks().GetTasks() {
		if task.GetAgentId().GetValue() == t.id {
			s.Tasks++
		}
	}
	for _, a := range state.GetGetAgents().GetAgents() {
		if a.GetAgentInfo().GetId().GetValue() != t.id {
			continue
		}
		s.State = agentState(a)
		if a.GetDrainInfo() == nil {
			return s, fmt.Errorf("agent %s is not being drained any more: somebody reactivated it", t.id)
		}
		return s, nil
	}
	for _, a := range state.GetGetAgents().GetRecoveredAgents() {
		if a.GetId().GetValue() == t.id {
			s.State = "awaited"
			return s, nil
		}
	}
	if gone && t.hostname != "" { // it was registered, and is no more
		s.State = "gone"
	}
	return s, nil
}

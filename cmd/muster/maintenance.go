package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/maintenance"
	"muster/offers/mesos/master"
)

func maintenanceCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "maintenance", Short: "Take machines out of service and bring them back", GroupID: "operate",
		Long: `Machines are named HOST, HOST/IP or /IP, as their agents tell it. A machine is
scheduled first: frameworks then see when it will be unavailable and are asked to
leave. Started, its agents are removed and none may register; stopped, it is back.`,
	}
	commands := []*cobra.Command{scheduleCommand(), maintenanceStatusCommand(), startCommand(), stopCommand()}
	for _, sub := range commands {
		sub.GroupID = ""
	}
	c.AddCommand(commands...)
	return c
}

func some(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("expecting at least one %s: see `%s --help`", what, c.CommandPath())
		}
		return nil
	}
}

func scheduleCommand() *cobra.Command {
	var start string
	var length time.Duration
	var remove, force bool
	c := operateCommand("schedule [MACHINE...]", "Show the schedule, or put machines into it", nil, func(c *cobra.Command, nodes *client.Client, args []string) error {
		r, err := nodes.Get(c.Context(), master.Call_GET_MAINTENANCE_SCHEDULE)
		if err != nil {
			return err
		}
		schedule := r.GetGetMaintenanceSchedule().GetSchedule()
		if len(args) == 0 {
			return showSchedule(c, schedule)
		}
		ids, err := machinesOf(args)
		if err != nil {
			return err
		}
		next := without(schedule, ids)
		if !remove {
			u, err := unavailability(start, length)
			if err != nil {
				return err
			}
			list, _, err := targets(c.Context(), nodes)
			if err != nil {
				return err
			}
			if err := known(list, ids); err != nil && !force {
				return err
			}
			next.Windows = append(next.Windows, &maintenance.Window{MachineIds: ids, Unavailability: u})
		}
		if _, err := nodes.Master(c.Context(), &master.Call{
			Type:                      master.Call_UPDATE_MAINTENANCE_SCHEDULE.Enum(),
			UpdateMaintenanceSchedule: &master.Call_UpdateMaintenanceSchedule{Schedule: next},
		}); err != nil {
			return err
		}
		return showSchedule(c, next)
	})
	c.Flags().StringVar(&start, "at", "", "when they go out of service: a time as 2006-01-02T15:04:05Z, or in how long, as 2h (default: now)")
	c.Flags().DurationVar(&length, "for", 0, "how long (default: nobody knows)")
	c.Flags().BoolVar(&remove, "remove", false, "take them out of the schedule")
	c.Flags().BoolVar(&force, "force", false, "even if no agent is registered from one of them")
	return c
}

func unavailability(start string, length time.Duration) (*mesos.Unavailability, error) {
	at := time.Now()
	if start != "" {
		t, err := time.Parse(time.RFC3339, start)
		in, err2 := time.ParseDuration(start)
		switch {
		case err == nil:
			at = t
		case err2 == nil && in >= 0:
			at = at.Add(in)
		default:
			return nil, fmt.Errorf("at: %q is neither a time as 2006-01-02T15:04:05Z nor a duration of 0 or more as 2h", start)
		}
	}
	u := &mesos.Unavailability{Start: &mesos.TimeInfo{Nanoseconds: proto.Int64(at.UnixNano())}}
	if length > 0 {
		u.Duration = &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(length))}
	}
	return u, nil
}

func showSchedule(c *cobra.Command, s *maintenance.Schedule) error {
	return showResponse(c, s, func(out *printer) {
		var rows [][]string
		for _, w := range s.GetWindows() {
			u, length := w.GetUnavailability(), "unknown"
			if u.Duration != nil {
				length = time.Duration(u.GetDuration().GetNanoseconds()).String()
			}
			for _, id := range w.GetMachineIds() {
				rows = append(rows, []string{machineName(id), time.Unix(0, u.GetStart().GetNanoseconds()).Local().Format(time.DateTime), length})
			}
		}
		out.table([]string{"MACHINE", "FROM", "FOR"}, rows)
	})
}

func maintenanceStatusCommand() *cobra.Command {
	return operateCommand("status", "Show what is draining or down, and what frameworks answered", cobra.NoArgs, func(c *cobra.Command, nodes *client.Client, _ []string) error {
		r, err := nodes.Get(c.Context(), master.Call_GET_MAINTENANCE_STATUS)
		if err != nil {
			return err
		}
		status := r.GetGetMaintenanceStatus().GetStatus()
		return showResponse(c, status, func(out *printer) {
			var rows [][]string
			for _, d := range status.GetDrainingMachines() {
				var said []string
				for _, s := range d.GetStatuses() {
					said = append(said, s.GetFrameworkId().GetValue()+" "+strings.ToLower(s.GetStatus().String()))
				}
				rows = append(rows, []string{machineName(d.GetId()), "draining", strings.Join(said, ", ")})
			}
			for _, id := range status.GetDownMachines() {
				rows = append(rows, []string{machineName(id), "down", ""})
			}
			out.table([]string{"MACHINE", "STATE", "ANSWERS"}, rows)
		})
	})
}

func startCommand() *cobra.Command {
	return machineCommand("start", "Take scheduled machines down: their agents are removed", "down", func(ids []*mesos.MachineID) *master.Call {
		return &master.Call{Type: master.Call_START_MAINTENANCE.Enum(), StartMaintenance: &master.Call_StartMaintenance{Machines: ids}}
	})
}

func stopCommand() *cobra.Command {
	return machineCommand("stop", "Bring machines up that are down", "up", func(ids []*mesos.MachineID) *master.Call {
		return &master.Call{Type: master.Call_STOP_MAINTENANCE.Enum(), StopMaintenance: &master.Call_StopMaintenance{Machines: ids}}
	})
}

func machineCommand(use, short, state string, call func([]*mesos.MachineID) *master.Call) *cobra.Command {
	return operateCommand(use+" MACHINE...", short, some("MACHINE"), func(c *cobra.Command, nodes *client.Client, args []string) error {
		ids, err := machinesOf(args)
		if err != nil {
			return err
		}
		if _, err := nodes.Master(c.Context(), call(ids)); err != nil {
			if strings.Contains(err.Error(), "is not part of a maintenance schedule") || strings.Contains(err.Error(), "is not in DOWN mode") {
				return fmt.Errorf("%w: `muster maintenance schedule` schedules it, `muster maintenance status` shows what is", err)
			}
			return err
		}
		return show(c, map[string]any{"machines": args, "state": state}, func(out *printer) {
			for _, name := range args {
				out.line("%s %s", name, state)
			}
		})
	})
}

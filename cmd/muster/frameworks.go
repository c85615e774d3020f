package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
)

func frameworksCommand() *cobra.Command {
	var all bool
	c := askCommand("frameworks", "List the frameworks", func(c *cobra.Command, nodes *client.Client) error {
		r, err := nodes.Get(c.Context(), master.Call_GET_FRAMEWORKS)
		if err != nil {
			return err
		}
		return showResponse(c, r.GetGetFrameworks(), func(out *printer) {
			list, done := r.GetGetFrameworks().GetFrameworks(), r.GetGetFrameworks().GetCompletedFrameworks()
			if all {
				list = slices.Concat(list, done)
			}
			var rows [][]string
			for _, f := range list {
				info := f.GetFrameworkInfo()
				rows = append(rows, []string{
					info.GetId().GetValue(), info.GetName(), frameworkState(f), strings.Join(frameworkRoles(info), ","),
					brief(f.GetAllocatedResources()), brief(f.GetOfferedResources()),
				})
			}
			out.table([]string{"FRAMEWORK", "NAME", "STATE", "ROLES", "ALLOCATED", "OFFERED"}, rows)
			if len(done) > 0 && !all {
				out.line("\n%d completed: muster frameworks --all", len(done))
			}
		})
	})
	c.Flags().BoolVarP(&all, "all", "a", false, "show completed frameworks too")
	c.AddCommand(frameworkShowCommand(), frameworkTeardownCommand())
	return c
}

func frameworkShowCommand() *cobra.Command {
	return callCommand("show FRAMEWORK", "Show a framework, named by its ID, the start or end of it, or its name", one("FRAMEWORK"),
		func(c *cobra.Command, nodes *client.Client, args []string) error {
			frameworks, err := nodes.Get(c.Context(), master.Call_GET_FRAMEWORKS)
			if err != nil {
				return err
			}
			f, err := findFramework(frameworks.GetGetFrameworks(), args[0], true)
			if err != nil {
				return err
			}
			tasks, err := nodes.Get(c.Context(), master.Call_GET_TASKS)
			if err != nil {
				return err
			}
			return showResponse(c, f, func(out *printer) { printFramework(out, f, tasks.GetGetTasks()) })
		})
}

func printFramework(out *printer, f *master.Response_GetFrameworks_Framework, tasks *master.Response_GetTasks) {
	info := f.GetFrameworkInfo()
	var capabilities []string
	for _, c := range info.GetCapabilities() {
		capabilities = append(capabilities, c.GetType().String())
	}
	rows := [][]string{
		{"id", info.GetId().GetValue()},
		{"name", info.GetName()},
		{"state", frameworkState(f)},
		{"roles", strings.Join(frameworkRoles(info), ", ")},
		{"user", info.GetUser()},
		{"principal", info.GetPrincipal()},
		{"failover timeout", (time.Duration(info.GetFailoverTimeout()*1000) * time.Millisecond).String()},
		{"capabilities", strings.Join(capabilities, ", ")},
		{"web UI", info.GetWebuiUrl()},
		{"allocated", brief(f.GetAllocatedResources())},
		{"offered", brief(f.GetOfferedResources())},
	}
	for _, t := range []struct {
		what string
		at   *mesos.TimeInfo
	}{{"registered", f.GetRegisteredTime()}, {"reregistered", f.GetReregisteredTime()}, {"ended", f.GetUnregisteredTime()}} {
		if t.at != nil {
			rows = append(rows, []string{t.what, time.Unix(0, t.at.GetNanoseconds()).Local().Format(time.DateTime)})
		}
	}
	rows = slices.DeleteFunc(rows, func(r []string) bool { return r[1] == "" })
	out.columns(rows)
	rows = nil
	for _, t := range slices.Concat(tasks.GetTasks(), tasks.GetUnreachableTasks()) {
		if t.GetFrameworkId().GetValue() == info.GetId().GetValue() {
			rows = append(rows, []string{t.GetTaskId().GetValue(), strings.TrimPrefix(t.GetState().String(), "TASK_"), brief(t.GetResources()), lastTime(t)})
		}
	}
	if len(rows) > 0 {
		out.line("")
		out.table([]string{"TASK", "STATE", "RESOURCES", "SINCE"}, rows)
	}
	rows = nil
	for _, o := range f.GetOffers() {
		rows = append(rows, []string{o.GetId().GetValue(), o.GetAllocationInfo().GetRole(), o.GetHostname(), brief(o.GetResources())})
	}
	if len(rows) > 0 {
		out.line("")
		out.table([]string{"OFFER", "ROLE", "HOST", "RESOURCES"}, rows)
	}
}

func frameworkTeardownCommand() *cobra.Command {
	return callCommand("teardown FRAMEWORK", "End a framework and all its tasks; its ID may not return", one("FRAMEWORK"),
		func(c *cobra.Command, nodes *client.Client, args []string) error {
			r, err := nodes.Get(c.Context(), master.Call_GET_FRAMEWORKS)
			if err != nil {
				return err
			}
			f, err := findFramework(r.GetGetFrameworks(), args[0], false)
			if err != nil {
				return err
			}
			id := f.GetFrameworkInfo().GetId()
			if _, err := nodes.Master(c.Context(), &master.Call{
				Type: master.Call_TEARDOWN.Enum(), Teardown: &master.Call_Teardown{FrameworkId: id},
			}); err != nil {
				return err
			}
			return show(c, map[string]string{"framework_id": id.GetValue()}, func(out *printer) {
				out.line("Framework %s (%s) is torn down.", id.GetValue(), f.GetFrameworkInfo().GetName())
			})
		})
}

// findFramework returns the one framework that is meant: by its ID, the start of
// it or its last number, or its name.
func findFramework(r *master.Response_GetFrameworks, text string, completed bool) (*master.Response_GetFrameworks_Framework, error) {
	list := r.GetFrameworks()
	if completed {
		list = slices.Concat(list, r.GetCompletedFrameworks())
	}
	var found []*master.Response_GetFrameworks_Framework
	for _, f := range list {
		id := f.GetFrameworkInfo().GetId().GetValue()
		if id == text {
			return f, nil
		}
		if text != "" && (strings.HasPrefix(id, text) || strings.HasSuffix(id, "-"+text)) || f.GetFrameworkInfo().GetName() == text {
			found = append(found, f)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("no framework is %q: `muster frameworks` lists them", text)
	case 1:
		return found[0], nil
	}
	var ids []string
	for _, f := range found {
		ids = append(ids, f.GetFrameworkInfo().GetId().GetValue())
	}
	return nil, fmt.Errorf("%q may be any of %d frameworks: name one of %s", text, len(ids), strings.Join(ids, ", "))
}

func frameworkState(f *master.Response_GetFrameworks_Framework) string {
	switch {
	case f.GetUnregisteredTime() != nil:
		return "completed"
	case f.GetRecovered():
		return "awaited"
	case !f.GetConnected():
		return "disconnected"
	case !f.GetActive():
		return "inactive"
	}
	return "connected"
}

func frameworkRoles(info *mesos.FrameworkInfo) []string {
	if len(info.GetRoles()) > 0 {
		return info.GetRoles()
	}
	return []string{info.GetRole()}
}

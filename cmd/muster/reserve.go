package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/resource"
)

// reservationView is what the commands that reserve say was done.
type reservationView struct {
	Agent   string             `json:"agent_id"`
	Role    string             `json:"role"`
	State   string             `json:"state"`
	Amounts map[string]float64 `json:"resources"`
}

// reservationCommand is a command that makes or ends reservations of one role on one node.
func reservationCommand(use, short, state, done string, call func(c *cobra.Command, h holding, role string, want []*mesos.Resource) (*master.Call, error)) *cobra.Command {
	return operateCommand(use+" NODE ROLE RESOURCES", short, words("NODE", "ROLE", "RESOURCES, as cpus:2,mem:512,disk:1024"),
		func(c *cobra.Command, nodes *client.Client, args []string) error {
			want, err := wanted(args[2])
			if err != nil {
				return err
			}
			h, err := holdingOf(c, nodes, args[0])
			if err != nil {
				return err
			}
			request, err := call(c, h, args[1], want)
			if err != nil {
				return err
			}
			if _, err := nodes.Master(c.Context(), request); err != nil {
				return err
			}
			return show(c, reservationView{h.id, args[1], state, scalars(want)}, func(out *printer) {
				out.line("%s: %s %s %s", h.label(), amounts(scalars(want), false), done, args[1])
			})
		})
}

func reserveCommand() *cobra.Command {
	c := reservationCommand("reserve", "Reserve some of a node to a role", "reserved", "reserved to",
		func(c *cobra.Command, h holding, role string, want []*mesos.Resource) (*master.Call, error) {
			free := h.unused().Unreserved()
			for _, r := range want {
				if has := float64(free.Scalar(r.GetName())) / resource.Milli; has < r.GetScalar().GetValue() {
					return nil, fmt.Errorf("%s has %s:%g unreserved and not in use, less than %g: `muster resources %s` shows who has the rest",
						h.label(), r.GetName(), has, r.GetScalar().GetValue(), h.label())
				}
			}
			principal, err := flagOrEnv(c, "principal", "MUSTER_PRINCIPAL", "")
			if err != nil {
				return nil, err
			}
			reservation := &mesos.Resource_ReservationInfo{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: proto.String(role)}
			if principal != "" {
				reservation.Principal = proto.String(principal)
			}
			for _, r := range want {
				r.Reservations = []*mesos.Resource_ReservationInfo{reservation}
			}
			return &master.Call{
				Type:             master.Call_RESERVE_RESOURCES.Enum(),
				ReserveResources: &master.Call_ReserveResources{AgentId: h.agentID(), Resources: want},
			}, nil
		})
	c.Long = "Only frameworks of the role, or of roles below it, are offered what is reserved. It is taken\n" +
		"from what is not in use, and from offers. The reservation carries the principal that calls."
	return c
}

func unreserveCommand() *cobra.Command {
	c := reservationCommand("unreserve", "Give back some of what is reserved to a role on a node", "unreserved", "taken back from",
		func(_ *cobra.Command, h holding, role string, want []*mesos.Resource) (*master.Call, error) {
			var all []*mesos.Resource
			for _, r := range want {
				found, err := reservations(h, role, r)
				if err != nil {
					return nil, err
				}
				all = append(all, found...)
			}
			return &master.Call{
				Type:               master.Call_UNRESERVE_RESOURCES.Enum(),
				UnreserveResources: &master.Call_UnreserveResources{AgentId: h.agentID(), Resources: all},
			}, nil
		})
	c.Long = "Reservations that frameworks made count too; those that the node's settings make (static)\n" +
		"and those that tasks or volumes use do not."
	return c
}

// reservations finds as much as want in the reservations of a role, whoever made them.
func reservations(h holding, role string, want *mesos.Resource) ([]*mesos.Resource, error) {
	var out []*mesos.Resource
	left := want.GetScalar().GetValue()
	for _, r := range h.reserved(role, want.GetName()) {
		if left > 0 && lastReservation(r).GetType() == mesos.Resource_ReservationInfo_DYNAMIC {
			take := min(left, r.GetScalar().GetValue())
			left -= take
			out = append(out, sized(r, take))
		}
	}
	if left > 0 {
		return nil, fmt.Errorf("%s has %s:%g reserved to %s and not in use, less than %g: `muster resources %s` shows its reservations; "+
			"end the tasks that use them, or `muster volume destroy`",
			h.label(), want.GetName(), round(want.GetScalar().GetValue()-left), role, want.GetScalar().GetValue(), h.label())
	}
	return out, nil
}

// wanted reads "cpus:2,mem:512" as unreserved resources.
func wanted(text string) ([]*mesos.Resource, error) {
	by, err := parseAmounts(text)
	if err != nil {
		return nil, fmt.Errorf("RESOURCES: expecting amounts as cpus:2,mem:512,disk:1024: %w", err)
	}
	var out []*mesos.Resource
	for _, name := range slices.Sorted(maps.Keys(by)) {
		if by[name].GetValue() <= 0 {
			return nil, fmt.Errorf("RESOURCES: %s:%g is not more than nothing", name, by[name].GetValue())
		}
		out = append(out, &mesos.Resource{Name: proto.String(name), Type: mesos.Value_SCALAR.Enum(), Scalar: by[name]})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("RESOURCES: %q names none: expecting some as cpus:2,mem:512,disk:1024", text)
	}
	return out, nil
}

func sized(r *mesos.Resource, amount float64) *mesos.Resource {
	c := proto.CloneOf(r)
	c.Scalar = &mesos.Value_Scalar{Value: proto.Float64(amount)}
	return c
}

func (t target) agentID() *mesos.AgentID { return &mesos.AgentID{Value: proto.String(t.id)} }

// words wants one argument for each name and says which.
func words(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return fmt.Errorf("expecting %s, got %d arguments: see `%s --help`", strings.Join(names, " "), len(args), c.CommandPath())
		}
		return nil
	}
}

package main

import (
	"cmp"
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

// holding is what an agent has in amounts: no ports. What is offered is not used: an operator's call
// takes offers back.
type holding struct {
	target
	total, used resource.Set
}

func (h holding) unused() resource.Set { return h.total.Sub(h.used) }

// label is how the node is best named in a message.
func (h holding) label() string { return cmp.Or(h.node, h.hostname, h.id) }

// reserved returns what is unused of one resource and reserved to a role, by kind of
// reservation; no volumes, and of disks only the agent's own.
func (h holding) reserved(role, name string) []*mesos.Resource {
	return slices.DeleteFunc(h.unused().ReservedTo(role).Named(name).Proto(), func(r *mesos.Resource) bool { return r.Disk != nil })
}

// holdings returns what the agents have, or the one that text names.
func holdings(c *cobra.Command, nodes *client.Client, text string) ([]holding, error) {
	list, _, err := targets(c.Context(), nodes)
	if err != nil {
		return nil, err
	}
	if text != "" {
		t, err := find(c.Context(), nodes, text)
		if err != nil {
			return nil, err
		}
		list = []target{t}
	}
	r, err := nodes.Get(c.Context(), master.Call_GET_AGENTS)
	if err != nil {
		return nil, err
	}
	agents := map[string]*master.Response_GetAgents_Agent{}
	for _, a := range r.GetGetAgents().GetAgents() {
		agents[a.GetAgentInfo().GetId().GetValue()] = a
	}
	var out []holding
	for _, t := range list {
		a := agents[t.id]
		if a == nil {
			continue // its agent is not registered
		}
		h := holding{target: t}
		if h.total, err = resource.FromProto(a.GetTotalResources()); err != nil {
			return nil, fmt.Errorf("agent %s: total resources: %w", t.id, err)
		}
		if h.used, err = resource.FromProto(a.GetAllocatedResources()); err != nil {
			return nil, fmt.Errorf("agent %s: allocated resources: %w", t.id, err)
		}
		h.total, h.used = h.total.NonRevocable().Scalars(), h.used.NonRevocable().Scalars().Unallocate()
		out = append(out, h)
	}
	return out, nil
}

// holdingOf returns what the agent has that text names.
func holdingOf(c *cobra.Command, nodes *client.Client, text string) (holding, error) {
	list, err := holdings(c, nodes, text)
	switch {
	case err != nil:
		return holding{}, err
	case len(list) == 0:
		return holding{}, fmt.Errorf("the agent of %s is not registered: try again when it is; see `muster nodes`", text)
	}
	return list[0], nil
}

// resourcesView is a holding for people and programs; amounts of memory and disk are in MB.
type resourcesView struct {
	Agent    string             `json:"agent_id"`
	Hostname string             `json:"hostname"`
	Node     string             `json:"node,omitempty"`
	Total    map[string]float64 `json:"total"`
	Free     map[string]float64 `json:"unreserved_free"`
	Reserved []reservedView     `json:"reserved"`
	Volumes  []volumeView       `json:"volumes"`
}

// reservedView is what is reserved alike, its volumes included.
type reservedView struct {
	Role      string             `json:"role"`
	Principal string             `json:"principal,omitempty"`
	Labels    map[string]string  `json:"labels,omitempty"`
	Static    bool               `json:"static"`
	Amounts   map[string]float64 `json:"resources"`
	Free      map[string]float64 `json:"free"` // neither used nor a volume
}

type volumeView struct {
	ID     string  `json:"id"`
	Role   string  `json:"role"`
	SizeMB float64 `json:"size_mb"`
	Path   string  `json:"container_path"`
	Disk   string  `json:"disk,omitempty"` // what it lies on, if not on the agent's own
	Shared bool    `json:"shared"`
	InUse  bool    `json:"in_use"`
}

func (h holding) view() resourcesView {
	unused := h.unused()
	v := resourcesView{
		Agent: h.id, Hostname: h.hostname, Node: h.node,
		Total: scalars(h.total.Proto()), Free: scalars(unused.Unreserved().Proto()),
		Reserved: reservedViews(h.total, unused), Volumes: []volumeView{},
	}
	for _, r := range h.total.PersistentVolumes().Proto() {
		d := r.GetDisk()
		v.Volumes = append(v.Volumes, volumeView{
			ID: d.GetPersistence().GetId(), Role: lastReservation(r).GetRole(), SizeMB: r.GetScalar().GetValue(), Path: d.GetVolume().GetContainerPath(),
			Disk: cmp.Or(d.GetSource().GetPath().GetRoot(), d.GetSource().GetMount().GetRoot()), Shared: r.Shared != nil, InUse: h.uses(r),
		})
	}
	return v
}

// uses reports whether somebody uses a volume.
func (h holding) uses(volume *mesos.Resource) bool {
	one, err := resource.FromProto([]*mesos.Resource{volume})
	return err == nil && h.used.Contains(one)
}

func reservedViews(total, unused resource.Set) []reservedView {
	out := []reservedView{}
	var stacks [][]*mesos.Resource_ReservationInfo
	of := func(r *mesos.Resource) *reservedView {
		for i, s := range stacks {
			if slices.EqualFunc(s, r.GetReservations(), func(a, b *mesos.Resource_ReservationInfo) bool { return proto.Equal(a, b) }) {
				return &out[i]
			}
		}
		last := lastReservation(r)
		v := reservedView{
			Role: last.GetRole(), Principal: last.GetPrincipal(), Static: last.GetType() == mesos.Resource_ReservationInfo_STATIC,
			Amounts: map[string]float64{}, Free: map[string]float64{},
		}
		for _, l := range last.GetLabels().GetLabels() {
			if v.Labels == nil {
				v.Labels = map[string]string{}
			}
			v.Labels[l.GetKey()] = l.GetValue()
		}
		stacks, out = append(stacks, r.GetReservations()), append(out, v)
		return &out[len(out)-1]
	}
	for _, r := range total.Reserved().Proto() {
		of(r).Amounts[r.GetName()] += r.GetScalar().GetValue()
	}
	for _, r := range unused.Reserved().Proto() {
		if r.GetDisk().GetPersistence() == nil {
			of(r).Free[r.GetName()] += r.GetScalar().GetValue()
		}
	}
	return out
}

// lastReservation is the one that says who may use r; nil when nobody alone may.
func lastReservation(r *mesos.Resource) *mesos.Resource_ReservationInfo {
	if n := len(r.GetReservations()); n > 0 {
		return r.GetReservations()[n-1]
	}
	return nil
}

func resourcesCommand() *cobra.Command {
	c := callCommand("resources [NODE]", "Show what nodes have, what is reserved to whom, and the volumes", cobra.MaximumNArgs(1),
		func(c *cobra.Command, nodes *client.Client, args []string) error {
			var list []holding
			var err error
			if len(args) == 0 {
				list, err = holdings(c, nodes, "")
			} else {
				list = make([]holding, 1)
				list[0], err = holdingOf(c, nodes, args[0])
			}
			if err != nil {
				return err
			}
			views := []resourcesView{}
			for _, h := range list {
				views = append(views, h.view())
			}
			return show(c, views, func(out *printer) {
				var rows [][]string
				for i, v := range views {
					rows = append(rows, v.rows(list[i].label())...)
				}
				out.table([]string{"NODE", "WHAT", "ROLE", "AMOUNT", "FREE", "DETAILS"}, rows)
			})
		})
	c.GroupID = "ask"
	return c
}

func (v resourcesView) rows(name string) [][]string {
	rows := [][]string{{name, "total", "-", amounts(v.Total, false), amounts(v.Free, false) + " unreserved", "agent " + v.Agent}}
	for _, r := range v.Reserved {
		var details []string
		if r.Static {
			details = append(details, "static")
		}
		if r.Principal != "" {
			details = append(details, "by "+r.Principal)
		}
		for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
			details = append(details, key+"="+r.Labels[key])
		}
		rows = append(rows, []string{name, "reserved", r.Role, amounts(r.Amounts, false), amounts(r.Free, false), strings.Join(details, " ")})
	}
	for _, d := range v.Volumes {
		free, details := "yes", "at "+d.Path
		if d.InUse {
			free = "in use"
		}
		if d.Shared {
			details += ", shared"
		}
		if d.Disk != "" {
			details += ", on " + d.Disk
		}
		rows = append(rows, []string{name, "volume " + d.ID, d.Role, fmt.Sprintf("disk:%g", d.SizeMB), free, details})
	}
	return rows
}

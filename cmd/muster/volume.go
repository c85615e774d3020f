package main

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/resource"
)

func volumeCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "volume", Short: "Make, resize and destroy persistent volumes", GroupID: "operate",
		Long: `A volume is made of disk that is reserved to a role, on one node, and is offered
to the frameworks of that role until it is destroyed. See ` + "`muster resources`" + ` for those there are.`,
	}
	commands := []*cobra.Command{volumeCreateCommand(), volumeDestroyCommand(), volumeResizeCommand()}
	for _, sub := range commands {
		sub.GroupID = ""
	}
	c.AddCommand(commands...)
	return c
}

// volumeDone is what commands about a volume show.
type volumeDone struct {
	Agent  string  `json:"agent_id"`
	ID     string  `json:"id"`
	Role   string  `json:"role"`
	SizeMB float64 `json:"size_mb"`
	State  string  `json:"state"`
}

// changeVolume sends a call about a volume and shows what is so then.
func changeVolume(c *cobra.Command, nodes *client.Client, h holding, volume *mesos.Resource, state string, call *master.Call) error {
	if _, err := nodes.Master(c.Context(), call); err != nil {
		return err
	}
	done := volumeDone{h.id, volume.GetDisk().GetPersistence().GetId(), lastReservation(volume).GetRole(), volume.GetScalar().GetValue(), state}
	return show(c, done, func(out *printer) {
		out.line("%s: volume %s of %s, %g MB, %s", h.label(), done.ID, done.Role, done.SizeMB, done.State)
	})
}

func volumeCreateCommand() *cobra.Command {
	var path string
	c := operateCommand("create NODE ROLE ID SIZE_MB", "Make a volume of disk that is reserved to a role", words("NODE", "ROLE", "ID", "SIZE_MB"),
		func(c *cobra.Command, nodes *client.Client, args []string) error {
			role, id := args[1], args[2]
			size, err := megabytes(args[3])
			if err != nil {
				return err
			}
			h, err := holdingOf(c, nodes, args[0])
			if err != nil {
				return err
			}
			if _, err := volumeOf(h, id, role); err == nil {
				return fmt.Errorf("%s has a volume %s of %s already: give another ID, or `muster volume resize %s %s %g --role %s`", h.label(), id, role, h.label(), id, size, role)
			}
			volume, err := reservedDisk(h, role, size)
			if err != nil {
				return err
			}
			principal, err := flagOrEnv(c, "principal", "MUSTER_PRINCIPAL", "")
			if err != nil {
				return err
			}
			volume.Disk = &mesos.Resource_DiskInfo{
				Persistence: &mesos.Resource_DiskInfo_Persistence{Id: proto.String(id)},
				Volume:      &mesos.Volume{ContainerPath: proto.String(cmp.Or(path, id)), Mode: mesos.Volume_RW.Enum()},
			}
			if principal != "" {
				volume.Disk.Persistence.Principal = proto.String(principal)
			}
			return changeVolume(c, nodes, h, volume, "created", &master.Call{
				Type:          master.Call_CREATE_VOLUMES.Enum(),
				CreateVolumes: &master.Call_CreateVolumes{AgentId: h.agentID(), Volumes: []*mesos.Resource{volume}},
			})
		})
	c.Flags().StringVar(&path, "path", "", "where a task finds it, in its sandbox or absolute (default: ID)")
	return c
}

// reservedDisk returns so much of the disk that is reserved to a role, all by one reservation.
func reservedDisk(h holding, role string, size float64) (*mesos.Resource, error) {
	most := 0.0
	for _, r := range h.reserved(role, "disk") {
		if most = max(most, r.GetScalar().GetValue()); most >= size {
			return sized(r, size), nil
		}
	}
	return nil, fmt.Errorf("%s has %g MB of disk reserved to %s that is free, less than %g: `muster reserve %s %s disk:%g` reserves more",
		h.label(), most, role, size, h.label(), role, size-most)
}

func volumeDestroyCommand() *cobra.Command {
	return oneVolumeCommand("destroy NODE ID", "Destroy a volume and all data in it; its disk stays reserved", words("NODE", "ID"),
		func(c *cobra.Command, nodes *client.Client, h holding, volume *mesos.Resource, _ []string) error {
			if h.uses(volume) {
				return fmt.Errorf("volume %s of %s is in use: end the tasks that use it first; see `muster tasks`", volume.GetDisk().GetPersistence().GetId(), h.label())
			}
			return changeVolume(c, nodes, h, volume, "destroyed", &master.Call{
				Type:           master.Call_DESTROY_VOLUMES.Enum(),
				DestroyVolumes: &master.Call_DestroyVolumes{AgentId: h.agentID(), Volumes: []*mesos.Resource{volume}},
			})
		})
}

func volumeResizeCommand() *cobra.Command {
	return oneVolumeCommand("resize NODE ID SIZE_MB", "Grow or shrink a volume, out of and into what is reserved like it", words("NODE", "ID", "SIZE_MB"),
		func(c *cobra.Command, nodes *client.Client, h holding, volume *mesos.Resource, args []string) error {
			size, err := megabytes(args[2])
			if err != nil {
				return err
			}
			call, err := resize(h, volume, size)
			if err != nil {
				return err
			}
			return changeVolume(c, nodes, h, sized(volume, size), "resized", call)
		})
}

func resize(h holding, volume *mesos.Resource, size float64) (*master.Call, error) {
	id, has, role := volume.GetDisk().GetPersistence().GetId(), volume.GetScalar().GetValue(), lastReservation(volume).GetRole()
	switch {
	case size == has:
		return nil, fmt.Errorf("volume %s of %s has %g MB already", id, h.label(), has)
	case h.uses(volume):
		return nil, fmt.Errorf("volume %s of %s is in use: end the tasks that use it first; see `muster tasks`", id, h.label())
	case size < has:
		return &master.Call{Type: master.Call_SHRINK_VOLUME.Enum(), ShrinkVolume: &master.Call_ShrinkVolume{
			AgentId: h.agentID(), Volume: volume, Subtract: &mesos.Value_Scalar{Value: proto.Float64(has - size)},
		}}, nil
	}
	addition := sized(volume, size-has)
	addition.Disk, addition.Shared = nil, nil
	if source := volume.GetDisk().GetSource(); source != nil {
		addition.Disk = &mesos.Resource_DiskInfo{Source: source}
	}
	need, err := resource.FromProto([]*mesos.Resource{addition})
	if err != nil {
		return nil, err
	}
	if !h.unused().Contains(need) {
		return nil, fmt.Errorf("%s has less than %g MB of free disk reserved to %s like volume %s: `muster reserve %s %s disk:%g`, as the same principal, reserves more",
			h.label(), size-has, role, id, h.label(), role, size-has)
	}
	return &master.Call{Type: master.Call_GROW_VOLUME.Enum(), GrowVolume: &master.Call_GrowVolume{
		AgentId: h.agentID(), Volume: volume, Addition: addition,
	}}, nil
}

// oneVolumeCommand is a command about the volume that its first arguments, NODE and ID, name.
func oneVolumeCommand(use, short string, args cobra.PositionalArgs, do func(c *cobra.Command, nodes *client.Client, h holding, volume *mesos.Resource, args []string) error) *cobra.Command {
	var role string
	c := operateCommand(use, short, args, func(c *cobra.Command, nodes *client.Client, args []string) error {
		h, err := holdingOf(c, nodes, args[0])
		if err != nil {
			return err
		}
		volume, err := volumeOf(h, args[1], role)
		if err != nil {
			return err
		}
		return do(c, nodes, h, volume, args)
	})
	c.Flags().StringVar(&role, "role", "", "whose volume, where several roles have one of that ID")
	return c
}

func volumeOf(h holding, id, role string) (*mesos.Resource, error) {
	var found *mesos.Resource
	for _, r := range h.total.PersistentVolumes().Proto() {
		of := lastReservation(r).GetRole()
		switch {
		case r.GetDisk().GetPersistence().GetId() != id || role != "" && role != of:
		case found != nil:
			return nil, fmt.Errorf("%s has a volume %s of %s and one of %s: say which with --role", h.label(), id, lastReservation(found).GetRole(), of)
		default:
			found = r
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s has no volume %q: see `muster resources %s`", h.label(), id, h.label())
	}
	return found, nil
}

func megabytes(text string) (float64, error) {
	size, err := strconv.ParseUint(text, 10, 32)
	if err != nil || size == 0 {
		return 0, fmt.Errorf("SIZE_MB: %q is not a whole number of megabytes above 0", text)
	}
	return float64(size), nil
}

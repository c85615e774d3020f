package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/resource"
)

// roleView is a role as /roles shows it.
type roleView struct {
	Name       string             `json:"name"`
	Weight     float64            `json:"weight"`
	Quota      quotaView          `json:"quota"`
	Allocated  map[string]float64 `json:"allocated"`
	Offered    map[string]float64 `json:"offered"`
	Reserved   map[string]float64 `json:"reserved"`
	Frameworks []string           `json:"frameworks"`
}

type quotaView struct {
	Role      string             `json:"role"`
	Guarantee map[string]float64 `json:"guarantee"`
	Limit     map[string]float64 `json:"limit"`
	Consumed  map[string]float64 `json:"consumed"`
}

func readRoles(c *cobra.Command, nodes *client.Client) ([]roleView, error) {
	var view struct {
		Roles []roleView `json:"roles"`
	}
	return view.Roles, nodes.GetJSON(c.Context(), "/roles", &view)
}

func rolesCommand() *cobra.Command {
	return askCommand("roles", "List the roles, what they may have and what they have", func(c *cobra.Command, nodes *client.Client) error {
		roles, err := readRoles(c, nodes)
		if err != nil {
			return err
		}
		return show(c, roles, func(out *printer) {
			var rows [][]string
			for _, r := range roles {
				rows = append(rows, []string{
					r.Name, strconv.FormatFloat(r.Weight, 'g', -1, 64), amounts(r.Quota.Guarantee, true), amounts(r.Quota.Limit, true),
					amounts(r.Quota.Consumed, false), amounts(r.Offered, false), amounts(r.Reserved, false), strconv.Itoa(len(r.Frameworks)),
				})
			}
			out.table([]string{"ROLE", "WEIGHT", "GUARANTEE", "LIMIT", "CONSUMED", "OFFERED", "RESERVED", "FRAMEWORKS"}, rows)
		})
	})
}

// amounts writes quantities on one line; "-" is none. A limit of 0 is one.
func amounts(by map[string]float64, zeros bool) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		if by[name] != 0 || zeros {
			parts = append(parts, fmt.Sprintf("%s:%g", name, by[name]))
		}
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, " ")
}

func quotaCommand() *cobra.Command {
	c := &cobra.Command{Use: "quota", Short: "Show and set what roles are guaranteed and may have at most", GroupID: "use"}
	c.AddCommand(quotaShowCommand(), quotaSetCommand(), quotaRemoveCommand())
	return c
}

func quotaShowCommand() *cobra.Command {
	return callCommand("show [ROLE]", "Show the quotas, or that of one role", cobra.MaximumNArgs(1),
		func(c *cobra.Command, nodes *client.Client, args []string) error {
			roles, err := readRoles(c, nodes)
			if err != nil {
				return err
			}
			quotas := []quotaView{}
			for _, r := range roles {
				if len(r.Quota.Guarantee)+len(r.Quota.Limit) > 0 && (len(args) == 0 || args[0] == r.Name) {
					quotas = append(quotas, r.Quota)
				}
			}
			if len(args) > 0 && len(quotas) == 0 {
				return fmt.Errorf("role %q has no quota: `muster quota set %s --limit cpus:4` sets one", args[0], args[0])
			}
			return show(c, quotas, func(out *printer) {
				var rows [][]string
				for _, q := range quotas {
					rows = append(rows, []string{q.Role, amounts(q.Guarantee, true), amounts(q.Limit, true), amounts(q.Consumed, false)})
				}
				out.table([]string{"ROLE", "GUARANTEE", "LIMIT", "CONSUMED"}, rows)
			})
		})
}

func quotaSetCommand() *cobra.Command {
	var guarantee, limit string
	var force bool
	c := callCommand("set ROLE", "Set the quota of a role, for all below it together", one("ROLE"),
		func(c *cobra.Command, nodes *client.Client, args []string) error {
			if guarantee == "" && limit == "" {
				return fmt.Errorf("give --guarantee, --limit or both, as cpus:4,mem:4096; `muster quota remove %s` removes the quota", args[0])
			}
			config := &quota.QuotaConfig{Role: proto.String(args[0])}
			var err error
			if config.Guarantees, err = parseAmounts(guarantee); err != nil {
				return fmt.Errorf("--guarantee: %w", err)
			}
			if config.Limits, err = parseAmounts(limit); err != nil {
				return fmt.Errorf("--limit: %w", err)
			}
			if _, err := nodes.Master(c.Context(), &master.Call{
				Type:        master.Call_UPDATE_QUOTA.Enum(),
				UpdateQuota: &master.Call_UpdateQuota{Force: proto.Bool(force), QuotaConfigs: []*quota.QuotaConfig{config}},
			}); err != nil {
				return err
			}
			return showResponse(c, config, func(out *printer) { out.line("The quota of %s is set.", args[0]) })
		})
	c.Flags().StringVar(&guarantee, "guarantee", "", "what is kept for the role, as cpus:4,mem:4096")
	c.Flags().StringVar(&limit, "limit", "", "what the role may have at most, as cpus:4,mem:4096")
	c.Flags().BoolVar(&force, "force", false, "even if the cluster has less, or the role has more")
	return c
}

// parseAmounts reads "cpus:4,mem:4096"; "" is nothing.
func parseAmounts(text string) (map[string]*mesos.Value_Scalar, error) {
	if text == "" {
		return nil, nil
	}
	limits, err := resource.ParseLimits(strings.ReplaceAll(text, ",", ";"))
	if err != nil {
		return nil, err
	}
	out := map[string]*mesos.Value_Scalar{}
	for name, milli := range limits.All {
		out[name] = &mesos.Value_Scalar{Value: proto.Float64(float64(milli) / resource.Milli)}
	}
	return out, nil
}

func quotaRemoveCommand() *cobra.Command {
	return callCommand("remove ROLE", "Remove the quota of a role", one("ROLE"),
		func(c *cobra.Command, nodes *client.Client, args []string) error {
			if _, err := nodes.Master(c.Context(), &master.Call{
				Type: master.Call_REMOVE_QUOTA.Enum(), RemoveQuota: &master.Call_RemoveQuota{Role: proto.String(args[0])},
			}); err != nil {
				return err
			}
			return show(c, map[string]string{"role": args[0]}, func(out *printer) { out.line("The quota of %s is removed.", args[0]) })
		})
}

func weightCommand() *cobra.Command {
	c := &cobra.Command{Use: "weight", Short: "Set by how much more than others roles are offered", GroupID: "use"}
	c.AddCommand(callCommand("set ROLE WEIGHT", "Set the weight of a role: its fair share is that of so many roles", weightArgs,
		func(c *cobra.Command, nodes *client.Client, args []string) error {
			weight, err := strconv.ParseFloat(args[1], 64)
			if err != nil {
				return fmt.Errorf("weight: %q is not a number", args[1])
			}
			info := &mesos.WeightInfo{Role: proto.String(args[0]), Weight: proto.Float64(weight)}
			if _, err := nodes.Master(c.Context(), &master.Call{
				Type: master.Call_UPDATE_WEIGHTS.Enum(), UpdateWeights: &master.Call_UpdateWeights{WeightInfos: []*mesos.WeightInfo{info}},
			}); err != nil {
				return err
			}
			return showResponse(c, info, func(out *printer) { out.line("The weight of %s is %g.", args[0], weight) })
		}))
	return c
}

func weightArgs(c *cobra.Command, args []string) error {
	if len(args) != 2 {
		return errors.New("expecting a ROLE and its WEIGHT: see `" + c.CommandPath() + " --help`")
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"muster/node"
)

const configFile = "/etc/muster/muster.yaml"

// setting is one of node.Config's; its flag is the key with dashes.
type setting struct {
	key  string
	zero any // of the kind of value that its flag takes
	help string
}

var settings = []setting{
	{"dir", "", "directory of all that the node keeps (default /var/lib/muster)"},
	{"name", "", "this node's name (default: the host's name)"},
	{"hostname", "", "name that offers tell (default: the host's name)"},
	{"listen", "", "IP address of the mesh (default 0.0.0.0)"},
	{"mesh_port", 0, "TCP and UDP port of the mesh (default 5055)"},
	{"no_mdns", false, "do not look for members on the local network"},
	{"api", "", "ip:port of the cluster's API (default 127.0.0.1:5050)"},
	{"agent_api", "", "ip:port of this node's agent API (default 127.0.0.1:5051)"},
	{"secrets", "", "file of principals and secrets that may call the API, a pair a line"},
	{"resources", "", `what the node offers, as "cpus:4;mem:8192"; what is not named is detected`},
	{"attributes", "", `attributes of the node, as "rack:a;zone:west"`},
	{"region", "", "region of the node; with init: the cluster's home region too"},
	{"zone", "", "zone of the node: voters are spread over zones"},
	{"voters", 0, "how many nodes vote, once there are enough; odd (default 3)"},
	{"heartbeat", time.Duration(0), "silence after which the quorum replaces its leader (default 500ms)"},
	{"offer_timeout", time.Duration(0), "how long a framework may hold an offer (default 5m)"},
	{"agent_ping_timeout", time.Duration(0), "how often an agent is to be heard of (default 15s)"},
	{"max_agent_ping_timeouts", 0, "so many of them missed, and an agent is unreachable (default 5)"},
	{"agent_reregister_timeout", time.Duration(0), "how long an agent may be away when its link broke or the leader changed (default 10m)"},
	{"agent_removal_rate_limit", "", `of agents given up because they are silent or away, as "1/10m" (default: no limit)`},
	{"registry_gc_interval", time.Duration(0), "how often agents that are unreachable or gone are forgotten (default 15m)"},
	{"registry_max_agent_age", time.Duration(0), "after how long they are forgotten (default 336h)"},
	{"registry_max_agent_count", 0, "how many of them are remembered (default 102400)"},
	{"max_completed_frameworks", 0, "frameworks remembered after they ended; negative: none (default 50)"},
	{"max_completed_tasks_per_framework", 0, "tasks of each framework remembered after they ended; negative: none (default 1000)"},
	{"max_unreachable_tasks_per_framework", 0, "tasks of each framework remembered while their agents are unreachable; negative: none (default 1000)"},
	{"roles", "", `roles to which frameworks may subscribe, as "web,db", besides * (default: any)`},
	{"no_root_submissions", false, "refuse frameworks whose user is root"},
	{"home_region", "", "agents of other regions are for region-aware frameworks only (default: the region of the node that founded the cluster)"},
	{"framework_qps", 0, "calls a second that each framework may make; negative: any number (default 5000)"},
	{"framework_capacity", 0, "how many of them at once, after a pause (default: four seconds' worth)"},
	{"rate_limits", "", `calls of all frameworks of a principal, as Mesos's JSON: {"limits":[{"principal":"p","qps":10,"capacity":100}]}`},
	{"weights", "", `weights of roles, as "web=2,db=0.5"; those that are set later stay`},
	{"min_allocatable_resources", "", `the least that is offered, alternatives between "|" (default "cpus:0.01|mem:32")`},
	{"allocation_interval", time.Duration(0), "how often all agents are offered, besides the events that cause an offer (default 1s)"},
	{"fair_sharing_excluded_resource_names", "", `scalars that no share counts, as "gpus,licenses" (default: none)`},
	{"offer_gpus_to_all", false, "offer agents with GPUs to frameworks without the capability GPU_RESOURCES too"},
	{"allocator_recovery_timeout", time.Duration(0), "after a leader change with quotas: how long offers wait for agents to be back (default 10m)"},
	{"allocator_agent_recovery_factor", 0.0, "for which part of them (default 0.8)"},
	{"split_offers", "", `the least part of a large agent that is split among frameworks without anything, as "cpus:1;mem:1024" (default: none is split)`},
	{"offer_constraints_re2_max_mem", 0, "bytes that a regular expression in offer constraints may take (default 4096)"},
	{"offer_constraints_re2_max_program_size", 0, "instructions that it may have (default 100)"},
	{"record", "", "directory to keep every decision in while this node leads, for `muster replay` (default: not kept)"},
	{"record_effects", false, "keep what was decided too, not only its hash: replay then shows both"},
	{"record_limit", 0, "MB of all recordings together; the oldest go first (default 1024)"},
	{"oversubscription", "", "lend what tasks do not use as revocable resources: on or off (default off)"},
	{"oversubscription_estimator", "", "who predicts what tasks will use at most: noop lends nothing (default learned)"},
	{"oversubscription_target", 0., "share of predictions that may be exceeded (default 0.01)"},
	{"oversubscription_horizon", time.Duration(0), "how far ahead is predicted (default 1h)"},
	{"oversubscription_step", time.Duration(0), "prediction reckons in means of this long (default 5m)"},
	{"oversubscription_warm", time.Duration(0), "a task known for less lends nothing (default 1h)"},
	{"oversubscription_margin", 0., "share of the node that is never lent (default 0.05)"},
	{"oversubscription_mem_share", 0., "of memory that stays free, so much is lent (default 0.5)"},
	{"oversubscribed_resources_interval", time.Duration(0), "what is lent grows at most so often (default 15s)"},
	{"oversubscription_system_cpus", "", "CPUs that what is no task keeps busy, and tasks cannot have; 0 where it yields to them (default: as measured)"},
	{"qos", "", "hold revocable tasks back where others suffer: on or off (default on)"},
	{"qos_correction_interval_min", time.Duration(0), "time between evictions (default 20s)"},
	{"qos_memory_high", 0., "share of memory in use above which revocable tasks are evicted (default 0.7)"},
	{"log_file", "", "file to log to (default: standard error)"},
}

// addSettings adds the flags of some settings, and the one that names the file.
func addSettings(c *cobra.Command, keys ...string) {
	c.Flags().String("config", "", "configuration file (default "+configFile+", if there is one)")
	_ = c.MarkFlagFilename("config") // the flag exists
	for _, s := range settings {
		if !slices.Contains(keys, s.key) {
			continue
		}
		name := flagOf(s.key)
		switch s.zero.(type) {
		case bool:
			c.Flags().Bool(name, false, s.help)
		case int:
			c.Flags().Int(name, 0, s.help)
		case float64:
			c.Flags().Float64(name, 0, s.help)
		case time.Duration:
			c.Flags().Duration(name, 0, s.help)
		default:
			c.Flags().String(name, "", s.help)
		}
		switch s.key { // what the shell completes
		case "dir", "record":
			_ = c.MarkFlagDirname(name) // the flag exists
		case "secrets", "log_file":
			_ = c.MarkFlagFilename(name) // the flag exists
		}
	}
}

func flagOf(key string) string { return strings.ReplaceAll(key, "_", "-") }

func allSettings() []string {
	var keys []string
	for _, s := range settings {
		keys = append(keys, s.key)
	}
	return keys
}

// readConfig merges the configuration file, MUSTER_… variables and flags, the
// latter winning.
func readConfig(c *cobra.Command) (node.Config, error) {
	v := viper.New()
	v.SetEnvPrefix("muster")
	for _, s := range settings {
		if err := v.BindEnv(s.key); err != nil {
			return node.Config{}, err
		}
		if f := c.Flags().Lookup(flagOf(s.key)); f != nil && f.Changed {
			v.Set(s.key, f.Value.String())
		}
	}
	file, err := c.Flags().GetString("config")
	if err != nil {
		return node.Config{}, err
	}
	v.SetConfigFile(configFile)
	if file != "" {
		v.SetConfigFile(file)
	}
	if err := v.ReadInConfig(); err != nil && (file != "" || !errors.Is(err, fs.ErrNotExist)) {
		return node.Config{}, fmt.Errorf("configuration file: %w", err)
	}
	for _, key := range v.AllKeys() {
		if !slices.Contains(allSettings(), key) {
			return node.Config{}, fmt.Errorf("%s: unknown setting %q; `muster daemon --help` lists them, with _ for -", v.ConfigFileUsed(), key)
		}
	}
	var cfg node.Config
	if err := v.UnmarshalExact(&cfg); err != nil {
		return node.Config{}, fmt.Errorf("%w: %w", node.ErrConfig, err)
	}
	cfg.Version = version
	return cfg.Defaults()
}

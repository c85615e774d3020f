package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"muster/node"
)

const configFile = "/etc/muster/muster.yaml"

// settings are node.Config's keys with what their flags say. A flag is the key
// with dashes.
var settings = []struct{ key, help string }{
	{"dir", "directory of all that the node keeps (default /var/lib/muster)"},
	{"name", "this node's name (default: the host's name)"},
	{"hostname", "name that offers tell (default: the host's name)"},
	{"listen", "IP address of the mesh (default 0.0.0.0)"},
	{"mesh_port", "TCP and UDP port of the mesh (default 5055)"},
	{"no_mdns", "do not look for members on the local network (true or false)"},
	{"api", "ip:port of the cluster's API (default 127.0.0.1:5050)"},
	{"agent_api", "ip:port of this node's agent API (default 127.0.0.1:5051)"},
	{"secrets", "file of principals and secrets that may call the API, a pair a line"},
	{"resources", `what the node offers, as "cpus:4;mem:8192"; what is not named is detected`},
	{"attributes", `attributes of the node, as "rack:a;zone:west"`},
	{"region", "region of the node"},
	{"zone", "zone of the node: voters are spread over zones"},
	{"voters", "how many nodes vote, once there are enough; odd (default 3)"},
	{"heartbeat", "silence after which the quorum replaces its leader (default 500ms)"},
	{"offer_timeout", "how long a framework may hold an offer (default 5m)"},
	{"log_file", "file to log to (default: standard error)"},
}

func addSettings(c *cobra.Command, keys ...string) {
	for _, s := range settings {
		for _, key := range keys {
			if key == s.key {
				c.Flags().String(strings.ReplaceAll(s.key, "_", "-"), "", s.help)
			}
		}
	}
}

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
		if f := c.Flags().Lookup(strings.ReplaceAll(s.key, "_", "-")); f != nil && f.Changed {
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
	var cfg node.Config
	if err := v.UnmarshalExact(&cfg); err != nil {
		return node.Config{}, fmt.Errorf("%w: %w", node.ErrConfig, err)
	}
	cfg.Version = version
	return cfg.Defaults()
}

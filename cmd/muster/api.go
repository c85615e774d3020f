package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"muster/node"
	"muster/node/client"
)

// addAPI adds the flags that say which node to ask, and as whom.
func addAPI(c *cobra.Command) {
	c.Flags().String("api", "", "node to ask, as host:port (default $MUSTER_API, or 127.0.0.1:5050)")
	c.Flags().String("principal", "", "principal to call as (default $MUSTER_PRINCIPAL); its secret is $MUSTER_SECRET")
}

// connect returns a client of the node that the flags name.
func connect(c *cobra.Command) (*client.Client, error) {
	address, err := flagOrEnv(c, "api", "MUSTER_API", "127.0.0.1:5050")
	if err != nil {
		return nil, err
	}
	return connectTo(c, address)
}

func connectTo(c *cobra.Command, address string) (*client.Client, error) {
	principal, err := flagOrEnv(c, "principal", "MUSTER_PRINCIPAL", "")
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Address: address, Principal: principal, Secret: os.Getenv("MUSTER_SECRET")})
}

func flagOrEnv(c *cobra.Command, flag, env, unset string) (string, error) {
	v, err := c.Flags().GetString(flag)
	switch {
	case err != nil || v != "":
		return v, err
	case os.Getenv(env) != "":
		return os.Getenv(env), nil
	}
	return unset, nil
}

// explain says what to do where an error alone does not.
func explain(err error, nodes *client.Client) error {
	if errors.Is(err, client.ErrDisconnected) {
		return fmt.Errorf("no node answers at %s: is its daemon running? Name another with --api (%w)", nodes.Address(), err)
	}
	if status := (*client.StatusError)(nil); errors.As(err, &status) && status.Code == http.StatusUnauthorized {
		return fmt.Errorf("%w: say who you are with --principal or $MUSTER_PRINCIPAL, and $MUSTER_SECRET", err)
	}
	return err
}

// explainAgent says what to do about an error that comes from asking an agent.
func explainAgent(err error, address string) error {
	if ap, bad := netip.ParseAddrPort(address); err != nil && bad == nil && ap.Addr().IsLoopback() {
		return fmt.Errorf("%w (the agent's API listens on loopback: on another host, ask there, or set its agent_api and secrets)", err)
	}
	return err
}

// agentAddress is the host:port of an agent's API, from its pid "slave(1)@host:port".
func agentAddress(pid string) string {
	_, address, _ := strings.Cut(pid, "@")
	return address
}

// fetchNodes reads /muster/v1/nodes of the node at address.
func fetchNodes(ctx context.Context, address string) (node.NodesView, error) {
	var view node.NodesView
	c, err := client.New(client.Config{Address: address})
	if err != nil {
		return view, err
	}
	defer c.Close()
	return view, c.GetJSON(ctx, "/muster/v1/nodes", &view)
}

// leaderName is "" while there is no leader that is known by name.
func leaderName(v node.NodesView) string {
	for _, n := range v.Nodes {
		if n.Peer == v.Leader {
			return n.Name
		}
	}
	return ""
}

// Package node assembles one node of a cluster: the mesh, its part in the
// quorum, the master that runs while it leads, the agent that runs tasks here,
// and the gateway that serves HTTP. It wires them and decides nothing.
package node

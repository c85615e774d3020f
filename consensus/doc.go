// Package consensus remembers. A Quorum is this node's part in the Raft quorum
// that replicates registry operations: it owns the log and the snapshots on
// disk, applies what is committed to a registry.State, tells the node when it
// leads, and, while it leads, keeps the right nodes voting (package elect says
// which). Every node runs one; one that is no member waits, idle, until a leader
// adds it.
//
// It never decides anything about agents, frameworks or offers, and knows
// nothing of the mesh but a dialler and a listener.
package consensus

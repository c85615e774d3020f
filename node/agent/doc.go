// Package agent runs a node's tasks. It registers the node with whoever leads,
// starts what it is told to as containers, and says what became of every task
// until each word of it is acknowledged.
//
// An Agent owns the truth about its tasks: what must survive it is checkpointed
// before it is acted on or told to anyone, so an agent that was killed at any
// point carries on where it was, beside containers that never noticed. It offers
// nothing, decides nothing about other nodes, and speaks to the leader only
// through the Uplink it was given.
package agent

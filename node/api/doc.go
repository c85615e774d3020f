// Package api is a node's HTTP gateway: the scheduler and operator APIs of
// Mesos, which any peer serves for the whole cluster; the agent's API of this
// node; the legacy endpoints that tools read; files, metrics, and muster's own
// endpoints below /muster/v1/. It never redirects: calls are carried to the
// leader, reads are answered from a view of it.
//
// It owns the event streams of its clients and what a new leader must be told of
// them. It decides nothing: checks that need the cluster's state are the core's.
package api

// Package scheduler holds the messages between a framework and the cluster: the
// calls and events of the v1 scheduler API.
package scheduler

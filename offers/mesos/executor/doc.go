// Package executor holds the messages between an executor and its agent: the
// calls and events of the v1 executor API.
package executor

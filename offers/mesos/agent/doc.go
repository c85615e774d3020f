// Package agent holds the messages of the operator API of one agent.
package agent

// Package protocol holds the messages that muster's own nodes exchange: agent
// with master, gateway with master, and the view stream that peers read from.
package protocol

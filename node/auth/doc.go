// Package auth checks who calls a node's HTTP API.
package auth

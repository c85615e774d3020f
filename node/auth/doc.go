// Package auth checks who calls a node's HTTP API: HTTP Basic credentials against
// a list that is read at the start. It does not say what a caller may do.
package auth

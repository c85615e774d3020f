// Package runc runs containers with libcontainer, each below a shim of its own
// that outlives the daemon. The Driver itself links nothing of libcontainer and
// keeps nothing in memory that it could not read again from its directory.
package runc

// Package state is what a driver and its shims say to each other: one directory
// per container, readable after either of them has died. It links nothing of
// libcontainer, so that the daemon does not either.
//
//	task.json   written by the driver before the shim starts; makes the container exist
//	lock        held from before the shim's first to its last moment; holds its PID
//	start.json  written by the shim when the container waits to run its command
//	exit.json   written by the shim when the container has ended, before its cgroups go
//	tmp         the container's /tmp
package state

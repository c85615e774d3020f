// Package shim is the parent of one container: it starts the container, waits
// for its end and writes down how it ended, whether or not a daemon is there
// to see it. It is the only package that links libcontainer, and it must stay
// lean: a copy of it lives beside every running task.
package shim

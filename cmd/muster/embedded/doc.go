// Package embedded carries the shim inside muster: one file to install, and
// nothing of what muster links is loaded again beside every task.
//
// The program muster-shim is embedded if it was built into this directory
// before muster was. If not, muster starts itself in its place, which costs
// memory and CPU time at every task; and a muster built without cgo, which
// cannot do that either, runs no containers.
package embedded

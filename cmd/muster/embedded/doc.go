// Package embedded carries the shim inside muster: one file to install, and
// nothing of what muster links is loaded again beside every task.
//
// With the build tag embedshim it holds the program muster-shim, which must
// have been built into this directory before. Without the tag muster links the
// shim and starts itself in its place, which costs memory and CPU time at every
// task; without the tag and without cgo it has none and runs no containers.
package embedded

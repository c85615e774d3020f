// Package seccomp makes the filter that decides which system calls a container
// may make. The list is fixed, so the filter is put together here in a few
// microseconds; libseccomp needs 13 ms of CPU for it at every start, and would
// have to be installed where muster is built.
package seccomp

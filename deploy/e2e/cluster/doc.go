// Package cluster starts real daemons as processes of this machine and ends them
// and all they ran. Tests and benchmarks of the built program stand on it. It
// judges nothing: what goes wrong is an error.
package cluster

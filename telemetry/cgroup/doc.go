// Package cgroup reads what the kernel keeps in a container's cgroup files, on
// cgroup v2, on v1 and on the hybrid of both. Alone it is the fallback Source,
// for hosts where eBPF programs cannot be loaded; telemetry/bpf takes from it
// what only files tell: memory, throttling, the number of processes.
package cgroup

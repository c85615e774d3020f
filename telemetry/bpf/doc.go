// Package bpf measures containers with eBPF programs: CPU time, run-queue
// latency, context switches, page faults, block IO, network traffic and OOM
// kills, without touching the containers. It is the only package that knows
// github.com/cilium/ebpf. What only files tell it takes from telemetry/cgroup.
package bpf

//go:generate go tool bpf2go -cc clang -strip llvm-strip -target bpfel -type usage usage usage.bpf.c -- -O2 -g -mcpu=v3 -Wall -Werror

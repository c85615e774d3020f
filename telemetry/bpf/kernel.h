/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The few kernel types that usage.bpf.c looks into. Only the fields named here
 * are read; where they lie is found out on the running kernel, from its BTF. */
#ifndef MUSTER_KERNEL_H
#define MUSTER_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

/* The kernel's user API, which is stable. */
enum {
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_F_NO_PREALLOC = 1,
};
struct __sk_buff {
	__u32 len;
};

#define PF_KTHREAD 0x00200000
#define TASK_DEAD 0x00000080
#define SCHED_NORMAL 0
#define SCHED_BATCH 3
#define SCHED_IDLE 5

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	int level;
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct cfs_rq {
	int throttle_count;
};

struct sched_entity {
	__u64 sum_exec_runtime;
	__u64 prev_sum_exec_runtime;
	struct cfs_rq *cfs_rq;
};

struct sched_info {
	unsigned long long run_delay;
};

struct task_io_accounting {
	__u64 read_bytes;
	__u64 write_bytes;
};

struct task_struct {
	unsigned int __state;
	unsigned int flags;
	unsigned int policy;
	struct sched_entity se;
	struct sched_info sched_info;
	int pid;
	__u64 start_time;
	unsigned long min_flt;
	unsigned long maj_flt;
	struct css_set *cgroups;
	struct task_io_accounting ioac;
};

#pragma clang attribute pop

#endif

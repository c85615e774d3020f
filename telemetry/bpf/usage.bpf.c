//go:build ignore

// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Counts what containers use, by the cgroup2 inode of the container. The daemon
// inserts a key for each container; what belongs to none goes to key 0.
// Only per-CPU memory is written, so no CPU ever waits for another.
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define DELAYS 24	/* buckets of the histogram of run-queue waits */
#define LEVELS 4	/* depths in the cgroup tree at which containers may be */
#define MAX_CGROUPS 16384
#define THREADS 65536	/* a power of two */
#define MAX_DEPTH 32
#define NESTED 4	/* levels below a container that are told to be its own */

struct usage {
	__u64 cpu;	 /* ns on a CPU */
	__u64 run_delay; /* ns runnable and waiting */
	__u64 preempted; /* of these, while others had the CPU; not of key 0 */
	__u64 switches;	 /* away from a CPU */
	__u64 min_flt, maj_flt;
	__u64 read_bytes, write_bytes;
	__u64 rx_bytes, tx_bytes;
	__u64 rx_packets, tx_packets;
	__u64 oom_kills;
	__u64 delays[DELAYS]; /* waits by log2 of microseconds; not of key 0 */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, MAX_CGROUPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct usage);
} usages SEC(".maps");

/* What a task has used so far, as the kernel counts it. */
struct used {
	__u64 cpu, run_delay, min_flt, maj_flt, read_bytes, write_bytes;
};

/* What a CPU's current task had used when it was last looked at. */
struct slot {
	__u64 task; /* its address: compared, never followed */
	struct used used;
	__u64 from_other; /* the task took over from one of another container */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

/* The run-queue delay that a container's thread had when it last left a CPU. If
 * it was moved to another CPU's queue meanwhile, some of its wait was added
 * before it was switched in, so the slot cannot tell. Threads have places in an
 * array, which costs half of what a hash does; start tells whose it is. Of two with
 * the same place, which takes very many of them, moved waits are lost. */
struct wait {
	__u64 start;
	__u64 run_delay;
	__u64 cause;
};

/* Why a thread left its CPU, and so whom it then waits for. */
enum {
	BEFORE,	   /* for whoever has the CPU before it: it slept, or one of its own or a kernel thread came first */
	BY_OTHER,  /* a task of another container took the CPU from it */
	THROTTLED, /* the container's own quota is used up */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, THREADS);
	__type(key, __u32);
	__type(value, struct wait);
} waits SEC(".maps");

/* Levels at which there are containers, deepest first; ends with 0. Written by
 * the daemon. Thus one lookup finds the owner of a task in a nested cgroup, and
 * one lookup finds that a task belongs to no container. */
volatile __u32 levels[LEVELS];

static __always_inline struct usage *other(void)
{
	__u64 id = 0;

	return bpf_map_lookup_elem(&usages, &id);
}

/* Where a container lies in the tree. */
struct home {
	__u32 level;
	__u64 id;
};

/* The container of the current task, which is given: looking into it is cheaper than
 * calling a helper, but to look up the tree the verifier wants the helper. */
static __always_inline struct usage *container_of_current(struct task_struct *task, struct home *home)
{
	struct cgroup *c = task->cgroups->dfl_cgrp;
	__u32 depth = c->level;

	for (int i = 0; i < LEVELS; i++) {
		__u32 level = levels[i];
		if (!level)
			break;
		if (depth < level)
			continue;
		__u64 id = depth == level ? c->kn->id : bpf_get_current_ancestor_cgroup_id(level);
		struct usage *u = bpf_map_lookup_elem(&usages, &id);
		if (u) {
			home->level = level;
			home->id = id;
			return u;
		}
	}
	return 0;
}

/* within tells whether a task belongs to the container that home is, also from a
 * cgroup nested in it, up to four levels down. */
static __always_inline bool within(struct home *home, struct task_struct *task)
{
	struct cgroup *c = task->cgroups->dfl_cgrp;

	for (int i = 0; i < NESTED && c->level > home->level; i++)
		c = c->self.parent->cgroup;
	return c->level == home->level && c->kn->id == home->id;
}

/* The bucket of a wait: 0 is below 1 us, b is [2^(b-1), 2^b) us. It starts from
 * units of 1024 ns, as dividing costs as much as all the rest. */
static __always_inline __u32 bucket(__u64 ns)
{
	__u32 v = ns >> 42 ? 0xffffffff : ns >> 10, b = 0;

	if (v >> 16) { v >>= 16; b += 16; }
	if (v >> 8) { v >>= 8; b += 8; }
	if (v >> 4) { v >>= 4; b += 4; }
	if (v >> 2) { v >>= 2; b += 2; }
	if (v >> 1) { v >>= 1; b += 1; }
	b += v;
	if (ns >= 1000ULL << b)
		b++;
	return b < DELAYS ? b : DELAYS - 1;
}

/* These depend on how the kernel was configured. */
#define RUN_DELAY(task) (bpf_core_field_exists(task->sched_info.run_delay) ? task->sched_info.run_delay : 0)
#define READ_BYTES(task) (bpf_core_field_exists(task->ioac.read_bytes) ? task->ioac.read_bytes : 0)
#define WRITE_BYTES(task) (bpf_core_field_exists(task->ioac.write_bytes) ? task->ioac.write_bytes : 0)

/* begin notes what task has used when it is switched in. */
static __always_inline void begin(struct slot *s, struct task_struct *task, bool from_other)
{
	s->task = (__u64)task;
	s->from_other = from_other;
	s->used.cpu = task->se.sum_exec_runtime;
	s->used.run_delay = RUN_DELAY(task);
	s->used.min_flt = task->min_flt;
	s->used.maj_flt = task->maj_flt;
	s->used.read_bytes = READ_BYTES(task);
	s->used.write_bytes = WRITE_BYTES(task);
}

/* begun does so later, if it was not seen: it was before we came, or the kernel
 * showed us no such switch, which happens. The fair scheduler notes the CPU
 * time; the rest is not charged. */
static __always_inline void begun(struct slot *s, struct task_struct *task)
{
	begin(s, task, 0);
	switch (task->policy) {
	case SCHED_NORMAL:
	case SCHED_BATCH:
	case SCHED_IDLE:
		s->used.cpu = task->se.prev_sum_exec_runtime;
	}
}

/* Adds to a counter what was used since begin, and begins anew. Each value is
 * read once, as it may change meanwhile if interrupts are on. */
#define CHARGE(u, s, field, value)              \
	({                                      \
		__u64 now = value;              \
		__u64 delta = now - s->used.field; \
		u->field += delta;              \
		s->used.field = now;            \
		delta;                          \
	})

#define THROTTLE_COUNT(task) \
	(bpf_core_field_exists(task->se.cfs_rq->throttle_count) ? task->se.cfs_rq->throttle_count : 0)

/* Threads that were made together, and may run on different CPUs at a time, are
 * to share no cache line: the factor is odd, so it only scatters. */
static __always_inline struct wait *wait_of(struct task_struct *task)
{
	__u32 place = task->pid * 40503u & (THREADS - 1);

	return bpf_map_lookup_elem(&waits, &place);
}

/* waited tells how long a container's thread has waited since it last left a CPU,
 * and whether for others. cause is why it leaves it now. */
static __always_inline __u64 waited(struct slot *s, struct task_struct *task, __u64 cause, bool *others)
{
	__u64 start = task->start_time, from = s->used.run_delay, now = RUN_DELAY(task);
	struct wait *w = wait_of(task);

	*others = s->from_other;
	s->used.run_delay = now;
	if (!w)
		return now - from;
	if (w->start == start && w->run_delay <= from) {
		from = w->run_delay;
		if (w->cause != BEFORE)
			*others = w->cause == BY_OTHER;
	}
	w->start = start;
	w->run_delay = now;
	w->cause = cause;
	return now - from;
}

/* charge gives u, its container or what counts for those without, what the current
 * task used since begin. cause is why it leaves the CPU. */
static __always_inline void charge(struct slot *s, struct task_struct *task, struct usage *u, bool contained, __u64 cause)
{
	if (s->task != (__u64)task)
		begun(s, task);

	CHARGE(u, s, cpu, task->se.sum_exec_runtime);
	CHARGE(u, s, min_flt, task->min_flt);
	CHARGE(u, s, maj_flt, task->maj_flt);
	CHARGE(u, s, read_bytes, READ_BYTES(task));
	CHARGE(u, s, write_bytes, WRITE_BYTES(task));

	/* The kernel adds a wait to the task just after it was switched in. */
	if (!contained) {
		CHARGE(u, s, run_delay, RUN_DELAY(task));
		return;
	}
	bool others;
	__u64 wait = waited(s, task, cause, &others);
	if (wait) {
		u->run_delay += wait;
		u->delays[bucket(wait)]++;
		if (others)
			u->preempted += wait;
	}
}

/* Kernel threads belong to nobody and are left out. */
SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u32 zero = 0;
	struct slot *s = bpf_map_lookup_elem(&slots, &zero);
	if (!s)
		return 0;

	bool to_user = !(next->flags & PF_KTHREAD), to_other = 0;
	if (!(prev->flags & PF_KTHREAD)) {
		/* prev is still the current task */
		struct home home;
		struct usage *u = container_of_current(prev, &home);
		bool contained = u;
		__u64 cause = BEFORE;

		to_other = to_user && !(contained && within(&home, next));
		if (contained && (preempt || !prev->__state)) {
			if (THROTTLE_COUNT(prev))
				cause = THROTTLED;
			else if (to_other)
				cause = BY_OTHER;
		}
		if (contained || (u = other())) {
			charge(s, prev, u, contained, cause);
			u->switches++;
		}
	}
	if (to_user)
		begin(s, next, to_other);
	else
		s->task = 0;
	return 0;
}

/* flush is run by the daemon on each CPU before it reads: a task that has the
 * CPU for itself may not be switched away for seconds. */
SEC("raw_tp/muster_flush")
int flush(void *ctx)
{
	__u32 zero = 0;
	struct slot *s = bpf_map_lookup_elem(&slots, &zero);
	struct task_struct *task = bpf_get_current_task_btf();

	if (!s || task->flags & PF_KTHREAD)
		return 0;
	struct home home;
	struct usage *u = container_of_current(task, &home);
	bool contained = u;
	if (contained || (u = other()))
		charge(s, task, u, contained, BEFORE);
	return 0;
}

/* level is run by the daemon: how deep in the whole cgroup tree is it itself?
 * In a cgroup namespace that cannot be told from paths. */
SEC("raw_tp/muster_level")
int level(void *ctx)
{
	return bpf_get_current_task_btf()->cgroups->dfl_cgrp->level;
}

/* mark_victim passes the task since Linux 6.9; before, this does not load, and
 * the memory controller's files tell. */
SEC("tp_btf/mark_victim")
int BPF_PROG(mark_victim, struct task_struct *victim)
{
	struct cgroup *c = victim->cgroups->dfl_cgrp;

	for (int i = 0; i < MAX_DEPTH && c->level > 0; i++) {
		__u64 id = c->kn->id;
		struct usage *u = bpf_map_lookup_elem(&usages, &id);
		if (u) {
			u->oom_kills++;
			return 0;
		}
		c = c->self.parent->cgroup;
	}
	struct usage *u = other();
	if (u)
		u->oom_kills++;
	return 0;
}

static __always_inline struct usage *owner_of(struct __sk_buff *skb)
{
	for (int i = 0; i < LEVELS; i++) {
		__u32 level = levels[i];
		if (!level)
			break;
		__u64 id = bpf_skb_ancestor_cgroup_id(skb, level);
		if (!id)
			continue;
		struct usage *u = bpf_map_lookup_elem(&usages, &id);
		if (u)
			return u;
	}
	return other();
}

/* Packets may be interrupted by packets on the same CPU: these adds are atomic. */
SEC("cgroup_skb/ingress")
int ingress(struct __sk_buff *skb)
{
	struct usage *u = owner_of(skb);

	if (u) {
		__sync_fetch_and_add(&u->rx_bytes, skb->len);
		__sync_fetch_and_add(&u->rx_packets, 1);
	}
	return 1;
}

SEC("cgroup_skb/egress")
int egress(struct __sk_buff *skb)
{
	struct usage *u = owner_of(skb);

	if (u) {
		__sync_fetch_and_add(&u->tx_bytes, skb->len);
		__sync_fetch_and_add(&u->tx_packets, 1);
	}
	return 1;
}

char LICENSE[] SEC("license") = "GPL";

package shim

import (
	"runtime"
	"strings"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"
)

// allowed are the system calls that a container may make: what ordinary
// programs need, and nothing that reaches past the container's namespaces,
// loads code into the kernel, changes its clocks or looks into other processes'
// kernel objects. Names that a machine's kernel does not know are left out.
const allowed = `
	accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown chown32
	clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
	clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat
	dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
	epoll_wait_old eventfd eventfd2 execve execveat exit exit_group
	faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown
	fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr
	fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64
	futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat
	get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32
	geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid
	getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
	getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat
	inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
	io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc
	kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat
	listen listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64
	madvise map_shadow_stack mbind membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock
	mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
	mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall
	munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open
	pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv
	preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2
	read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
	removexattr removexattrat rename renameat renameat2 restart_syscall riscv_flush_icache riscv_hwprobe rmdir rseq
	rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
	rt_sigtimedwait_time64 rt_tgsigqueueinfo s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr
	sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
	sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
	sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
	semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_mempolicy set_robust_list
	set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
	setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
	setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown
	sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs
	statfs64 statx swapcontext symlink symlinkat sync sync_file_range sync_file_range2 syncfs sysinfo
	tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
	timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill
	truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes
	vfork vmsplice wait4 waitid waitpid write writev
	arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls modify_ldt chroot`

// namespaceFlags are the flags of clone that make a namespace.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// seccompProfile refuses all other system calls with EPERM. clone3 answers
// ENOSYS, because a filter cannot look at its flags: programs then use clone.
func seccompProfile() *configs.Seccomp {
	denied, absent := uint(unix.EPERM), uint(unix.ENOSYS)
	profile := &configs.Seccomp{
		DefaultAction:   configs.Errno,
		DefaultErrnoRet: &denied,
		Architectures:   architectures(),
	}
	for name := range strings.FieldsSeq(allowed) {
		profile.Syscalls = append(profile.Syscalls, &configs.Syscall{Name: name, Action: configs.Allow})
	}
	flags := uint(0)
	if runtime.GOARCH == "s390x" { // its clone takes the stack first
		flags = 1
	}
	profile.Syscalls = append(profile.Syscalls,
		when("clone", flags, namespaceFlags, configs.MaskEqualTo, 0),
		&configs.Syscall{Name: "clone3", Action: configs.Errno, ErrnoRet: &absent},
		when("socket", 0, unix.AF_VSOCK, configs.NotEqualTo, 0))
	for _, persona := range []uint64{0, 0x8, 0x20000, 0x20008, 0xffffffff} { // Linux, with 32-bit addresses, as 2.6, both, only asking
		profile.Syscalls = append(profile.Syscalls, when("personality", 0, persona, configs.EqualTo, 0))
	}
	return profile
}

// when allows a system call if one of its arguments compares so.
func when(name string, index uint, value uint64, op configs.Operator, valueTwo uint64) *configs.Syscall {
	return &configs.Syscall{
		Name: name, Action: configs.Allow,
		Args: []*configs.Arg{{Index: index, Value: value, ValueTwo: valueTwo, Op: op}},
	}
}

// architectures are those whose programs this machine can run.
func architectures() []string {
	switch runtime.GOARCH {
	case "amd64":
		return []string{"amd64", "x86", "x32"}
	case "arm64":
		return []string{"arm64", "arm"}
	default:
		return []string{runtime.GOARCH}
	}
}

package seccomp

import "golang.org/x/sys/unix"

const architecture = unix.AUDIT_ARCH_AARCH64

// native are the system calls that only this architecture has, or has kept.
var native = []uint32{
	unix.SYS_GETRLIMIT, unix.SYS_RENAMEAT, unix.SYS_SETRLIMIT,
}

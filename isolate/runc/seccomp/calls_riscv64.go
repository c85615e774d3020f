package seccomp

import "golang.org/x/sys/unix"

const architecture = unix.AUDIT_ARCH_RISCV64

// native are the system calls that only this architecture has, or has kept.
var native = []uint32{
	unix.SYS_GETRLIMIT, unix.SYS_RISCV_FLUSH_ICACHE, unix.SYS_RISCV_HWPROBE, unix.SYS_SETRLIMIT,
}

package seccomp

import "golang.org/x/sys/unix"

const architecture = unix.AUDIT_ARCH_LOONGARCH64

// native are the system calls that only this architecture has, or has kept.
var native []uint32

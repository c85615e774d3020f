//go:build amd64 || arm64 || riscv64 || loong64

package seccomp

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// Available reports whether there is a filter for this architecture.
const Available = true

// Where struct seccomp_data holds what the filter looks at: of an argument its
// low half, which comes first, because all these machines are little-endian.
const (
	numberAt = 0
	archAt   = 4
	firstArg = 16
)

// Answers of the filter.
const (
	allow  = unix.SECCOMP_RET_ALLOW
	deny   = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	absent = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// namespaces are the flags of clone that make a namespace.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// lastKnown is the newest system call that this list has judged. Later ones do
// not exist as far as a container can tell, so that programs use older ones.
const lastKnown = 471

// Filter returns the program as the kernel takes it: an array of struct sock_filter.
func Filter() []byte {
	var out []byte
	for _, i := range program() {
		out = binary.NativeEndian.AppendUint16(out, i.Code)
		out = append(out, i.Jt, i.Jf)
		out = binary.NativeEndian.AppendUint32(out, i.K)
	}
	return out
}

func program() []unix.SockFilter {
	p := []unix.SockFilter{
		load(archAt),
		jump(unix.BPF_JEQ, architecture, 1, 0),
		answer(absent), // programs of another architecture
		load(numberAt),
		jump(unix.BPF_JGT, lastKnown, 0, 1), // also the x32 calls of amd64
		answer(absent),
	}
	// clone3 hides its flags in memory, where no filter can look: programs
	// that are told it does not exist use clone.
	p = append(p, jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1), answer(absent))
	p = append(p, jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 4),
		load(firstArg), jump(unix.BPF_JSET, namespaces, 0, 1), answer(deny), answer(allow))
	p = append(p, jump(unix.BPF_JEQ, unix.SYS_SOCKET, 0, 4),
		load(firstArg), jump(unix.BPF_JEQ, unix.AF_VSOCK, 0, 1), answer(deny), answer(allow))
	p = append(p, personality()...)
	return append(p, search(ranges())...)
}

// personality may be asked for, and set to plain Linux, with 32-bit addresses
// or a version number as of 2.6, but not made to weaken the layout of memory.
func personality() []unix.SockFilter {
	const addr32, uname26, ask = 0x8, 0x20000, 0xffffffff
	good := []uint32{0, addr32, uname26, addr32 | uname26, ask}
	body := []unix.SockFilter{load(firstArg)}
	for i, value := range good {
		body = append(body, jump(unix.BPF_JEQ, value, uint8(len(good)-i), 0))
	}
	body = append(body, answer(deny), answer(allow))
	return append([]unix.SockFilter{jump(unix.BPF_JEQ, unix.SYS_PERSONALITY, 0, uint8(len(body)))}, body...)
}

// span is a run of allowed system calls, both ends included.
type span struct{ first, last uint32 }

func ranges() []span {
	numbers := slices.Concat(common, native)
	slices.Sort(numbers)
	var all []span
	for _, n := range numbers {
		if k := len(all) - 1; k >= 0 && n <= all[k].last+1 {
			all[k].last = n
			continue
		}
		all = append(all, span{n, n})
	}
	return all
}

// search finds the number among the spans by halving.
func search(spans []span) []unix.SockFilter {
	if len(spans) == 1 {
		return []unix.SockFilter{
			jump(unix.BPF_JGE, spans[0].first, 0, 2),
			jump(unix.BPF_JGT, spans[0].last, 1, 0),
			answer(allow),
			answer(deny),
		}
	}
	half := len(spans) / 2
	low, high := search(spans[:half]), search(spans[half:])
	// A conditional jump reaches 255 instructions, the plain one everywhere.
	p := []unix.SockFilter{
		jump(unix.BPF_JGE, spans[half].first, 0, 1),
		{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(low))},
	}
	return append(append(p, low...), high...)
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func jump(test uint16, value uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, Jt: yes, Jf: no, K: value}
}

func answer(value uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
}

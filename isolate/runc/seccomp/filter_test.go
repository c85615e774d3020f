//go:build amd64 || arm64 || riscv64 || loong64

package seccomp

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// run is the kernel's interpreter for the instructions that the filter has.
func run(t *testing.T, arch, number, arg uint32) uint32 {
	t.Helper()
	code := program()
	var a uint32
	for pc := 0; pc < len(code); pc++ {
		in := code[pc]
		taken := false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = map[uint32]uint32{numberAt: number, archAt: arch, firstArg: arg}[in.K]
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			taken = a == in.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			taken = a > in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			taken = a >= in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			taken = a&in.K != 0
		default:
			t.Fatalf("instruction %d: unknown code %#x", pc, in.Code)
		}
		if taken {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	t.Fatal("ran past the end")
	return 0
}

func TestEveryNumberIsAnsweredAsTheListSays(t *testing.T) {
	judged := []uint32{unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_SOCKET, unix.SYS_PERSONALITY}
	for number := uint32(0); number <= lastKnown; number++ {
		if slices.Contains(judged, number) {
			continue
		}
		want := uint32(deny)
		if slices.Contains(common, number) || slices.Contains(native, number) {
			want = allow
		}
		if got := run(t, architecture, number, 0); got != want {
			t.Errorf("system call %d: %#x, want %#x", number, got, want)
		}
	}
}

func TestArgumentsAndStrangersAreJudged(t *testing.T) {
	for name, c := range map[string]struct{ arch, number, arg, want uint32 }{
		"a thread":                {architecture, unix.SYS_CLONE, unix.CLONE_VM | unix.CLONE_THREAD, allow},
		"a user namespace":        {architecture, unix.SYS_CLONE, unix.CLONE_NEWUSER, deny},
		"clone3":                  {architecture, unix.SYS_CLONE3, 0, absent},
		"a TCP socket":            {architecture, unix.SYS_SOCKET, unix.AF_INET, allow},
		"a socket to the machine": {architecture, unix.SYS_SOCKET, unix.AF_VSOCK, deny},
		"plain Linux":             {architecture, unix.SYS_PERSONALITY, 0, allow},
		"which personality":       {architecture, unix.SYS_PERSONALITY, 0xffffffff, allow},
		"no random addresses":     {architecture, unix.SYS_PERSONALITY, 0x40000, deny},
		"a later call":            {architecture, lastKnown + 1, 0, absent},
		"another architecture":    {unix.AUDIT_ARCH_I386, unix.SYS_READ, 0, absent},
		"x32":                     {architecture, 0x40000000, 0, absent},
		"mount":                   {architecture, unix.SYS_MOUNT, 0, deny},
		"bpf":                     {architecture, unix.SYS_BPF, 0, deny},
		"io_uring":                {architecture, unix.SYS_IO_URING_SETUP, 0, deny},
	} {
		if got := run(t, c.arch, c.number, c.arg); got != c.want {
			t.Errorf("%s: %#x, want %#x", name, got, c.want)
		}
	}
}

func TestFilterFitsTheKernel(t *testing.T) {
	if n := len(Filter()) / 8; n == 0 || n > 4096 {
		t.Fatalf("%d instructions", n)
	}
	numbers := slices.Concat(common, native)
	slices.Sort(numbers)
	if len(slices.Compact(slices.Clone(numbers))) != len(numbers) {
		t.Error("a system call is listed twice")
	}
	if numbers[len(numbers)-1] > lastKnown {
		t.Errorf("system call %d is listed but beyond the last known", numbers[len(numbers)-1])
	}
}

func BenchmarkFilter(b *testing.B) {
	for b.Loop() {
		Filter()
	}
}

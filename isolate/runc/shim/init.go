package shim

import "C" // for init.c, the container's first process

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// initArgs turns a command into the argument vector of the container's first
// process, which finds its own program as descriptor 3.
func initArgs(path string, args []string) []string {
	return append([]string{"/proc/self/fd/3", "muster-init", path}, args...)
}

// line is this end of the socket to the container's first process.
type line struct{ file *os.File }

// newLine returns the other end, too.
func newLine() (line, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return line{}, nil, fmt.Errorf("socket pair: %w", err)
	}
	return line{os.NewFile(uintptr(pair[0]), "line")}, os.NewFile(uintptr(pair[1]), "line"), nil
}

// send sends the seccomp filter. The socket holds it until it is read.
func (l line) send(filter []byte) error {
	message := binary.NativeEndian.AppendUint32(nil, uint32(len(filter)))
	_, err := l.file.Write(append(message, filter...))
	return err
}

// next returns the next report; ok is false when the process has ended.
func (l line) next() (kind byte, value int32, ok bool) {
	var message [8]byte
	if _, err := io.ReadFull(l.file, message[:]); err != nil {
		return 0, 0, false
	}
	return message[0], int32(binary.NativeEndian.Uint32(message[4:])), true
}

// exitStatus splits a wait status as the kernel packs it.
func exitStatus(status unix.WaitStatus) (code, signal int) {
	if status.Signaled() {
		return 0, int(status.Signal())
	}
	return status.ExitStatus(), 0
}

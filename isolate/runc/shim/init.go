package shim

import "C" // for init.c, the container's first process

import (
	"encoding/binary"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// initArgs turns a command into the argument vector of the container's first
// process, which finds its own program as descriptor 3.
func initArgs(path string, args []string) []string {
	return append([]string{"/proc/self/fd/3", "muster-init", path}, args...)
}

// reports reads what the container's first process says.
type reports struct{ pipe *os.File }

// next returns the next report; ok is false when the process has ended.
func (r reports) next() (kind byte, value int32, ok bool) {
	var message [8]byte
	if _, err := io.ReadFull(r.pipe, message[:]); err != nil {
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

package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHeld: another shim holds the container.
var ErrHeld = errors.New("another shim holds the container")

// Lock takes the container for the shim that is about to be started. The lock
// belongs to the open file: it is handed down to the shim, so that there is no
// moment at which neither driver nor shim holds it.
func (d Dir) Lock() (*os.File, error) {
	f, err := os.OpenFile(d.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrHeld
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	if err := f.Truncate(0); err != nil { // who held it before is of no interest
		f.Close()
		return nil, err
	}
	return f, nil
}

// Hold makes this process known as the container's shim. The lock it was
// started with must stay open for as long as it lives.
func Hold(lock *os.File) error {
	_, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	return err
}

// Shim is the live shim of a container.
type Shim struct {
	PID  int
	File *os.File // pidfd: readable once the shim has ended
}

// Shim returns nil if no shim is alive. A PID that was read while the lock was
// held, and still is, is the holder's: it cannot have been given to another
// process in between.
func (d Dir) Shim() (*Shim, error) {
	f, err := os.OpenFile(d.path("lock"), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for deadline := time.Now().Add(5 * time.Second); ; {
		var buf [16]byte
		n, _ := f.ReadAt(buf[:], 0) // io.EOF: shorter than buf
		fd := -1
		pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
		if err == nil {
			if fd, err = unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK); err != nil {
				fd = -1 // it ended, or will be seen next time
			}
		}
		locked := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		switch {
		case locked == nil: // nobody holds it
			if fd >= 0 {
				unix.Close(fd)
			}
			return nil, nil
		case fd >= 0:
			return &Shim{PID: pid, File: os.NewFile(uintptr(fd), "pidfd")}, nil
		case !errors.Is(locked, unix.EWOULDBLOCK):
			return nil, fmt.Errorf("lock %s: %w", f.Name(), locked)
		case time.Now().After(deadline):
			return nil, fmt.Errorf("shim of %s: holds its lock, but does not say who it is", d)
		}
		// It was just started and is about to write its PID.
		time.Sleep(200 * time.Microsecond)
	}
}

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// busyError says that another process works in a node's directory.
type busyError struct {
	dir string
	pid int // 0: unknown
}

func (e busyError) Error() string {
	return fmt.Sprintf("a daemon already runs in %s (process %d): stop it first", e.dir, e.pid)
}

// lockDir makes this process the only one that works in a node's directory, and
// leaves its ID there. The lock goes with the process, however it ends.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		var pid int
		_, _ = fmt.Fscan(f, &pid) // it may not have been written yet
		f.Close()
		return nil, busyError{dir, pid}
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return func() { f.Close() }, nil
}

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Outweigh gives the containers on this machine precedence over all else that it
// does, so that what is seen of tasks is not the doing of strangers. It works while
// there are containers; restore takes it back.
func Outweigh() (restore func() error, err error) {
	file, most := "/sys/fs/cgroup/cpu/muster/cpu.shares", "262144"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		file, most = "/sys/fs/cgroup/muster/cpu.weight", "10000"
	}
	before, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(most), 0)
	}
	if err != nil {
		return nil, fmt.Errorf("give the containers precedence: %w", err)
	}
	return func() error {
		if err := os.WriteFile(file, before, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("take the containers' precedence back: %w", err)
		}
		return nil // or it went with the last of them
	}, nil
}

package runc

import (
	"errors"
	"os"
	"path/filepath"

	"muster/isolate/runc/state"
)

// host is what a container without an image sees: the host's directories
// read-only, but nothing below /run, where the sockets of the host's services
// are, and nothing hidden.
type host struct{ hidden []string }

func newHost(hidden []string) (*host, error) {
	real, err := resolved(hidden)
	return &host{hidden: real}, err
}

// resolved returns where the directories really are, those that exist.
func resolved(paths []string) ([]string, error) {
	var out []string
	for _, path := range paths {
		real, err := filepath.EvalSymlinks(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, real)
	}
	return out, nil
}

// private are the top-level directories of which a container has its own.
var private = map[string]bool{
	"proc": true, "sys": true, "dev": true, "tmp": true, "run": true, "mnt": true, "lost+found": true,
}

// show adds the host's directories and links to the task.
func (h *host) show(t *state.Task) error {
	if err := h.entries(t, "/", private); err != nil {
		return err
	}
	// The sandbox is below /mnt, so that cannot be the host's as a whole.
	if err := h.entries(t, "/mnt", map[string]bool{"mesos": true}); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	const resolver = "/run/systemd/resolve" // where /etc/resolv.conf may point
	if _, err := os.Stat(resolver); err == nil {
		t.Mounts = append(t.Mounts, state.Mount{Source: resolver, Target: resolver})
	}
	t.Masked = h.hidden
	return nil
}

func (h *host) entries(t *state.Task, parent string, skip map[string]bool) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		switch {
		case skip[e.Name()]:
		case e.IsDir():
			t.Mounts = append(t.Mounts, state.Mount{Source: path, Target: path})
		case e.Type() == os.ModeSymlink:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			t.Links = append(t.Links, state.Link{Path: path, To: to})
		}
	}
	return nil
}

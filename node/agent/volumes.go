package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"muster/isolate"
	"muster/offers/mesos"
	"muster/offers/resource"
)

// volume is a persistent volume: a directory of its role and ID, or a whole disk.
type volume struct {
	key      string // role and ID: unique on the agent
	dir      string // on the host
	whole    bool   // dir is the root of a MOUNT disk, which stays
	shared   bool
	target   string // where its task sees it: in the sandbox, if relative
	readOnly bool
}

// volumeOf resolves a persistent volume. Directories are laid out as Mesos lays them
// out, with a space for the slashes of roles, which no role has.
// Mesos: src/slave/paths.cpp, getPersistentVolumePath.
func (a *Agent) volumeOf(r *mesos.Resource) volume {
	role := ""
	if n := len(r.GetReservations()); n > 0 {
		role = r.GetReservations()[n-1].GetRole()
	}
	disk := r.GetDisk()
	v := volume{
		key: role + "\x00" + disk.GetPersistence().GetId(), shared: r.Shared != nil,
		target: disk.GetVolume().GetContainerPath(), readOnly: disk.GetVolume().GetMode() == mesos.Volume_RO,
	}
	root := a.cfg.Dir
	switch disk.GetSource().GetType() {
	case mesos.Resource_DiskInfo_Source_MOUNT:
		v.dir, v.whole = disk.GetSource().GetMount().GetRoot(), true
		return v
	case mesos.Resource_DiskInfo_Source_PATH:
		root = a.diskRoot(disk.GetSource())
	}
	v.dir = filepath.Join(root, "volumes", "roles", strings.ReplaceAll(role, "/", " "), disk.GetPersistence().GetId())
	return v
}

// diskRoot is where a PATH disk lies; relative ones are below the work directory.
func (a *Agent) diskRoot(s *mesos.Resource_DiskInfo_Source) string {
	root := s.GetPath().GetRoot()
	if !filepath.IsAbs(root) {
		root = filepath.Join(a.cfg.Dir, root)
	}
	return root
}

// diskDirs are the directories of disks other than that of the work directory:
// tasks see of them only the volumes they were given.
func (a *Agent) diskDirs() []string {
	var dirs []string
	for _, r := range a.owned.Proto() {
		switch s := r.GetDisk().GetSource(); s.GetType() {
		case mesos.Resource_DiskInfo_Source_MOUNT:
			dirs = append(dirs, s.GetMount().GetRoot())
		case mesos.Resource_DiskInfo_Source_PATH:
			dirs = append(dirs, filepath.Join(a.diskRoot(s), "volumes"))
		}
	}
	return dirs
}

// volumesOf returns the volumes of a task, and what is wrong with where it wants them.
func (a *Agent) volumesOf(rs []*mesos.Resource) ([]volume, error) {
	var list []volume
	for _, r := range rs {
		if r.GetDisk().GetPersistence() == nil {
			continue
		}
		v := a.volumeOf(r)
		if path.Clean(v.target) == "." || path.Clean(v.target) == "/" || !path.IsAbs(v.target) && !filepath.IsLocal(v.target) {
			return nil, fmt.Errorf("volume %q: container_path %q is not a path below the sandbox or the root", r.GetDisk().GetPersistence().GetId(), v.target)
		}
		v.target = path.Clean(v.target)
		for _, other := range list {
			if within(v.target, other.target) || within(other.target, v.target) {
				return nil, fmt.Errorf("volumes are to be mounted at both %q and %q, one inside the other", other.target, v.target)
			}
		}
		list = append(list, v)
	}
	return list, nil
}

func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// using tells whether a running task holds one of the volumes.
func (a *Agent) using(volumes []*mesos.Resource) bool {
	for _, r := range volumes {
		if a.inUse(a.volumeOf(r), nil) {
			return true
		}
	}
	return false
}

// inUse tells whether a task other than t holds v.
func (a *Agent) inUse(v volume, t *task) bool {
	for _, o := range a.tasks {
		if o == t || !o.claimed {
			continue
		}
		for _, w := range o.volumes {
			if w.key == v.key {
				return true
			}
		}
	}
	return false
}

// there tells whether the agent has all that t needs under the names by which it
// needs it: reserved as it says, its volumes made.
func (a *Agent) there(s resource.Set) bool {
	s = s.Unallocate().NonRevocable()
	if !a.total.Contains(s.NonShared()) {
		return false
	}
	for _, r := range s.Shared().Proto() {
		if one, err := resource.FromProto([]*mesos.Resource{r}); err != nil || !a.total.Contains(one) {
			return false
		}
	}
	return true
}

// mounts returns t's volumes as its container gets them.
func (t *task) mounts() []isolate.Volume {
	var list []isolate.Volume
	for _, v := range t.volumes {
		list = append(list, isolate.Volume{Source: v.dir, Target: v.target, ReadOnly: v.readOnly})
	}
	return list
}

// ownVolumes are those of t that no other task uses: they become its user's.
func (t *task) ownVolumes(a *Agent) []volume {
	var list []volume
	for _, v := range t.volumes {
		if !a.inUse(v, t) {
			list = append(list, v)
		}
	}
	return list
}

// makeVolume makes the directory of a new volume, durably. One that is there already
// must be empty: what is in it is not of this volume. Done again it changes nothing.
func makeVolume(v volume) error {
	if v.whole {
		info, err := os.Stat(v.dir)
		if err == nil && !info.IsDir() {
			err = &fs.PathError{Op: "stat", Path: v.dir, Err: unix.ENOTDIR}
		}
		return named("disk of the volume", err)
	}
	if err := os.MkdirAll(v.dir, 0o755); err != nil {
		return fmt.Errorf("make volume: %w", err)
	}
	d, err := os.OpenFile(v.dir, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("make volume: %w", err)
	}
	defer d.Close()
	if left, _ := d.Readdirnames(1); len(left) > 0 {
		return fmt.Errorf("make volume: %s is not empty: move away what it holds", v.dir)
	}
	for dir := v.dir; filepath.Base(dir) != "volumes"; dir = filepath.Dir(dir) {
		if err := syncDir(dir); err != nil {
			return fmt.Errorf("make volume: %w", err)
		}
	}
	return nil
}

// destroyVolume removes all that a volume holds, and follows no link doing so. Done
// again it goes on.
func destroyVolume(v volume) error {
	if !v.whole {
		if err := os.RemoveAll(v.dir); err != nil {
			return fmt.Errorf("destroy volume: %w", err)
		}
		err := syncDir(filepath.Dir(v.dir))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was never made
		}
		return named("destroy volume", err)
	}
	root, err := os.OpenRoot(v.dir)
	if err != nil {
		return fmt.Errorf("destroy volume: %w", err)
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("destroy volume: %w", err)
	}
	for _, e := range entries {
		if err := root.RemoveAll(e.Name()); err != nil {
			return fmt.Errorf("destroy volume: %w", err)
		}
	}
	return named("destroy volume", syncDir(v.dir))
}

func named(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// giveVolumes gives the volumes to the user of the task that is about to start,
// unless others use them. Runs as a job.
func (a *Agent) giveVolumes(volumes []volume, user string) error {
	for _, v := range volumes {
		d, err := os.OpenFile(v.dir, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
		if err != nil {
			return fmt.Errorf("persistent volume %q: %w", v.target, err)
		}
		if *a.cfg.SwitchUser && !v.readOnly {
			uid, gid, no := a.cfg.lookup(user)
			if err = no; err == nil {
				err = d.Chown(uid, gid)
			}
		}
		if err := errors.Join(err, d.Close()); err != nil {
			return fmt.Errorf("give persistent volume %q to user %q: %w", v.target, user, err)
		}
	}
	return nil
}

package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"muster/isolate/runc/state"
)

// stage builds the container's root in this shim's own mount namespace, where
// nobody else looks: a file system in memory that holds nothing but mount
// points, with the host's directories on them. It goes when the last process
// that sees it ends, so nothing is ever left mounted.
func stage(task *state.Task) (root string, err error) {
	// What is unmounted on the host is so here; what is mounted here is not there.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("leave the host's mounts: %w", err)
	}
	s := stager{root: filepath.Join(task.Stage, "root")}
	s.mount("tmpfs", task.Stage, unix.MS_NOSUID, "mode=755,size=4m")
	for _, dir := range []string{"/proc", "/run", "/tmp", "/mnt"} {
		s.mkdir(dir)
	}
	for _, l := range task.Links {
		s.link(l)
	}
	for _, m := range task.Inside {
		s.onto(m, m.Target)
	}
	for _, m := range task.Mounts {
		s.bind(m)
	}
	s.devices()
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	s.mount("sysfs", s.mkdir("/sys"), safe|unix.MS_RDONLY, "")
	for _, path := range append([]string{"/sys/firmware", "/sys/devices/virtual/powercap"}, task.Masked...) {
		s.mask(path, task.Shown)
	}
	for _, m := range task.Last {
		s.bindBeneath(m)
	}
	return s.root, s.err
}

// unstage lets go of the root: the container holds it.
func unstage(task *state.Task) error {
	if err := unix.Unmount(task.Stage, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the container's root: %w", err)
	}
	return nil
}

// stager does one thing after the other until one fails.
type stager struct {
	root string
	err  error
}

func (s *stager) failed(err error, format string, args ...any) {
	if s.err == nil && err != nil {
		s.err = fmt.Errorf(format+": %w", append(args, err)...)
	}
}

// mkdir returns where path is on the host. The root holds no links that lead
// elsewhere: what it has on top are mounts of the host's own directories.
func (s *stager) mkdir(path string) string {
	full := filepath.Join(s.root, path)
	if s.err == nil {
		s.failed(os.MkdirAll(full, 0o755), "mount point %s", path)
	}
	return full
}

func (s *stager) link(l state.Link) {
	if s.err == nil {
		s.failed(os.Symlink(l.To, filepath.Join(s.mkdir(filepath.Dir(l.Path)), filepath.Base(l.Path))), "link %s", l.Path)
	}
}

func (s *stager) mount(kind, target string, flags uintptr, data string) {
	if s.err == nil {
		s.failed(unix.Mount(kind, target, kind, flags, data), "mount %s on %s", kind, target)
	}
}

func (s *stager) bind(m state.Mount) {
	full := s.mkdir(m.Target)
	s.onto(m, full)
}

// bindBeneath is bind for a path that was not made by the host's administrator: no
// link on the way may lead out of the root.
func (s *stager) bindBeneath(m state.Mount) {
	if s.err != nil {
		return
	}
	root, err := os.OpenRoot(s.root)
	if err == nil {
		err = errors.Join(root.MkdirAll(strings.TrimPrefix(m.Target, "/"), 0o755), root.Close())
	}
	s.failed(err, "mount point %s", m.Target)
	s.onto(m, filepath.Join(s.root, m.Target))
}

// onto mounts m on full.
func (s *stager) onto(m state.Mount, full string) {
	if s.err != nil {
		return
	}
	flags := uintptr(unix.MS_BIND)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if !m.Write || m.Whole {
		flags |= unix.MS_REC
	}
	if !m.Write {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	s.failed(unix.Mount(m.Source, full, "", flags, ""), "mount %s on %s", m.Source, m.Target)
	if s.err == nil {
		s.failed(unix.MountSetattr(unix.AT_FDCWD, full, unix.AT_RECURSIVE, &attr), "protect %s", m.Target)
	}
}

// deviceNodes are those that programs expect in any container.
var deviceNodes = []struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

func (s *stager) devices() {
	dev := s.mkdir("/dev")
	s.mount("tmpfs", dev, unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k")
	for _, d := range deviceNodes {
		if s.err != nil {
			return
		}
		path := filepath.Join(dev, d.name)
		s.failed(unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))), "make %s", d.name)
		if s.err == nil {
			s.failed(os.Chmod(path, 0o666), "make %s", d.name) // not through the umask
		}
	}
	for _, l := range []state.Link{
		{Path: "/dev/fd", To: "/proc/self/fd"}, {Path: "/dev/stdin", To: "/proc/self/fd/0"},
		{Path: "/dev/stdout", To: "/proc/self/fd/1"}, {Path: "/dev/stderr", To: "/proc/self/fd/2"},
		{Path: "/dev/ptmx", To: "pts/ptmx"},
	} {
		s.link(l)
	}
	s.mount("devpts", s.mkdir("/dev/pts"), unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
	s.mount("tmpfs", s.mkdir("/dev/shm"), unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size=64m")
}

// mask puts an empty file system over a directory, if the container has it,
// and shows in it what is to be seen there all the same.
func (s *stager) mask(path string, shown []state.Mount) {
	full := filepath.Join(s.root, path)
	if info, err := os.Lstat(full); err != nil || !info.IsDir() {
		return // nothing to see
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	s.mount("tmpfs", full, flags, "mode=755,size=64k,nr_inodes=64")
	for _, m := range shown {
		if strings.HasPrefix(m.Target, path+"/") {
			s.bind(m)
		}
	}
	if s.err == nil {
		s.failed(unix.Mount("", full, "", flags|unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""), "mask %s", path)
	}
}

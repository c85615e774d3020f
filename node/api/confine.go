package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"

	"golang.org/x/sys/unix"
)

// errOutside: a link leads out of its sandbox.
var errOutside = errors.New("leads out of the sandbox")

// openWithin opens the file or directory at the relative path inside dir. The
// kernel resolves the path below dir, links included, whatever a task changes
// meanwhile. Anything else than a file or directory is refused before it is
// opened: opening a device may have effects, opening a FIFO waits.
func openWithin(dir, inside, name string) (*os.File, fs.FileInfo, error) {
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fileError(name, err)
	}
	defer unix.Close(root)
	node, err := resolve(root, inside)
	if err != nil {
		return nil, nil, fileError(name, err)
	}
	defer unix.Close(node)
	var st unix.Stat_t
	if err := unix.Fstat(node, &st); err != nil {
		return nil, nil, fileError(name, err)
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return nil, nil, refuse(http.StatusBadRequest, "'%s' is neither a file nor a directory.", name)
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", node), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fileError(name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	info, err := file.Stat()
	if err != nil {
		return nil, nil, errors.Join(fileError(name, err), file.Close())
	}
	return file, info, nil
}

// resolve finds what inside names below root, without opening it.
func resolve(root int, inside string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	for range 16 {
		fd, err := unix.Openat2(root, inside, &how)
		switch {
		case errors.Is(err, unix.EXDEV):
			return -1, errOutside
		case !errors.Is(err, unix.EAGAIN): // something was renamed on the way
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

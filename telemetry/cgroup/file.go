package cgroup

import (
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// buffers are as long as the longest of these files: memory.stat.
var buffers = sync.Pool{New: func() any { b := make([]byte, 8<<10); return &b }}

// read returns "" for a file that is not there: its controller is not enabled,
// or the cgroup has vanished, which Group.Read finds out by itself. It does not
// use package os, which would have the runtime poll each file.
func read(dir, file string) string {
	if dir == "" {
		return ""
	}
	fd, err := open(dir + "/" + file)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	var text strings.Builder
	for {
		n, err := unix.Read(fd, *buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return text.String()
		}
		text.Write((*buf)[:n])
		if n < 2<<10 {
			return text.String() // the kernel gives a page if there is more
		}
	}
}

func open(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// number reads a file that holds one number.
func number(dir, file string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(read(dir, file)), 10, 64)
	return n, err == nil
}

// keyed reads a file of lines "key number".
func keyed(dir, file string) map[string]uint64 {
	kv := make(map[string]uint64, 64)
	for line := range lines(dir, file) {
		key, value, _ := strings.Cut(line, " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			kv[key] = n
		}
	}
	return kv
}

func lines(dir, file string) func(func(string) bool) {
	text := read(dir, file)
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			if !yield(strings.TrimSuffix(line, "\n")) {
				return
			}
		}
	}
}

package bpf

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// work does one job inside a cgroup: it says that it is ready, waits for a line, works, says what it
// did, and ends when its standard input is closed.
func work(job []string) int {
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return 1
	}
	n := 0
	if len(job) > 1 {
		n, _ = strconv.Atoi(job[1])
	}
	var err error
	switch job[0] {
	case "spin":
		spin(time.Duration(n) * time.Millisecond)
		fmt.Println("done")
	case "pingpong":
		err = pingpong(n)
		fmt.Println("done")
	case "time":
		var each time.Duration
		each, err = timePingpong(n)
		fmt.Println(int64(each))
	case "touch":
		err = touch(n << 20)
		fmt.Println("touched")
	case "disk":
		err = disk(job[2], n<<20)
		fmt.Println("wrote and read")
	case "net":
		err = loopback(n << 20)
		fmt.Println("sent")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	io.Copy(io.Discard, in)
	return 0
}

func cpuUsed() time.Duration {
	var r unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func spin(d time.Duration) {
	for end := cpuUsed() + d; cpuUsed() < end; {
		for range 100_000 {
		}
	}
}

// pingpong has two threads of this process pass a byte n times over raw pipes.
func pingpong(n int) error {
	var a, b [2]int
	if err := unix.Pipe(a[:]); err != nil {
		return err
	}
	if err := unix.Pipe(b[:]); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- pass(a[0], b[1], n) }()
	buf := make([]byte, 1)
	for range n {
		if _, err := unix.Write(a[1], buf); err != nil {
			return err
		}
		if _, err := unix.Read(b[0], buf); err != nil {
			return err
		}
	}
	return <-failed
}

func pass(from, to, n int) error {
	buf := make([]byte, 1)
	for range n {
		if _, err := unix.Read(from, buf); err != nil {
			return err
		}
		if _, err := unix.Write(to, buf); err != nil {
			return err
		}
	}
	return nil
}

// timePingpong tells the time per context switch on one CPU, the best of
// many rounds that are short enough to escape whatever else runs.
func timePingpong(n int) (time.Duration, error) {
	var one unix.CPUSet
	one.Set(0)
	tasks, err := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		if err == nil {
			err = unix.SchedSetaffinity(tid, &one)
		}
	}
	best := time.Hour
	for range 300 {
		began := time.Now()
		if err == nil {
			err = pingpong(n)
		}
		best = min(best, time.Since(began)/time.Duration(2*n))
	}
	return best, err
}

// touch writes to every page of fresh memory.
func touch(size int) error {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	if err := unix.Madvise(mem, unix.MADV_NOHUGEPAGE); err != nil {
		return err
	}
	for i := 0; i < size; i += os.Getpagesize() {
		mem[i] = 1
	}
	return nil
}

// disk writes a file through to the device, forgets its pages and reads it again.
func disk(path string, size int) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, size)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, struct{ io.Reader }{f})
	return err
}

// loopback sends size bytes over TCP to ourselves.
func loopback(size int) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	got := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.CopyN(io.Discard, c, int64(size))
			c.Close()
		}
		got <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(make([]byte, size)); err != nil {
		return err
	}
	return <-got
}

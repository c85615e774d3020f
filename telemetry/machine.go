package telemetry

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Machine is what a whole machine has and uses, tasks and all else.
type Machine struct {
	At           time.Time
	CPUs         int
	Busy         time.Duration // summed over the CPUs since it was started; what a hypervisor took is not ours
	MemTotal     uint64        // bytes
	MemAvailable uint64        // that could be had without swapping
}

// ReadMachine reads /proc. CPU time is what the kernel found at its clock ticks.
func ReadMachine() (Machine, error) { return readMachine("/proc") }

func readMachine(proc string) (Machine, error) {
	m := Machine{At: time.Now(), CPUs: runtime.NumCPU()}
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return m, fmt.Errorf("read the machine's use: %w", err)
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	if m.Busy, err = busy(string(line)); err != nil {
		return m, fmt.Errorf("read %s/stat: %w", proc, err)
	}
	f, err := os.Open(filepath.Join(proc, "meminfo"))
	if err != nil {
		return m, fmt.Errorf("read the machine's memory: %w", err)
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		words := strings.Fields(scan.Text())
		if len(words) < 2 {
			continue
		}
		kb, err := strconv.ParseUint(words[1], 10, 54)
		switch {
		case err != nil:
		case words[0] == "MemTotal:":
			m.MemTotal = kb << 10
		case words[0] == "MemAvailable:":
			m.MemAvailable = kb << 10
		}
	}
	if m.MemTotal == 0 {
		return m, errors.New("read the machine's memory: MemTotal is missing")
	}
	return m, nil
}

// busy sums the line "cpu user nice system idle iowait irq softirq steal …", in
// hundredths of a second; guests are part of user.
func busy(line string) (time.Duration, error) {
	f := strings.Fields(line)
	if len(f) < 8 || f[0] != "cpu" {
		return 0, fmt.Errorf("%q is no line of CPU times", line)
	}
	var sum uint64
	for _, i := range []int{1, 2, 3, 6, 7} {
		n, err := strconv.ParseUint(f[i], 10, 48)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * 10 * time.Millisecond, nil
}

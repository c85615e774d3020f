package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"muster/telemetry"
)

// readIO2 sums io.stat: "8:0 rbytes=1 wbytes=2 rios=3 …", one line per device.
func (g *Group) readIO2(s *telemetry.Sample) {
	for line := range lines(g.io, "io.stat") {
		for field := range strings.FieldsSeq(line) {
			key, value, _ := strings.Cut(field, "=")
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				continue // the device's name
			}
			switch key {
			case "rbytes":
				s.ReadBytes += n
			case "wbytes":
				s.WriteBytes += n
			}
		}
	}
}

// readIO1 sums "8:0 Read 1" and "8:0 Write 2". The throttle files count all
// block IO whether it is throttled or not.
func (g *Group) readIO1(s *telemetry.Sample) {
	for line := range lines(g.io, "blkio.throttle.io_service_bytes_recursive") {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue // the total of all devices
		}
		n, err := strconv.ParseUint(f[2], 10, 64)
		if err != nil {
			continue
		}
		switch f[1] {
		case "Read":
			s.ReadBytes += n
		case "Write":
			s.WriteBytes += n
		}
	}
}

// number reads a file that holds one number.
func number(dir, file string) (uint64, bool) {
	text := read(dir, file)
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	return n, err == nil
}

// keyed reads a file of lines "key number".
func keyed(dir, file string) map[string]uint64 {
	kv := map[string]uint64{}
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

// read returns "" for a file that is not there: its controller is not enabled,
// or the cgroup has vanished, which Group.Read finds out by itself.
func read(dir, file string) string {
	if dir == "" {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	return string(text)
}

package cgroup

import (
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

package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"muster/telemetry"
)

// With each program refused in turn, the others do their work; only the first
// cannot be done without, and its refusal leaves nothing behind.
func TestOneRefusedProgramCostsOneMetric(t *testing.T) {
	opened(t) // or skip
	for _, c := range []struct{ program, warns string }{
		{usageProgFlush, "usage of running tasks shows late"},
		{usageProgMarkVictim, ""}, // files tell
		{usageProgIngress, "network traffic is not measured"},
		{usageProgEgress, "network traffic is not measured"},
	} {
		t.Run(c.program, func(t *testing.T) {
			var log bytes.Buffer
			s, err := open(slog.New(slog.NewTextHandler(&log, nil)), options{refused: c.program})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			b := newBox(t, "refused-"+c.program)
			add(t, s, b.Container)
			p := b.start("spin 50")
			p.begin().line()
			got := one(t, s, b.ID)
			p.done()
			if got.CPU < 50*time.Millisecond || got.Switches == 0 {
				t.Errorf("cpu time %v, %d switches", got.CPU, got.Switches)
			}
			if n := strings.Count(log.String(), "level=WARN"); c.warns == "" && n != 0 || c.warns != "" && (n != 1 || !strings.Contains(log.String(), c.warns)) {
				t.Errorf("want one warning %q, got:\n%s", c.warns, log.String())
			}
		})
	}
	for _, program := range []string{usageProgSchedSwitch, usageProgLevel} {
		if s, err := open(nil, options{refused: program}); !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), program) {
			t.Errorf("without %s: %v, %v", program, s, err)
		}
	}
}

// A container for which the map has no room is measured from its files; what it
// does counts as what belongs to none. One warning for all of them.
func TestFullMapMeasuresFromFiles(t *testing.T) {
	opened(t) // or skip
	var log bytes.Buffer
	s, err := open(slog.New(slog.NewTextHandler(&log, nil)), options{containers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var boxes []*box
	for i := range 3 {
		b := newBox(t, fmt.Sprintf("full-%d", i))
		boxes = append(boxes, b)
		add(t, s, b.Container)
		p := b.start("spin 50")
		p.begin().line()
		p.done()
	}
	all, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	pulses, err := s.Pulse([]string{"full-0", "full-1", "full-2", "nosuch"})
	if err != nil || len(pulses) != 3 {
		t.Fatalf("%d pulses, %v", len(pulses), err)
	}
	for i, b := range boxes {
		got := one(t, s, b.ID)
		if all[b.ID].CPU < 50*time.Millisecond || got.CPU < 50*time.Millisecond || pulses[b.ID].CPU < 50*time.Millisecond {
			t.Errorf("container %d: cpu time %v, %v, %v", i, all[b.ID].CPU, got.CPU, pulses[b.ID].CPU)
		}
		if counted := got.Switches > 0; counted != (i == 0) {
			t.Errorf("container %d: counted %v", i, counted)
		}
	}
	if other, err := s.Other(); err != nil || other.CPU < 100*time.Millisecond {
		t.Errorf("others used %v, %v", other.CPU, err)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
	for _, b := range boxes {
		s.Remove(b.ID)
	}
	add(t, s, boxes[2].Container) // there is room again
	if !s.all["full-2"].counted {
		t.Error("a freed place was not taken")
	}
}

// A cgroup that vanishes between two readings, or under one, is left out.
func TestVanishedCgroupIsLeftOutOfEveryReading(t *testing.T) {
	s := opened(t)
	stays, goes := newBox(t, "stays"), newBox(t, "goes")
	add(t, s, stays.Container)
	add(t, s, goes.Container)
	for _, dir := range goes.Cgroups {
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Read()
	if _, still := all["goes"]; err != nil || still || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	pulses, err := s.Pulse([]string{"stays", "goes"})
	if _, there := pulses["stays"]; err != nil || !there {
		t.Fatalf("%v, %v", pulses, err)
	}
	if err := s.Add(goes.Container); !errors.Is(err, telemetry.ErrVanished) {
		t.Fatalf("added: %v", err)
	}
}

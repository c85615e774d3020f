package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/telemetry"
)

func TestRemovedAndVanishedContainersAreLeftOut(t *testing.T) {
	s := opened(t)
	b, c := newBox(t, "stays"), newBox(t, "goes")
	add(t, s, b.Container)
	add(t, s, c.Container)
	p := c.start("spin 50")
	p.begin().line()
	p.done()
	for _, dir := range c.Cgroups {
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := got["stays"]; !ok || len(got) != 1 {
		t.Errorf("read %v", got)
	}
	if last := one(t, s, "goes"); last.CPU < 50*time.Millisecond {
		t.Errorf("cpu time of a vanished container: %v", last.CPU)
	}
	s.Remove("goes")
	if _, ok := s.ReadOne("goes"); ok {
		t.Error("a removed container is still measured")
	}
	if err := s.Add(c.Container); !errors.Is(err, telemetry.ErrVanished) {
		t.Errorf("adding a vanished container: %v", err)
	}
	s.Remove("never added")
}

func TestAddAgainStartsAnew(t *testing.T) {
	s := opened(t)
	b := newBox(t, "again")
	add(t, s, b.Container)
	p := b.start("net 1")
	p.begin().line()
	p.done()
	if one(t, s, "again").TxBytes == 0 {
		t.Fatal("nothing was counted")
	}
	add(t, s, b.Container)
	if n := one(t, s, "again").TxBytes; n != 0 {
		t.Errorf("%d bytes remain", n)
	}
	if err := s.Add(telemetry.Container{ID: "thief", Cgroups: b.Cgroups}); err == nil {
		t.Error("two containers share one cgroup")
	}
}

func TestNestedContainerOfItsOwnIsNotCountedTwice(t *testing.T) {
	s := opened(t)
	b := newBox(t, "outer")
	inner := filepath.Join(b.Cgroups[""], "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(inner) })
	p := b.start("net 4", inner)
	add(t, s, b.Container)
	add(t, s, telemetry.Container{ID: "inner", Cgroups: map[string]string{"": inner}})
	p.begin().line()
	p.done()
	near(t, "sent by the inner", float64(one(t, s, "inner").TxBytes), 4<<20, .05)
	if n := one(t, s, "outer").TxBytes; n != 0 {
		t.Errorf("sent by the outer: %d", n)
	}
}

func TestWhatBelongsToNoContainerIsOther(t *testing.T) {
	s := opened(t)
	b := newBox(t, "other")
	before, err := s.Other()
	if err != nil {
		t.Fatal(err)
	}
	p := b.start("spin 200")
	p.begin().line()
	p.done()
	after, err := s.Other()
	if err != nil {
		t.Fatal(err)
	}
	if got := after.CPU - before.CPU; got < 200*time.Millisecond {
		t.Errorf("cpu time of all others: %v", got)
	}
}

func TestAProgramThatCannotRunCostsOneMetric(t *testing.T) {
	opened(t) // or skip
	var text bytes.Buffer
	p, err := load("/nowhere", options{}, slog.New(slog.NewTextHandler(&text, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if p.network || len(p.links) == 0 {
		t.Errorf("network %v, %d programs run", p.network, len(p.links))
	}
	if n := strings.Count(text.String(), "network traffic is not measured"); n != 1 {
		t.Errorf("said %d times: %s", n, &text)
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
}

func TestManyCallersAtOnce(t *testing.T) {
	s := opened(t)
	var all []*box
	for i := range 8 {
		all = append(all, newBox(t, fmt.Sprint("many", i)))
	}
	var callers sync.WaitGroup
	for _, b := range all {
		callers.Go(func() {
			for range 50 {
				if err := s.Add(b.Container); err != nil {
					t.Error(err)
				}
				if got, err := s.Read(); err != nil || got[b.ID].At.IsZero() {
					t.Errorf("read %v %v", got, err)
				}
				s.ReadOne(b.ID)
				s.Remove(b.ID)
			}
		})
	}
	callers.Wait()
	if got, err := s.Read(); err != nil || len(got) != 0 {
		t.Errorf("read %v %v", got, err)
	}
	if levels := s.levels; len(levels) != 0 {
		t.Errorf("levels remain: %v", levels)
	}
}

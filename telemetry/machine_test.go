package telemetry

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMachineIsReadFromProc(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := readMachine(dir); err == nil {
		t.Error("a machine without /proc was read")
	}
	write("stat", "cpu  100 20 30 5000 400 5 6 700 50 0\ncpu0 1 2 3\n")
	write("meminfo", "MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\nHugePages_Total: 0\n")
	m, err := readMachine(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := 1610 * time.Millisecond; m.Busy != want || m.MemTotal != 2<<20 || m.MemAvailable != 1<<20 || m.CPUs < 1 {
		t.Errorf("%+v, want %v busy", m, want)
	}
	for _, text := range []string{"", "cpu 1 2\n", "cpu a b c d e f g h\n"} {
		write("stat", text)
		if _, err := readMachine(dir); err == nil {
			t.Errorf("%q was taken for CPU times", text)
		}
	}
	if m, err := ReadMachine(); err != nil || m.Busy == 0 {
		t.Errorf("this machine: %+v, %v", m, err)
	}
}

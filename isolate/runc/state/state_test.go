package state

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestRecordsAreReadBack(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "c"))
	if d.Exists() {
		t.Fatal("exists before it was made")
	}
	if s, err := d.Started(); s != nil || err != nil {
		t.Fatalf("started: %v, %v", s, err)
	}
	if err := d.WriteTask(&Task{ID: "c", Args: []string{"a", ""}, Limits: Limits{Memory: 1 << 40}}); err != nil {
		t.Fatal(err)
	}
	task, err := d.Task()
	if err != nil || !d.Exists() || len(task.Args) != 2 || task.Limits.Memory != 1<<40 {
		t.Fatalf("task %+v, %v", task, err)
	}
	at := time.Unix(1, 2)
	if err := d.WriteStarted(&Started{PID: 7, Cgroups: map[string]string{"": "/x"}, At: at}); err != nil {
		t.Fatal(err)
	}
	if s, err := d.Started(); err != nil || s.PID != 7 || !s.At.Equal(at) || s.Cgroups[""] != "/x" {
		t.Fatalf("started %+v, %v", s, err)
	}
	if err := d.WriteEnded(&Ended{Code: 3, OOM: true, At: at}); err != nil {
		t.Fatal(err)
	}
	if e, err := d.Ended(); err != nil || e.Code != 3 || !e.OOM {
		t.Fatalf("ended %+v, %v", e, err)
	}
}

func TestHalfARecordIsAnError(t *testing.T) {
	d := Dir(t.TempDir())
	if err := os.WriteFile(d.path("exit.json"), []byte(`{"Code":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := d.Ended(); e != nil || err == nil {
		t.Fatalf("ended %v, %v", e, err)
	}
}

func TestLockOutlivesWhoeverTookIt(t *testing.T) {
	d := Dir(t.TempDir())
	if shim, err := d.Shim(); shim != nil || err != nil {
		t.Fatalf("shim %v, %v", shim, err)
	}
	lock, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(); !errors.Is(err, ErrHeld) {
		t.Fatalf("second lock: %v", err)
	}
	// A child that holds it and says so, as a shim does.
	child := exec.Command("sh", "-c", "printf $$ >&3; exec sleep 1000")
	child.ExtraFiles = []*os.File{lock}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	lock.Close()
	shim, err := d.Shim()
	if err != nil || shim == nil || shim.PID != child.Process.Pid {
		t.Fatalf("shim %+v, %v, want %d", shim, err, child.Process.Pid)
	}
	defer shim.File.Close()
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Fatal("child was not killed")
	}
	if shim, err := d.Shim(); shim != nil || err != nil {
		t.Fatalf("shim after its death: %v, %v", shim, err)
	}
	if again, err := d.Lock(); err != nil {
		t.Fatalf("lock after its death: %v", err)
	} else {
		again.Close()
	}
}

func TestStartTimeTellsProcessesApart(t *testing.T) {
	mine, alive := StartTime(os.Getpid())
	if !alive || mine == 0 {
		t.Fatalf("own start time %d, %v", mine, alive)
	}
	if _, alive := StartTime(1 << 30); alive {
		t.Fatal("no such process is alive")
	}
}

package isolatetest

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"

	"muster/isolate"
)

func TestStartTwiceRunsOnce(t *testing.T) {
	d := NewDriver(nil)
	first, err := d.Start(t.Context(), isolate.Spec{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.Start(t.Context(), isolate.Spec{ID: "a"})
	if err != nil || second.PID != first.PID || d.Starts("a") != 2 {
		t.Fatalf("second start: %v, %v, %d starts", second, err, d.Starts("a"))
	}
}

func TestWaitReturnsTheScriptedExitUntilDestroy(t *testing.T) {
	d := NewDriver(func(isolate.Spec) Behaviour { return Behaviour{Exit: &isolate.Exit{Code: 3}} })
	if _, err := d.Start(t.Context(), isolate.Spec{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if exit, err := d.Wait(t.Context(), "a"); err != nil || exit.Code != 3 || exit.At.IsZero() {
			t.Fatalf("exit %+v, %v", exit, err)
		}
	}
	if err := d.Destroy(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Wait(t.Context(), "a"); !errors.Is(err, isolate.ErrUnknownContainer) {
		t.Fatalf("after destroy: %v", err)
	}
	if !d.Destroyed("a") {
		t.Fatal("destroy was not recorded")
	}
}

func TestSignalsEndAsInTheKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDriver(func(isolate.Spec) Behaviour { return Behaviour{IgnoreTerm: true} })
		if _, err := d.Start(t.Context(), isolate.Spec{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		if err := d.Signal("a", int(syscall.SIGTERM), true); err != nil {
			t.Fatal(err)
		}
		if got := d.Running(); len(got) != 1 {
			t.Fatalf("running after an ignored SIGTERM: %v", got)
		}
		go func() {
			if err := d.Signal("a", int(syscall.SIGKILL), true); err != nil {
				t.Error(err)
			}
		}()
		if err := d.Await(t.Context(), func() bool { return len(d.Running()) == 0 }); err != nil {
			t.Fatal(err)
		}
		if exit, err := d.Wait(context.Background(), "a"); err != nil || exit.Signal != int(syscall.SIGKILL) {
			t.Fatalf("exit %+v, %v", exit, err)
		}
	})
}

func TestNeedRootPassesWhereContainersWork(t *testing.T) {
	NeedRoot(t)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"time"

	"muster/node/client"
	"muster/offers/mesos"
)

// devAPI is where the first node of `muster dev` always is.
const devAPI = "127.0.0.1:5050"

// startToFirstTask starts a cluster of one node from nothing.
func startToFirstTask(ctx context.Context, m *machine) (o outcome, err error) {
	const runs = 5
	for _, address := range []string{devAPI, "127.0.0.1:5051", "127.0.0.1:5055"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return o, cannot("muster dev needs %s: %v", address, err)
		}
		l.Close()
	}
	for range runs {
		d, err := firstTask(ctx, m)
		if err != nil {
			return o, err
		}
		o.samples = append(o.samples, d.Seconds())
	}
	return o, nil
}

// firstTask is one run: start, subscribe as soon as somebody answers, launch.
func firstTask(ctx context.Context, m *machine) (took time.Duration, err error) {
	var out bytes.Buffer
	cmd := exec.Command(m.muster, "dev", "--nodes", "1")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ctx, ended := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		err := cmd.Wait()
		ended(fmt.Errorf("muster dev ended: %w", err))
		close(done)
	}()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended
		<-done
		if err != nil {
			err = fmt.Errorf("%w:\n%s", err, out.Bytes())
		}
	}()
	f, err := subscribeSoon(ctx, devAPI)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	ids, _, err := f.launch(ctx, sleeping("first", 1))
	if err != nil {
		return 0, err
	}
	at, err := f.reach(ctx, mesos.TaskState_TASK_RUNNING, ids...)
	return at.Sub(begin), err
}

// subscribeSoon tries until a node answers.
func subscribeSoon(ctx context.Context, address string) (*framework, error) {
	for {
		f, err := subscribe(ctx, address)
		if err == nil || !client.Temporary(err) {
			return f, err
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

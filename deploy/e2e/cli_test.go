package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"muster/node/client"
)

// program is the command line, run beside the test.
type program struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err buffer
	done     chan struct{}
}

// begin starts `muster args…`.
func begin(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{t: t, cmd: exec.CommandContext(ctx, binary, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	if err := p.cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is asked by exit
		close(p.done)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
	})
	return p
}

// exit waits for the program's end and returns its code.
func (p *program) exit() int {
	p.t.Helper()
	await(p.t, strings.Join(p.cmd.Args, " "), func() bool {
		select {
		case <-p.done:
			return true
		default:
			return false
		}
	})
	return p.cmd.ProcessState.ExitCode()
}

// run is `muster run` at d.
func (d *daemon) run(args ...string) *program {
	d.t.Helper()
	return begin(d.t, append([]string{"run", "--api", d.API(), "--mem", "32"}, args...)...)
}

func runEnds(t *testing.T, d *daemon) {
	for name, row := range map[string]struct {
		args []string
		code int
	}{
		"success":      {[]string{"--", "true"}, 0},
		"failure":      {[]string{"--shell", "--", "exit 3"}, 1},
		"no program":   {[]string{"--", "/no/such/program"}, 1},
		"several":      {[]string{"--instances", "3", "--cpus", "0.05", "--name", "several", "--", "true"}, 0},
		"none at all":  {[]string{"--instances", "0", "--", "true"}, 1},
		"no command":   {nil, 1},
		"a bad format": {[]string{"-o", "xml", "--", "true"}, 1},
		"a bad pair":   {[]string{"--env", "x", "--", "true"}, 1},
	} {
		p := d.run(row.args...)
		if code := p.exit(); code != row.code {
			t.Errorf("%s: exit code %d, want %d: %s%s", name, code, row.code, p.out.String(), p.err.String())
		}
		if name == "several" && strings.Count(p.err.String(), "FINISHED") != 3 {
			t.Errorf("several: %s", p.err.String())
		}
	}
	p := begin(t, "run", "--api", "127.0.0.1:1", "--", "true")
	if code := p.exit(); code != 1 || !strings.Contains(p.err.String(), "127.0.0.1:1") {
		t.Errorf("without a daemon: %d %s", code, p.err.String())
	}
}

func runFollows(t *testing.T, d *daemon) {
	p := d.run("--follow", "--shell", "--env", "A=1", "--env", "B=two words", "--", "echo $A $B; echo ill >&2; sleep 0.3; echo end")
	if code := p.exit(); code != 0 || p.out.String() != "1 two words\nend\n" || !strings.Contains(p.err.String(), "ill\n") || !strings.Contains(p.err.String(), "FINISHED") {
		t.Errorf("%d, %q, %q", code, p.out.String(), p.err.String())
	}
	p = d.run("-o", "json", "--instances", "2", "--name", "line", "--", "true")
	if code := p.exit(); code != 0 {
		t.Errorf("%d: %s", code, p.err.String())
	}
	finished := 0
	for line := range strings.Lines(p.out.String()) {
		var e struct{ Time, State, Name, Host string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time == "" || e.Host == "" || !strings.HasPrefix(e.Name, "line-") {
			t.Errorf("%v in %s", err, line)
		}
		if e.State == "TASK_FINISHED" {
			finished++
		}
	}
	if finished != 2 || p.err.String() != "" {
		t.Errorf("%s%s", p.out.String(), p.err.String())
	}
}

func runInterrupted(t *testing.T, d *daemon) {
	p := d.run("--instances", "2", "--name", "long", "--shell", "--", "echo up; sleep 1000")
	await(t, "two running tasks", func() bool { return strings.Count(p.err.String(), "RUNNING") == 2 })
	var view struct{ Tasks []used }
	await(t, "their usage", func() bool {
		return d.JSON(t.Context(), "/muster/v1/usage", &view) == nil && len(view.Tasks) == 2
	})
	if err := p.cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(); code != 130 || !strings.Contains(p.err.String(), "interrupted") {
		t.Errorf("%d: %s", code, p.err.String())
	}
	for _, u := range view.Tasks {
		gone(t, u.PID)
	}
}

func logsFollow(t *testing.T, d *daemon) {
	f := subscribe(t, d, client.Protobuf, nil)
	f.begin("talker", "echo first; echo aside >&2; until test -e /mnt/mesos/sandbox/go; do sleep 0.1; done; echo last")
	p := begin(t, "logs", "-f", "talker", "--api", d.API())
	await(t, "the first line", func() bool { return p.out.String() == "first\n" })
	if out := d.muster("logs", "talker", "--stderr", "--api", d.API()); string(out) != "aside\n" {
		t.Errorf("standard error is %q", out)
	}
	d.touch(f.id(), "talker", "go")
	if code := p.exit(); code != 0 || p.out.String() != "first\nlast\n" {
		t.Errorf("%d, %q, %s", code, p.out.String(), p.err.String())
	}
	if _, err := command("logs", "nobody", "--api", d.API()); err == nil || !strings.Contains(err.Error(), `no task "nobody" is known`) {
		t.Errorf("logs of no task: %v", err)
	}
}

func outputs(t *testing.T, d *daemon) {
	f := subscribe(t, d, client.Protobuf, nil)
	f.begin("listed", "sleep 1000")
	tasksOf(t, d, "listed")
	await(t, "an offer", func() bool { return f.count(func() int { return len(f.offers) }) > 0 })
	for _, name := range []string{"nodes", "agents", "frameworks", "tasks", "offers", "quorum", "usage", "version"} {
		args := []string{name, "-o", "json"}
		if name != "version" {
			args = append(args, "--api", d.API())
		}
		text := d.muster(args...)
		var v any
		if err := json.Unmarshal(text, &v); err != nil || len(text) < 20 {
			t.Errorf("%s: %v in %s", name, err, text)
		}
		table := d.muster(append([]string{name}, args[3:]...)...)
		if len(bytes.TrimSpace(table)) == 0 || json.Valid(table) {
			t.Errorf("%s: %s", name, table)
		}
		switch name {
		case "tasks", "usage":
			if !bytes.Contains(text, []byte("listed")) || !bytes.Contains(table, []byte("listed")) {
				t.Errorf("%s does not show the task: %s%s", name, text, table)
			}
		case "version":
		default:
			if !bytes.Contains(table, []byte(d.IP)) && !bytes.Contains(table, []byte(d.Name)) && name != "frameworks" {
				t.Errorf("%s does not show the node: %s", name, table)
			}
		}
		if _, err := command(append([]string{name, "-o", "xml"}, args[3:]...)...); err == nil {
			t.Errorf("%s has an output that is neither table nor json", name)
		}
	}
	if _, err := command("nodes", "--api", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "is its daemon running?") {
		t.Errorf("nodes of nobody: %v", err)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if len(d.muster("completion", shell)) < 1000 {
			t.Errorf("no completion for %s", shell)
		}
	}
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/user"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
	"muster/offers/resource"
)

// runOptions is what `muster run` was asked for.
type runOptions struct {
	argv      []string
	cpus, mem float64
	name      string
	instances int
	env       []string
	user      string
	role      string
	shell     bool
	follow    bool
}

func runCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use: "run [flags] [--] CMD [ARG…]", Short: "Run a command as tasks and wait for them", GroupID: "use",
		Long: `Subscribes as a framework, launches CMD as one or more tasks, shows their states
as they change, and ends when they have: with 0 if all finished, with 1 if not.
Ctrl-C kills them.`,
		Example: `  muster run -- echo hello
  muster run --follow --shell -- 'for i in 1 2 3; do echo $i; sleep 1; done'
  muster run --instances 20 --cpus 0.1 --mem 32 -- sleep 60`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("what is to be run? For example: muster run -- echo hello")
			}
			o.argv = args
			nodes, err := connect(c)
			if err != nil {
				return err
			}
			r, err := newRun(c, o)
			if err != nil {
				return err
			}
			// A running framework waits for a lost node; one that begins is to hear at once.
			if _, err := nodes.Get(c.Context(), master.Call_GET_HEALTH); err != nil {
				return explain(err, nodes)
			}
			return explain(r.run(c.Context(), nodes), nodes)
		},
	}
	f := c.Flags()
	f.SetInterspersed(false) // what follows CMD is CMD's
	f.Float64Var(&o.cpus, "cpus", 0.1, "CPUs of each task")
	f.Float64Var(&o.mem, "mem", 64, "memory of each task, in MB")
	f.StringVar(&o.name, "name", "", "name of the tasks (default: the command's)")
	f.IntVarP(&o.instances, "instances", "n", 1, "how many tasks")
	f.StringArrayVarP(&o.env, "env", "e", nil, "NAME=value for the tasks' environment; may be repeated")
	f.StringVar(&o.user, "user", "", "user to run as (default: you)")
	f.StringVar(&o.role, "role", "*", "role to get offers for")
	f.BoolVar(&o.shell, "shell", false, "CMD is one line for /bin/sh")
	f.BoolVarP(&o.follow, "follow", "f", false, "print what the tasks write")
	addAPI(c)
	addOutput(c)
	return c
}

// run is the framework behind `muster run`. Its fields belong to the goroutine
// that handles events.
type run struct {
	o       runOptions
	command *mesos.CommandInfo
	need    resource.Set
	out     *events
	cmd     *cobra.Command

	waiting []string            // names of tasks to launch
	tasks   map[string]*runTask // launched, by task ID
	failed  int
	ended   int
	logs    sync.WaitGroup
}

type runTask struct {
	name   string
	agent  string // host:port of its agent's API
	host   string
	states []mesos.TaskState // as they came
	done   chan struct{}     // closed when the task has ended
}

func newRun(c *cobra.Command, o runOptions) (*run, error) {
	if o.instances < 1 {
		return nil, fmt.Errorf("instances: %d is less than 1", o.instances)
	}
	if o.cpus <= 0 || o.mem <= 0 {
		return nil, errors.New("cpus and mem must be more than 0")
	}
	if o.user == "" {
		u, err := user.Current()
		if err != nil {
			return nil, err
		}
		o.user = u.Username
	}
	need, err := resource.Parse(fmt.Sprintf("cpus:%g;mem:%g", o.cpus, o.mem))
	if err != nil {
		return nil, err
	}
	r := &run{o: o, need: need, cmd: c, tasks: map[string]*runTask{}}
	if r.command, err = o.command(); err != nil {
		return nil, err
	}
	if r.out, err = newEvents(c); err != nil {
		return nil, err
	}
	name := cmp.Or(o.name, taskName(o.argv[0]))
	for i := range o.instances {
		n := name
		if o.instances > 1 {
			n = fmt.Sprintf("%s-%d", name, i)
		}
		r.waiting = append(r.waiting, n)
	}
	return r, nil
}

// taskName makes a name of a command's first word.
func taskName(word string) string {
	word = word[strings.LastIndex(word, "/")+1:]
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			return c
		}
		return -1
	}, strings.Fields(word + " task")[0])
	return cmp.Or(name, "task")
}

func (o runOptions) command() (*mesos.CommandInfo, error) {
	c := &mesos.CommandInfo{Shell: proto.Bool(o.shell), User: proto.String(o.user)}
	if o.shell {
		c.Value = proto.String(strings.Join(o.argv, " "))
	} else {
		c.Value, c.Arguments = proto.String(o.argv[0]), o.argv
	}
	for _, pair := range o.env {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("env: %q is not NAME=value", pair)
		}
		c.Environment = cmp.Or(c.Environment, &mesos.Environment{})
		c.Environment.Variables = append(c.Environment.Variables, &mesos.Environment_Variable{Name: &name, Value: &value})
	}
	return c, nil
}

// run subscribes and returns when all tasks have ended.
func (r *run) run(ctx context.Context, nodes *client.Client) error {
	info := &mesos.FrameworkInfo{
		User: proto.String(r.o.user), Name: proto.String("muster run"), Roles: []string{r.o.role},
		FailoverTimeout: proto.Float64(60),
	}
	for _, c := range []mesos.FrameworkInfo_Capability_Type{
		mesos.FrameworkInfo_Capability_MULTI_ROLE, mesos.FrameworkInfo_Capability_PARTITION_AWARE,
		mesos.FrameworkInfo_Capability_TASK_KILLING_STATE, mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT,
	} {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: c.Enum()})
	}
	hint := time.AfterFunc(5*time.Second, func() {
		r.out.note("still waiting for an offer with %s: see `muster agents` and `muster offers`", r.need)
	})
	defer hint.Stop()
	err := client.Run(ctx, client.Framework{Info: info, Teardown: true, Handle: func(ctx context.Context, s *client.Session, e *scheduler.Event) error {
		if len(r.tasks) > 0 {
			hint.Stop()
		}
		return r.handle(ctx, s, e)
	}}, nodes)
	for _, t := range r.tasks {
		t.end()
	}
	r.logs.Wait()
	switch {
	case ctx.Err() != nil:
		return exitError{errors.New("interrupted: the tasks were killed"), 130}
	case err != nil:
		return err
	case r.failed > 0:
		return fmt.Errorf("%d of %d tasks did not finish", r.failed, r.o.instances)
	}
	return nil
}

func (r *run) handle(ctx context.Context, s *client.Session, e *scheduler.Event) error {
	switch e.GetType() {
	case scheduler.Event_OFFERS:
		return r.offered(ctx, s, e.GetOffers().GetOffers())
	case scheduler.Event_UPDATE:
		return r.updated(ctx, s, e.GetUpdate().GetStatus())
	}
	return nil
}

// offered spreads tasks over the offers, launches on each what fits, and declines the rest.
func (r *run) offered(ctx context.Context, s *client.Session, offers []*mesos.Offer) error {
	places := make([]*place, len(offers))
	for i, offer := range offers {
		free, err := resource.FromProto(offer.GetResources())
		if err != nil {
			return fmt.Errorf("offer %s: %w", offer.GetId().GetValue(), err)
		}
		places[i] = &place{offer: offer, free: free}
	}
	share := (len(r.waiting) + len(places) - 1) / max(len(places), 1)
	for _, most := range []int{share, len(r.waiting)} { // evenly first, then wherever there is room
		for _, p := range places {
			r.fill(p, most)
		}
	}
	for _, p := range places {
		if err := p.answer(ctx, s); err != nil {
			return err
		}
	}
	if len(r.waiting) == 0 {
		return s.Suppress(ctx)
	}
	return nil
}

// place is one offer with the tasks that are to run on it.
type place struct {
	offer *mesos.Offer
	free  resource.Set
	tasks []*mesos.TaskInfo
}

func (p *place) answer(ctx context.Context, s *client.Session) error {
	if len(p.tasks) == 0 {
		return s.Decline(ctx, 5, p.offer.GetId())
	}
	return s.Accept(ctx, 5, []*mesos.OfferID{p.offer.GetId()}, client.Launch(p.tasks...))
}

// fill adds tasks to p while they fit, up to most.
func (r *run) fill(p *place, most int) {
	need := r.need.Allocate(p.offer.GetAllocationInfo().GetRole())
	for len(r.waiting) > 0 && len(p.tasks) < most && p.free.Contains(need) {
		name := r.waiting[0]
		r.waiting = r.waiting[1:]
		p.free = p.free.Sub(need)
		id := name + "." + uuid.NewString()[:8]
		address := p.offer.GetUrl().GetAddress()
		r.tasks[id] = &runTask{
			name: name, host: p.offer.GetHostname(), done: make(chan struct{}),
			agent: fmt.Sprintf("%s:%d", cmp.Or(address.GetIp(), address.GetHostname()), address.GetPort()),
		}
		p.tasks = append(p.tasks, &mesos.TaskInfo{
			Name: &name, TaskId: &mesos.TaskID{Value: &id}, AgentId: p.offer.GetAgentId(),
			Resources: need.Proto(), Command: r.command,
		})
	}
}

// updated follows one task; a task that never started is launched again.
func (r *run) updated(ctx context.Context, s *client.Session, status *mesos.TaskStatus) error {
	id := status.GetTaskId().GetValue()
	t := r.tasks[id]
	state := status.GetState()
	if t == nil || slices.Contains(t.states, state) {
		return nil
	}
	started := slices.Contains(t.states, mesos.TaskState_TASK_RUNNING)
	t.states = append(t.states, state)
	r.out.update(t, status)
	switch {
	case state == mesos.TaskState_TASK_RUNNING && r.o.follow:
		r.follow(ctx, s, t, id)
	case state == mesos.TaskState_TASK_DROPPED && !started:
		t.end()
		delete(r.tasks, id)
		r.waiting = append(r.waiting, t.name)
		return s.Revive(ctx)
	case state.Terminal():
		t.end()
		r.ended++
		if state != mesos.TaskState_TASK_FINISHED {
			r.failed++
		}
	}
	if r.ended == r.o.instances {
		return client.ErrDone
	}
	return nil
}

func (t *runTask) end() {
	select {
	case <-t.done:
	default:
		close(t.done)
	}
}

// follow copies the task's output until the task has ended.
func (r *run) follow(ctx context.Context, s *client.Session, t *runTask, id string) {
	agent, err := connectTo(r.cmd, t.agent)
	if err != nil {
		r.out.note("%s: its output cannot be followed: %v", t.name, err)
		return
	}
	path := fmt.Sprintf("/frameworks/%s/executors/%s/runs/latest/", s.FrameworkID().GetValue(), id)
	stdout := r.cmd.OutOrStdout()
	if r.out.json { // standard output holds nothing but JSON then
		stdout = r.cmd.ErrOrStderr()
	}
	for name, out := range map[string]io.Writer{"stdout": stdout, "stderr": r.cmd.ErrOrStderr()} {
		r.logs.Go(func() {
			if _, err := agent.Follow(ctx, path+name, wholeFile, out, followEvery, t.done); err != nil && ctx.Err() == nil {
				r.out.note("%s: its %s cannot be followed: %v", t.name, name, explainAgent(err, t.agent))
			}
		})
	}
}

// events tells what happens, for people on standard error, or as JSON lines on
// standard output.
type events struct {
	mu   sync.Mutex
	out  io.Writer
	json bool
}

func newEvents(c *cobra.Command) (*events, error) {
	format, err := c.Flags().GetString("output")
	switch {
	case err != nil:
		return nil, err
	case format == "json":
		return &events{out: c.OutOrStdout(), json: true}, nil
	case format == "table":
		return &events{out: c.ErrOrStderr()}, nil
	}
	return nil, fmt.Errorf("output: %q is neither table nor json", format)
}

func (e *events) update(t *runTask, status *mesos.TaskStatus) {
	e.mu.Lock()
	defer e.mu.Unlock()
	state := strings.TrimPrefix(status.GetState().String(), "TASK_")
	if e.json {
		line := map[string]string{
			"time": time.Now().Format(time.RFC3339Nano), "task_id": status.GetTaskId().GetValue(), "name": t.name, "host": t.host,
			"state": status.GetState().String(), "message": status.GetMessage(),
		}
		if status.Reason != nil {
			line["reason"] = status.GetReason().String()
		}
		maps.DeleteFunc(line, func(_, v string) bool { return v == "" })
		if text, err := json.Marshal(line); err == nil {
			fmt.Fprintln(e.out, string(text))
		}
		return
	}
	line := fmt.Sprintf("%s  %-24s %-9s %s  %s", time.Now().Format(time.TimeOnly), status.GetTaskId().GetValue(), state, t.host, status.GetMessage())
	fmt.Fprintln(e.out, strings.TrimRight(line, " "))
}

func (e *events) note(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.json {
		fmt.Fprintf(e.out, format+"\n", args...)
	}
}

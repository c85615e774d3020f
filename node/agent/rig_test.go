package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/isolate/isolatetest"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/resource"
)

// rig is an agent, the machine below it and the leader above it. The machine and
// the directory outlive the agent.
type rig struct {
	t      *testing.T
	cfg    Config
	driver *isolatetest.Driver
	leader *leader
	agent  *Agent
	log    *slog.Logger

	world *world // of the running agent
	stop  context.CancelFunc
	ended chan error
}

func newRig(t *testing.T, script func(isolate.Spec) isolatetest.Behaviour) *rig {
	no := false
	r := &rig{
		t:      t,
		driver: isolatetest.NewDriver(script),
		leader: &leader{term: 1, acks: true},
		log:    slog.New(slog.DiscardHandler),
		cfg: Config{
			Dir: t.TempDir(), Hostname: "host", IP: "10.0.0.7", Port: 5051, Version: "1.2.3",
			Resources: "cpus:4;mem:4096;disk:1000;ports:[31000-31010]", Attributes: "rack:a",
			SwitchUser: &no, bootID: func() (string, error) { return "boot-1", nil },
		},
	}
	return r
}

// start runs a new agent on what the former left.
func (r *rig) start(crashAt int) {
	r.t.Helper()
	r.world = &world{Driver: r.driver, leader: r.leader, crashAt: crashAt}
	cfg := r.cfg
	cfg.wrap = r.world.wrap
	agent, err := New(cfg, r.world, nil, r.world, r.log)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.agent, r.stop, r.ended = agent, stop, make(chan error, 1)
	go func() { r.ended <- agent.Run(ctx) }()
	synctest.Wait()
}

// end stops the agent as a restart of the daemon does.
func (r *rig) end() {
	r.t.Helper()
	r.stop()
	if err := <-r.ended; err != nil && !r.world.dead() {
		r.t.Errorf("Run: %v", err)
	}
}

// kill stops the agent as kill -9 does: nothing it still tries has an effect.
func (r *rig) kill() {
	r.world.crash()
	r.end()
}

// connect links the agent to the leader, which takes it up.
func (r *rig) connect() {
	r.agent.Connected(r.leader.term)
	r.settle()
}

// settle has agent and leader talk until neither has anything to say.
func (r *rig) settle() {
	r.t.Helper()
	for {
		synctest.Wait()
		answers := r.leader.answer()
		if len(answers) == 0 {
			return
		}
		for _, m := range answers {
			r.say(m)
		}
	}
}

func (r *rig) say(m *protocol.MasterToAgent) {
	r.t.Helper()
	m.Term = proto.Uint64(r.leader.term)
	if err := r.agent.Receive(m); err != nil && !errors.Is(err, ErrStopped) {
		r.t.Fatal(err)
	}
}

// ready starts an agent and registers it.
func (r *rig) ready() *rig {
	r.t.Helper()
	r.start(0)
	r.connect()
	return r
}

func (r *rig) launch(f *mesos.FrameworkInfo, tasks ...*mesos.TaskInfo) {
	r.t.Helper()
	r.say(&protocol.MasterToAgent{Message: &protocol.MasterToAgent_RunTask{RunTask: &protocol.RunTask{Framework: f, Tasks: tasks}}})
	r.settle()
}

func (r *rig) killTask(id string, policy *mesos.KillPolicy) {
	r.t.Helper()
	r.say(&protocol.MasterToAgent{Message: &protocol.MasterToAgent_KillTask{KillTask: &protocol.KillTask{
		FrameworkId: &mesos.FrameworkID{Value: proto.String("f")}, TaskId: &mesos.TaskID{Value: &id}, KillPolicy: policy,
	}}})
	r.settle()
}

// container returns the ID of the task's container.
func (r *rig) container(task string) isolate.ID {
	r.t.Helper()
	for _, t := range r.agent.State().Tasks {
		if t.Info.GetTaskId().GetValue() == task {
			return isolate.ID(t.ContainerID)
		}
	}
	r.t.Fatalf("no task %s", task)
	return ""
}

// exit ends the task's container.
func (r *rig) exit(task string, e isolate.Exit) {
	r.t.Helper()
	if err := r.driver.Exit(r.container(task), e); err != nil {
		r.t.Fatal(err)
	}
	r.settle()
}

// states are what the leader heard of a task, each update once.
func (r *rig) states(task string) []mesos.TaskState {
	var states []mesos.TaskState
	for _, s := range r.leader.statuses(task) {
		states = append(states, s.GetState())
	}
	return states
}

func (r *rig) wantStates(task string, want ...mesos.TaskState) {
	r.t.Helper()
	if got := r.states(task); !slices.Equal(got, want) {
		r.t.Errorf("task %s went through %v, want %v", task, got, want)
	}
}

// last is the newest status of a task that the leader heard of.
func (r *rig) last(task string) *mesos.TaskStatus {
	r.t.Helper()
	all := r.leader.statuses(task)
	if len(all) == 0 {
		r.t.Fatalf("leader heard nothing of task %s", task)
	}
	return all[len(all)-1]
}

func frameworkInfo(capabilities ...mesos.FrameworkInfo_Capability_Type) *mesos.FrameworkInfo {
	f := &mesos.FrameworkInfo{User: proto.String("nobody"), Name: proto.String("test"), Id: &mesos.FrameworkID{Value: proto.String("f")}}
	for _, c := range capabilities {
		f.Capabilities = append(f.Capabilities, &mesos.FrameworkInfo_Capability{Type: c.Enum()})
	}
	return f
}

func command(id string) *mesos.TaskInfo {
	set, err := resource.Parse("cpus:0.1;mem:32")
	if err != nil {
		panic(err)
	}
	return &mesos.TaskInfo{
		Name: proto.String(id), TaskId: &mesos.TaskID{Value: &id}, AgentId: &mesos.AgentID{Value: proto.String("S0")},
		Resources: set.Allocate("*").Proto(), Command: &mesos.CommandInfo{Value: proto.String("true")},
	}
}

func needs(t *mesos.TaskInfo, text string) *mesos.TaskInfo {
	set, err := resource.Parse(text)
	if err != nil {
		panic(err)
	}
	t.Resources = set.Allocate("*").Proto()
	return t
}

// leader is what an agent talks to. It outlives agents.
type leader struct {
	mu      sync.Mutex
	term    uint64
	acks    bool // acknowledges every update
	gone    bool // refuses the agent for good
	refuses string
	heard   []*protocol.AgentToMaster
	done    int // so many of heard were answered
	ids     int
}

func (l *leader) Send(m *protocol.AgentToMaster) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = append(l.heard, m)
	return nil
}

// answer returns what the leader says to what it heard since.
func (l *leader) answer() []*protocol.MasterToAgent {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*protocol.MasterToAgent
	for ; l.done < len(l.heard); l.done++ {
		switch m := l.heard[l.done].GetMessage().(type) {
		case *protocol.AgentToMaster_Register:
			out = append(out, l.register(m.Register))
		case *protocol.AgentToMaster_Update:
			if l.acks {
				out = append(out, ack(m.Update))
			}
		}
	}
	return out
}

func (l *leader) register(m *protocol.Register) *protocol.MasterToAgent {
	if id := m.GetAgent().GetId(); l.refuses != "" || l.gone && id != nil {
		return &protocol.MasterToAgent{Message: &protocol.MasterToAgent_Refused{Refused: &protocol.Refused{
			Message: proto.String("go away"), Gone: proto.Bool(l.gone),
		}}}
	}
	id := m.GetAgent().GetId()
	if id == nil {
		id = &mesos.AgentID{Value: proto.String("S" + string(rune('0'+l.ids)))}
		l.ids++
	}
	return &protocol.MasterToAgent{Message: &protocol.MasterToAgent_Registered{Registered: &protocol.Registered{
		AgentId: id, HeartbeatIntervalSeconds: proto.Float64(3600),
	}}}
}

func ack(u *protocol.Update) *protocol.MasterToAgent {
	return &protocol.MasterToAgent{Message: &protocol.MasterToAgent_Acknowledge{Acknowledge: &protocol.Acknowledge{
		FrameworkId: u.GetFrameworkId(), TaskId: u.GetStatus().GetTaskId(), Uuid: u.GetStatus().GetUuid(),
	}}}
}

func (l *leader) updates(task string) []*protocol.Update {
	l.mu.Lock()
	defer l.mu.Unlock()
	var us []*protocol.Update
	for _, m := range l.heard {
		if u := m.GetUpdate(); u != nil && u.GetStatus().GetTaskId().GetValue() == task {
			us = append(us, u)
		}
	}
	return us
}

// statuses are the updates of a task, each once, in the order first heard.
func (l *leader) statuses(task string) []*mesos.TaskStatus {
	var out []*mesos.TaskStatus
	seen := make(map[string]bool)
	for _, u := range l.updates(task) {
		if id := string(u.GetStatus().GetUuid()); !seen[id] {
			seen[id] = true
			out = append(out, u.GetStatus())
		}
	}
	return out
}

// registers are the registrations heard.
func (l *leader) registers() []*protocol.Register {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rs []*protocol.Register
	for _, m := range l.heard {
		if r := m.GetRegister(); r != nil {
			rs = append(rs, r)
		}
	}
	return rs
}

func (l *leader) reconciled() []*protocol.Reconciled {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rs []*protocol.Reconciled
	for _, m := range l.heard {
		if r := m.GetReconciled(); r != nil {
			rs = append(rs, r)
		}
	}
	return rs
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

package master

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"muster/node/link"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/registry"
	"muster/offers/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quorum commits what it is given, at once and in order, unless it is held.
type quorum struct {
	mu   sync.Mutex
	held bool
	err  error
	ops  []*registry.Op
	wait []func(error)
}

func (q *quorum) Propose(op *registry.Op, done func(error)) {
	q.mu.Lock()
	q.ops = append(q.ops, op)
	err, held := q.err, q.held
	if held {
		q.wait = append(q.wait, done)
	}
	q.mu.Unlock()
	if !held {
		go done(err)
	}
}

func (q *quorum) release() {
	q.mu.Lock()
	wait := q.wait
	q.held, q.wait = false, nil
	q.mu.Unlock()
	for _, done := range wait {
		done(nil)
	}
}

func (q *quorum) proposed(is func(*registry.Op) bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, op := range q.ops {
		if is(op) {
			return true
		}
	}
	return false
}

// peer is the far end of a link: it notes what the master sends.
type peer[M any] struct {
	mu     sync.Mutex
	got    []M
	slow   bool
	closed error
}

func (p *peer[M]) Send(m M) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow {
		return link.ErrSlow
	}
	p.got = append(p.got, m)
	return nil
}

func (p *peer[M]) Close(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = cause
}

func (p *peer[M]) take() []M {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

func (p *peer[M]) end() error {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

type (
	agentPeer   = peer[*protocol.MasterToAgent]
	gatewayPeer = peer[*protocol.MasterToGateway]
)

// rig is a node that leads.
type rig struct {
	*Master
	t      *testing.T
	quorum *quorum
	depose context.CancelCauseFunc
	ended  chan struct{}
}

func newRig(t *testing.T) *rig {
	q := &quorum{}
	return &rig{t: t, quorum: q, Master: New(Config{
		Info: func(id string) *mesos.MasterInfo {
			return &mesos.MasterInfo{Id: &id, Ip: proto.Uint32(1), Port: proto.Uint32(5050), Hostname: proto.String("m")}
		},
	}, q, nil)}
}

func (r *rig) lead(term uint64) {
	var ctx context.Context
	ctx, r.depose = context.WithCancelCause(r.t.Context())
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		r.Lead(ctx, term, registry.NewState())
	}()
	synctest.Wait()
}

func (r *rig) stop() {
	r.depose(errors.New("deposed"))
	<-r.ended
}

// leading runs f on a node that leads in term 5.
func leading(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.lead(5)
		f(t, r)
		r.stop()
	})
}

func (r *rig) agent() (*agentPeer, link.Receiver[*protocol.AgentToMaster]) {
	r.t.Helper()
	p := &agentPeer{}
	term, up, err := r.Agents().Open("node-a", p)
	if err != nil || term != 5 {
		r.t.Fatalf("term %d, %v", term, err)
	}
	return p, up
}

func (r *rig) gateway() (*gatewayPeer, link.Receiver[*protocol.GatewayToMaster]) {
	r.t.Helper()
	p := &gatewayPeer{}
	term, up, err := r.Gateways().Open("node-g", p)
	if err != nil || term != 5 {
		r.t.Fatalf("term %d, %v", term, err)
	}
	return p, up
}

func register() *protocol.AgentToMaster {
	cpus, mem := 4.0, 4096.0
	res := func(name string, v *float64) *mesos.Resource {
		return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}}
	}
	return &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{Register: &protocol.Register{
		Agent:   &mesos.AgentInfo{Hostname: proto.String("h"), Resources: []*mesos.Resource{res("cpus", &cpus), res("mem", &mem)}},
		Version: proto.String("1"), Incarnation: proto.String("i"), HttpAddress: proto.String("10.0.0.1:5051"),
	}}}
}

func subscribe(session string) *protocol.GatewayToMaster {
	return &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Subscribe{Subscribe: &protocol.Subscribe{
		SessionId: &session, Call: &scheduler.Call{Type: scheduler.Call_SUBSCRIBE.Enum(), Subscribe: &scheduler.Call_Subscribe{
			FrameworkInfo: &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n")},
		}},
	}}}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func events(got []*protocol.MasterToGateway) []scheduler.Event_Type {
	var types []scheduler.Event_Type
	for _, m := range got {
		if e := m.GetEvent(); e != nil {
			types = append(types, e.GetEvent().GetType())
		}
	}
	return types
}

func (r *rig) view() *view.View {
	r.t.Helper()
	synctest.Wait()
	replica, _ := r.Leading()
	if replica == nil {
		r.t.Fatal("no view of a node that leads")
	}
	v, err := replica.Snapshot(r.t.Context())
	must(r.t, err)
	return v
}

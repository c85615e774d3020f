package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/consensus"
	"muster/consensus/elect"
	"muster/node/link"
	"muster/node/master"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/registry"
	"muster/offers/resource"
)

// Admission is new agents that register with a leader whose quorum is real: voters
// with logs on disk, which speak to each other over TCP on this machine. An agent is
// admitted when it is answered, and so when a majority has it on disk.
type Admission struct {
	Agents int
	Voters int    // [3]
	Under  int    // agents on their way at once [4096]
	Dir    string // for the voters' logs
}

// Run returns how long all agents take.
func (w Admission) Run(ctx context.Context) (time.Duration, error) {
	if w.Voters == 0 {
		w.Voters = 3
	}
	if w.Under == 0 {
		w.Under = 4096
	}
	ctx, stop := context.WithCancel(ctx)
	q := &quorum{}
	defer q.running.Wait()
	defer stop()
	leader, err := q.start(ctx, w.Voters, w.Dir)
	if err != nil {
		return 0, err
	}
	return w.admit(ctx, leader)
}

func (w Admission) admit(ctx context.Context, leader *master.Master) (time.Duration, error) {
	res, err := resource.Parse("cpus:24;mem:65536;disk:100000;ports:[31000-32000]")
	if err != nil {
		return 0, err
	}
	port, slots := leader.Agents(), make(chan error, w.Under)
	for range w.Under {
		slots <- nil
	}
	begin := time.Now()
	for i := range w.Agents {
		if err := slot(ctx, slots); err != nil {
			return 0, err
		}
		_, up, err := port.Open(fmt.Sprintf("peer-%d", i), &newcomer{slots: slots})
		if err != nil {
			return 0, err
		}
		if err := up.Receive(&protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{Register: &protocol.Register{
			Agent:       &mesos.AgentInfo{Hostname: proto.String(fmt.Sprintf("host-%d.example.org", i)), Resources: res.Proto()},
			Incarnation: proto.String("i"), HttpAddress: proto.String("10.0.0.1:5051"),
		}}}); err != nil {
			return 0, err
		}
	}
	for range w.Under {
		if err := slot(ctx, slots); err != nil {
			return 0, err
		}
	}
	return time.Since(begin), nil
}

// slot waits for an agent to be answered, or for the reason why it is not.
func slot(ctx context.Context, slots chan error) error {
	select {
	case err := <-slots:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// newcomer is the far end of a new agent's link.
type newcomer struct {
	once  sync.Once
	slots chan error
}

func (n *newcomer) Send(m *protocol.MasterToAgent) error {
	if m.GetRegistered() != nil {
		n.once.Do(func() { n.slots <- nil })
	}
	return nil
}

func (n *newcomer) Close(cause error) {
	n.once.Do(func() { n.slots <- fmt.Errorf("an agent was turned away: %w", cause) })
}

var _ link.Sender[*protocol.MasterToAgent] = (*newcomer)(nil)

// quorum is voters in this process, each with a master that may lead.
type quorum struct {
	addresses sync.Map
	running   sync.WaitGroup
	failed    error
	mu        sync.Mutex
}

// start returns the master of the voter that leads, once all vote.
func (q *quorum) start(ctx context.Context, n int, dir string) (*master.Master, error) {
	var nodes []elect.Node
	for i := range n {
		nodes = append(nodes, elect.Node{ID: fmt.Sprint("n", i), Alive: true, Eligible: true})
	}
	var first *consensus.Quorum
	var leader *master.Master
	for i, node := range nodes {
		tr, err := q.transport(node.ID)
		if err != nil {
			return nil, err
		}
		var m *master.Master
		v, err := consensus.New(consensus.Config{
			Node: node.ID, Dir: filepath.Join(dir, node.ID), Nodes: func() []elect.Node { return nodes },
			OnLead: func(ctx context.Context, term uint64, facts *registry.State) { m.Lead(ctx, term, facts) },
		}, tr)
		if err != nil {
			return nil, err
		}
		m = master.New(master.Config{Info: func(id string) *mesos.MasterInfo {
			return &mesos.MasterInfo{Id: &id, Ip: proto.Uint32(0), Port: proto.Uint32(5050)}
		}}, v, nil)
		if i == 0 {
			first, leader = v, m
			op := &registry.Op{Op: &registry.Op_InitCluster{InitCluster: &registry.InitCluster{ClusterId: proto.String("c"), Name: proto.String("c")}}}
			if err := v.Bootstrap(op); err != nil {
				return nil, err
			}
		}
		q.running.Go(func() {
			if err := v.Run(ctx); err != nil {
				q.mu.Lock()
				q.failed = errors.Join(q.failed, err)
				q.mu.Unlock()
			}
		})
	}
	for {
		st := first.Status()
		if replica, _ := leader.Leading(); st.Role == consensus.Leader && len(st.Voters) == n && replica != nil {
			return leader, nil
		}
		select {
		case <-first.Changed():
		case <-time.After(20 * time.Millisecond): // the master says nothing when it begins
		case <-ctx.Done():
			q.mu.Lock()
			defer q.mu.Unlock()
			return nil, errors.Join(context.Cause(ctx), q.failed)
		}
	}
}

// transport is TCP on this machine.
func (q *quorum) transport(node string) (consensus.Transport, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return consensus.Transport{}, err
	}
	q.addresses.Store(node, l.Addr().String())
	return consensus.Transport{Listener: l, Dial: func(ctx context.Context, peer string) (net.Conn, error) {
		addr, ok := q.addresses.Load(peer)
		if !ok {
			return nil, os.ErrNotExist
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr.(string))
	}}, nil
}

package consensus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/consensus/elect"
	"muster/offers/mesos"
	"muster/offers/registry"
)

// loopback is a Transport over TCP on this machine.
func loopback(b *testing.B, addrs *sync.Map, node string) Transport {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addrs.Store(node, l.Addr().String())
	return Transport{Listener: l, Dial: func(ctx context.Context, peer string) (net.Conn, error) {
		addr, ok := addrs.Load(peer)
		if !ok {
			return nil, errors.New("unknown peer")
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr.(string))
	}}
}

// voters starts n voters over TCP and returns the leader.
func voters(b *testing.B, n int) *Quorum {
	var addrs sync.Map
	var nodes []elect.Node
	for i := range n {
		nodes = append(nodes, elect.Node{ID: fmt.Sprint("n", i), Alive: true, Eligible: true})
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	b.Cleanup(func() { cancel(); wg.Wait() })
	var first *Quorum
	for i, node := range nodes {
		q, err := New(Config{Node: node.ID, Dir: b.TempDir(), Nodes: func() []elect.Node { return nodes }}, loopback(b, &addrs, node.ID))
		if err != nil {
			b.Fatal(err)
		}
		if i == 0 {
			if err := q.Bootstrap(initOp()); err != nil {
				b.Fatal(err)
			}
			first = q
		}
		wg.Go(func() {
			if err := q.Run(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	for st := first.Status(); st.Role != Leader || len(st.Voters) != n; st = first.Status() {
		<-first.Changed()
	}
	for propose1(first, memberOp("warm")) != nil {
		<-first.Changed()
	}
	return first
}

func propose1(q *Quorum, op *registry.Op) error {
	done := make(chan error, 1)
	q.Propose(op, func(err error) { done <- err })
	return <-done
}

func agentOp(i int) *registry.Op {
	info := &mesos.AgentInfo{
		Id:       &mesos.AgentID{Value: proto.String(fmt.Sprint("agent-", i))},
		Hostname: proto.String(fmt.Sprintf("host-%d.example.org", i)),
	}
	for _, name := range []string{"cpus", "mem", "disk"} {
		info.Resources = append(info.Resources, &mesos.Resource{
			Name: proto.String(name), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(24)},
		})
	}
	return &registry.Op{Op: &registry.Op_AdmitAgent{AdmitAgent: &registry.AdmitAgent{Agent: info}}}
}

// BenchmarkAdmitAgents: one agent after the other is proposed, none is waited for.
func BenchmarkAdmitAgents(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprint("voters=", n), func(b *testing.B) {
			q := voters(b, n)
			ops := make([]*registry.Op, b.N)
			for i := range ops {
				ops[i] = agentOp(i)
			}
			slots := make(chan struct{}, 4096)
			b.ResetTimer()
			for _, op := range ops {
				slots <- struct{}{}
				q.Propose(op, func(err error) {
					if err != nil {
						b.Error(err)
					}
					<-slots
				})
			}
			for range cap(slots) {
				slots <- struct{}{}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}

// BenchmarkCommit: each operation waits for the one before.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprint("voters=", n), func(b *testing.B) {
			q := voters(b, n)
			b.ResetTimer()
			for i := range b.N {
				if err := propose1(q, agentOp(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStart: from nothing to a leader that takes operations.
func BenchmarkStart(b *testing.B) {
	for range b.N {
		var addrs sync.Map
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		q, err := New(Config{Node: "n1", Dir: b.TempDir(), OnLead: func(context.Context, uint64, *registry.State) { cancel() }}, loopback(b, &addrs, "n1"))
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(q.Bootstrap(initOp()), q.Run(ctx)); err != nil {
			b.Fatal(err)
		}
	}
}

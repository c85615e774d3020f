package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/link"
	"muster/node/master"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/registry"
)

// Interference is a leader's master under a steady load: frameworks decline offers,
// and what they decline is offered to the next at once. How long that takes is measured
// alone, and while others read the whole state in a loop, in turns: so whatever else the
// machine does is in both.
type Interference struct {
	Failover               // the agents, with tasks
	Every    time.Duration // a decline [2ms]
	For      time.Duration // with readers and without, in all [5s]
	Turns    int           // [5]
	Readers  int           // [1]
	Read     Read          // [GET_STATE as protobuf]
}

// InterferenceReport holds how long declined resources took to be offered again.
type InterferenceReport struct {
	Alone, Read []time.Duration
	Reads       int           // of all readers
	For         time.Duration // that they read
}

// Run runs the workload from beginning to end.
func (w Interference) Run(ctx context.Context) (report InterferenceReport, err error) {
	w.Every, w.For = cmp.Or(w.Every, 2*time.Millisecond), cmp.Or(w.For, 5*time.Second)
	w.Readers, w.Turns, report.For = max(w.Readers, 1), cmp.Or(w.Turns, 5), w.For
	if w.Read.Path == "" {
		w.Read = Reads[0]
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	load, err := w.begin(ctx, &running)
	if err != nil {
		return report, err
	}
	replica, _ := load.leader.Leading()
	handler := reader(views{replica})
	for range w.Turns {
		alone, err := load.decline(ctx, w.Every, w.For/time.Duration(w.Turns))
		if err != nil {
			return report, err
		}
		read, reads, err := w.beside(ctx, load, handler)
		if err != nil {
			return report, err
		}
		report.Alone, report.Read = append(report.Alone, alone...), append(report.Read, read...)
		report.Reads += reads
	}
	return report, nil
}

// beside is one turn with readers.
func (w Interference) beside(ctx context.Context, l *load, h http.Handler) (samples []time.Duration, reads int, err error) {
	reading, done := context.WithCancel(ctx)
	var readers sync.WaitGroup
	counts := make([]int, w.Readers)
	errs := make([]error, w.Readers)
	for i := range w.Readers {
		readers.Go(func() { counts[i], errs[i] = w.readOn(reading, h) })
	}
	samples, err = l.decline(ctx, w.Every, w.For/time.Duration(w.Turns))
	done()
	readers.Wait()
	for _, n := range counts {
		reads += n
	}
	return samples, reads, errors.Join(append(errs, err)...)
}

func (w Interference) readOn(ctx context.Context, h http.Handler) (n int, err error) {
	for ctx.Err() == nil {
		if _, err := w.Read.Do(h); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// committed is a registry that takes what it is given at once.
type committed struct{}

func (committed) Propose(_ *registry.Op, done func(error)) { done(nil) }

// load is the leader, and its gateway as the frameworks see it.
type load struct {
	leader *master.Master
	up     link.Receiver[*protocol.GatewayToMaster]

	mu      sync.Mutex
	offers  map[string]*offered // the newest, by agent
	order   []string            // agents, as they were offered first
	begun   map[string]time.Time
	samples []time.Duration
	news    chan struct{}
	ended   error
}

type offered struct {
	id                 string
	framework, session string
}

// begin lets agents and frameworks come, until every agent is offered.
func (w Interference) begin(ctx context.Context, running *sync.WaitGroup) (*load, error) {
	l := &load{offers: map[string]*offered{}, begun: map[string]time.Time{}, news: make(chan struct{}, 1)}
	r, err := w.start(nil)
	if err != nil {
		return nil, err
	}
	l.leader = master.New(master.Config{Info: func(id string) *mesos.MasterInfo {
		return &mesos.MasterInfo{Id: &id, Ip: proto.Uint32(0), Port: proto.Uint32(5050)}
	}}, committed{}, nil)
	running.Go(func() { l.leader.Lead(ctx, 3, r.facts) })
	for {
		if _, term := l.leader.Leading(); term != 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if _, l.up, err = l.leader.Gateways().Open("gateway", l); err != nil {
		return nil, err
	}
	for i := range w.Frameworks {
		session := fmt.Sprint("s", i)
		call := &scheduler.Call{FrameworkId: &mesos.FrameworkID{Value: proto.String(frameworkName(i))}, Type: scheduler.Call_SUBSCRIBE.Enum(),
			Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: r.framework(i)}}
		if err := l.up.Receive(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Subscribe{Subscribe: &protocol.Subscribe{SessionId: &session, Call: call}}}); err != nil {
			return nil, err
		}
	}
	for i := range w.Agents {
		_, up, err := l.leader.Agents().Open(agentName(i), deaf{})
		if err != nil {
			return nil, err
		}
		if err := up.Receive(r.registration(i)); err != nil {
			return nil, err
		}
	}
	return l, l.await(ctx, func() bool { return len(l.offers) == w.Agents })
}

func (l *load) await(ctx context.Context, ok func() bool) error {
	for {
		l.mu.Lock()
		done, ended := ok(), l.ended
		l.mu.Unlock()
		if done || ended != nil {
			return ended
		}
		select {
		case <-l.news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// deaf is the far end of an agent's link.
type deaf struct{}

func (deaf) Send(*protocol.MasterToAgent) error { return nil }
func (deaf) Close(error)                        {}

// Send takes in what the frameworks are told.
func (l *load) Send(m *protocol.MasterToGateway) error {
	now := time.Now()
	l.mu.Lock()
	for _, o := range m.GetEvent().GetEvent().GetOffers().GetOffers() {
		agent := o.GetAgentId().GetValue()
		if l.offers[agent] == nil && l.begun[agent].IsZero() {
			l.order = append(l.order, agent)
		}
		l.offers[agent] = &offered{o.GetId().GetValue(), o.GetFrameworkId().GetValue(), m.GetEvent().GetSessionId()}
		if begun := l.begun[agent]; !begun.IsZero() {
			l.samples = append(l.samples, now.Sub(begun))
			l.begun[agent] = time.Time{}
		}
	}
	if r := m.GetReply(); r.GetCode() >= 300 {
		l.ended = fmt.Errorf("a call was answered %d %s", r.GetCode(), r.GetMessage())
	}
	l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
	return nil
}

func (l *load) Close(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.ended = fmt.Errorf("the gateway's link ended: %w", cause)
	}
}

// decline declines one offer after the other at a steady pace, and returns how long
// each took to be offered to another framework.
func (l *load) decline(ctx context.Context, every, during time.Duration) ([]time.Duration, error) {
	l.mu.Lock()
	l.samples = nil
	order := slices.Clone(l.order)
	l.mu.Unlock()
	tick := time.NewTicker(every)
	defer tick.Stop()
	n := int(during / every)
	for i := range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		agent := order[i%len(order)]
		l.mu.Lock()
		o := l.offers[agent]
		l.begun[agent] = time.Now()
		l.mu.Unlock()
		id := uint64(i)
		if err := l.up.Receive(&protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Call{Call: &protocol.Call{
			CallId: &id, SessionId: &o.session, Call: &scheduler.Call{
				FrameworkId: &mesos.FrameworkID{Value: &o.framework}, Type: scheduler.Call_DECLINE.Enum(),
				Decline: &scheduler.Call_Decline{OfferIds: []*mesos.OfferID{{Value: &o.id}}, Filters: &mesos.Filters{RefuseSeconds: proto.Float64(3)}},
			},
		}}}); err != nil {
			return nil, err
		}
	}
	err := l.await(ctx, func() bool { return len(l.samples) == n })
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.samples), err
}

package master

import (
	"context"
	"sync"

	"muster/offers"
	"muster/offers/protocol"
)

// Bounds of what may wait for the core: when they are reached, readers of links wait,
// and their peers in turn.
const (
	agentInputs   = 4096  // of all agents
	gatewayInputs = 16384 // of each gateway
)

// inbox holds what links have to say until the core takes it, in turns: one input of
// an agent, one of a gateway; and of what gateways carry, one of each framework that
// has something waiting. So a call waits for at most one of each other framework, and
// as many inputs of agents, whatever they send.
type inbox struct {
	agentRoom chan struct{}
	wake      chan struct{} // holds a token while something may wait

	mu       sync.Mutex
	gateways []offers.Input // those that came and went, before all that they carry
	agents   []waiting      // in the order they came
	lanes    map[laneKey]*lane
	turns    []*lane // those with something waiting, the next one first
	agentDue bool    // an agent's turn is next
}

// waiting is an input and the room it takes.
type waiting struct {
	in   offers.Input
	room chan struct{}
}

// laneKey names what takes turns: a framework's stream, or what else a gateway has to
// say for frameworks, or for operators.
type laneKey struct {
	session  string
	link     offers.Link
	operator bool
}

// lane is one queue, kept while it holds something.
type lane struct {
	key    laneKey
	inputs []waiting
}

func newInbox() *inbox {
	return &inbox{agentRoom: make(chan struct{}, agentInputs), wake: make(chan struct{}, 1), lanes: map[laneKey]*lane{}}
}

// gateway takes in that a gateway's link came or went. What it still has waiting when
// it goes finds no link at the core, and nobody to answer.
func (b *inbox) gateway(in offers.Input) {
	b.mu.Lock()
	b.gateways = append(b.gateways, in)
	b.mu.Unlock()
	b.signal()
}

// fromAgent queues what comes over an agent's link, and that it came and went. It
// waits while there is no room, until ctx ends.
func (b *inbox) fromAgent(ctx context.Context, in offers.Input) error {
	if err := take(ctx, b.agentRoom); err != nil {
		return err
	}
	b.mu.Lock()
	b.agents = append(b.agents, waiting{in, b.agentRoom})
	b.mu.Unlock()
	b.signal()
	return nil
}

// fromGateway queues what a gateway carries. It waits while the gateway's room is full.
func (b *inbox) fromGateway(ctx context.Context, in offers.FromGateway, room chan struct{}) error {
	if err := take(ctx, room); err != nil {
		return err
	}
	b.mu.Lock()
	key := b.laneOf(in)
	l := b.lanes[key]
	if l == nil {
		l = &lane{key: key}
		b.lanes[key] = l
		b.turns = append(b.turns, l)
	}
	l.inputs = append(l.inputs, waiting{in, room})
	b.mu.Unlock()
	b.signal()
	return nil
}

func take(ctx context.Context, room chan struct{}) error {
	if ctx.Err() != nil {
		return errReignEnded
	}
	select {
	case room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errReignEnded
	}
}

// laneOf says which turns an input takes. Streams that their gateway does not know take
// those of one: else made up streams would get turns of their own. The end of a stream
// stays behind the stream's calls.
func (b *inbox) laneOf(in offers.FromGateway) laneKey {
	switch m := in.Message.GetMessage().(type) {
	case *protocol.GatewayToMaster_Call:
		if m.Call.GetKnown() {
			return laneKey{session: m.Call.GetSessionId()}
		}
	case *protocol.GatewayToMaster_Closed:
		if k := (laneKey{session: m.Closed.GetSessionId()}); b.lanes[k] != nil {
			return k
		}
	case *protocol.GatewayToMaster_Operate, *protocol.GatewayToMaster_Explain:
		return laneKey{link: in.Link, operator: true}
	}
	return laneKey{link: in.Link}
}

// next returns the input whose turn it is, nil when none waits.
func (b *inbox) next() offers.Input {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case len(b.gateways) > 0:
		return pop(&b.gateways)
	case len(b.agents) > 0 && (b.agentDue || len(b.turns) == 0):
		b.agentDue = false
		return leaveRoom(pop(&b.agents))
	case len(b.turns) > 0:
		b.agentDue = true
		l := pop(&b.turns)
		w := pop(&l.inputs)
		if len(l.inputs) > 0 {
			b.turns = append(b.turns, l)
		} else {
			delete(b.lanes, l.key)
		}
		return leaveRoom(w)
	}
	return nil
}

// pop takes the first item off a queue.
func pop[T any](q *[]T) T {
	var none T
	first := (*q)[0]
	(*q)[0] = none
	if *q = (*q)[1:]; len(*q) == 0 {
		*q = nil
	}
	return first
}

func leaveRoom(w waiting) offers.Input {
	<-w.room
	return w.in
}

// signal says that something may wait.
func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

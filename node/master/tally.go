package master

import (
	"maps"
	"net/http"
	"sync"

	"muster/offers"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// Tally counts the calls of one framework that this leader has taken.
type Tally struct {
	Framework *mesos.FrameworkInfo
	Calls     map[scheduler.Call_Type]uint64 // those that were refused, too
	Refused   uint64                         // as too many
}

// Received returns the number of all calls.
func (t Tally) Received() (n uint64) {
	for _, c := range t.Calls {
		n += c
	}
	return n
}

// tallies are those of the frameworks there are: what calls for others say is not
// remembered. The deciding goroutine counts, anybody reads.
type tallies struct {
	mu sync.Mutex
	by map[string]*Tally // framework ID
}

// note takes in what the core tells the view of frameworks.
func (t *tallies) note(e *protocol.ViewEvent) {
	switch e := e.GetEvent().(type) {
	case *protocol.ViewEvent_Framework:
		info := e.Framework.GetFrameworkInfo()
		id := info.GetId().GetValue()
		t.mu.Lock()
		defer t.mu.Unlock()
		if own := t.by[id]; own != nil {
			own.Framework = info
			return
		}
		t.by[id] = &Tally{Framework: info, Calls: map[scheduler.Call_Type]uint64{}}
	case *protocol.ViewEvent_FrameworkRemoved_:
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.by, e.FrameworkRemoved.GetFrameworkId().GetValue())
	}
}

// count counts a call, if the input is one, and whether it was refused for now.
func (t *tallies) count(in offers.Input, effects []offers.Effect) {
	from, ok := in.(offers.FromGateway)
	if !ok || from.Message.GetCall() == nil {
		return
	}
	call := from.Message.GetCall()
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.by[call.GetCall().GetFrameworkId().GetValue()]
	if own == nil {
		return
	}
	own.Calls[call.GetCall().GetType()]++
	for _, e := range effects {
		to, _ := e.(offers.ToGateway)
		if reply := to.Message.GetReply(); reply.GetCode() == http.StatusTooManyRequests && reply.GetCallId() == call.GetCallId() {
			own.Refused++
		}
	}
}

// Tallies returns those of this leadership, none while this node does not lead.
func (m *Master) Tallies() (list []Tally) {
	r := m.reign.Load()
	if r == nil {
		return nil
	}
	r.tallies.mu.Lock()
	defer r.tallies.mu.Unlock()
	for _, t := range r.tallies.by {
		list = append(list, Tally{Framework: t.Framework, Calls: maps.Clone(t.Calls), Refused: t.Refused})
	}
	return list
}

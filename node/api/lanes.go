package api

import (
	"fmt"
	"net/http"

	"muster/offers"
	"muster/offers/mesos/scheduler"
)

// lanes counts the calls of each framework that its gateway has in hand: they wait
// for a leader or for its answer. All frameworks share one link and the leader's one
// inbox, so whoever comes behind waits for a bounded number of calls of each other.
type lanes map[string]int

const (
	laneCalls = 256           // of one framework at once
	laneAll   = 4 * laneCalls // with those that should not be refused
)

// enter takes a place for a call, if there is one.
func (l lanes) enter(call *scheduler.Call) bool {
	bound := laneAll
	if offers.Limited(call.GetType()) {
		bound = laneCalls
	}
	framework := call.GetFrameworkId().GetValue()
	if l[framework] >= bound {
		return false
	}
	l[framework]++
	return true
}

// leave gives a call's place back. nil, which is no framework's, has none.
func (l lanes) leave(call *scheduler.Call) {
	if call == nil {
		return
	}
	framework := call.GetFrameworkId().GetValue()
	if l[framework]--; l[framework] <= 0 {
		delete(l, framework)
	}
}

func (g *Gateway) enter(call *scheduler.Call) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	ok := g.lanes.enter(call)
	if !ok {
		g.counts.Throttled++
	}
	return ok
}

func (g *Gateway) leave(call *scheduler.Call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lanes.leave(call)
}

// crowded answers a call for which there is no place.
func crowded(call *scheduler.Call) Reply {
	return Reply{Code: http.StatusTooManyRequests, RetryAfter: 1, Message: fmt.Sprintf(
		"Framework %s has %d calls under way at this node: wait for answers, or try again in 1 s", call.GetFrameworkId().GetValue(), laneCalls)}
}

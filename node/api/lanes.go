package api

import (
	"errors"
	"fmt"
	"net/http"

	"muster/offers"
)

// lane says with which others a call shares its bound at this node. It is named by
// what has been verified: anybody can write a framework's ID into a call, or make up a
// stream, and would else use up another's places.
type lane struct {
	kind laneKind
	name string // a stream's ID, or a principal
}

type laneKind string

const (
	streamLane    laneKind = "calls of this framework"                 // whose stream is known here
	strangerLane  laneKind = "calls for streams not known here"        // of a principal
	subscribeLane laneKind = "SUBSCRIBE calls that wait for an answer" // of a principal
	operatorLane  laneKind = "calls of operators"                      // of a principal
)

// Calls of one lane that may be under way at once: they wait for a leader or for its
// answer.
const (
	laneCalls = 256           // of each lane
	laneAll   = 4 * laneCalls // with those that should not be refused
)

// ErrCrowded: there is no place for a call. It may be tried again soon.
var ErrCrowded = errors.New("too many calls are under way at this node")

// lanes counts the calls under way.
type lanes map[lane]int

// enter takes a place, if there is one.
func (l lanes) enter(in lane, bound int) bool {
	if l[in] >= bound {
		return false
	}
	l[in]++
	return true
}

// leave gives a place back.
func (l lanes) leave(in lane) {
	if l[in]--; l[in] <= 0 {
		delete(l, in)
	}
}

// owner is whose a stream is.
type owner struct{ framework, principal string }

// vouched remembers some thousand streams at other gateways, those of which a call was
// taken last: the leader has compared their framework and principal.
type vouched struct{ young, old map[string]owner }

const vouchedStreams = 4096

func (v *vouched) add(stream string, o owner) {
	if len(v.young) >= vouchedStreams {
		v.old, v.young = v.young, nil
	}
	if v.young == nil {
		v.young = map[string]owner{}
	}
	v.young[stream] = o
}

func (v *vouched) is(stream string, o owner) bool {
	return v.young[stream] == o || v.old[stream] == o
}

// knows reports whether a stream is a framework's, and the principal its own.
func (g *Gateway) knows(stream string, o owner) bool {
	if stream == "" || o.framework == "" {
		return false
	}
	if s := g.sessions[stream]; s != nil {
		return s.subscribed && s.framework() == o.framework && s.principal == o.principal
	}
	return g.vouched.is(stream, o)
}

// vouch notes what the leader's answer to a call says of its stream: it looks at the
// rate last.
func (g *Gateway) vouch(c *inflight, code int) {
	if c.call != nil && c.session != "" && g.sessions[c.session] == nil && (code/100 == 2 || code == http.StatusTooManyRequests) {
		g.vouched.add(c.session, c.owner())
	}
}

// enterCall takes a place for a framework's call and says whether its stream is known.
func (g *Gateway) enterCall(c *inflight) (known bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known = g.knows(c.session, c.owner())
	if c.lane = (lane{strangerLane, c.principal}); known {
		c.lane = lane{streamLane, c.session}
	}
	bound := laneAll
	if offers.Limited(c.call.GetType()) {
		bound = laneCalls
	}
	return known, g.enterLocked(c.lane, bound)
}

// enter takes a place for what is no framework's call.
func (g *Gateway) enter(in lane) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.enterLocked(in, laneCalls)
}

func (g *Gateway) enterLocked(in lane, bound int) error {
	if !g.lanes.enter(in, bound) {
		g.counts.Throttled++
		return fmt.Errorf("%w: %d %s: wait for answers, or try again in 1 s", ErrCrowded, bound, in.kind)
	}
	return nil
}

func (g *Gateway) leave(in lane) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lanes.leave(in)
}

// owner is who says that it makes a call.
func (c *inflight) owner() owner {
	return owner{c.call.GetFrameworkId().GetValue(), c.principal}
}

// crowded is the answer to a call for which there is no place.
func crowded(err error) Reply {
	return Reply{Code: http.StatusTooManyRequests, RetryAfter: 1, Message: err.Error()}
}

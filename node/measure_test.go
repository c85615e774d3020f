package node

import (
	"maps"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/node/master"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

func TestCallsAreTalliedByFrameworkAndPrincipal(t *testing.T) {
	tally := func(id, name, principal string, revives, kills, refused uint64) master.Tally {
		return master.Tally{
			Framework: &mesos.FrameworkInfo{Id: &mesos.FrameworkID{Value: &id}, Name: &name, Principal: proto.String(principal)},
			Calls:     map[scheduler.Call_Type]uint64{scheduler.Call_REVIVE: revives, scheduler.Call_KILL: kills}, Refused: refused,
		}
	}
	got := map[string]float64{}
	callGauges([]master.Tally{tally("f-1", "a b", "p", 3, 2, 1), tally("f-2", "c", "p", 7, 0, 4), tally("f-3", "d", "", 1, 0, 0)},
		func(name string, v float64) { got[name] = v })
	want := map[string]float64{
		"master/frameworks/a%20b.f-1/calls": 5, "master/frameworks/a%20b.f-1/calls_throttled": 1,
		"master/frameworks/a%20b.f-1/calls/revive": 3, "master/frameworks/a%20b.f-1/calls/kill": 2,
		"master/frameworks/c.f-2/calls": 7, "master/frameworks/c.f-2/calls_throttled": 4,
		"master/frameworks/c.f-2/calls/revive": 7, "master/frameworks/c.f-2/calls/kill": 0,
		"master/frameworks/d.f-3/calls": 1, "master/frameworks/d.f-3/calls_throttled": 0,
		"master/frameworks/d.f-3/calls/revive": 1, "master/frameworks/d.f-3/calls/kill": 0,
		"frameworks/p/messages_received": 12, "frameworks/p/messages_processed": 7,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

package main

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

func TestAgentsAreNamedInManyWays(t *testing.T) {
	list := []target{
		{"abc-S1", "h1", "node1"}, {"abc-S11", "h2", "node2"}, {"abd-S2", "shared", "node3"}, {"abd-S3", "Shared", ""},
	}
	for text, want := range map[string]string{
		"abc-S1": "abc-S1", "S11": "abc-S11", "-S1": "abc-S1", "H1": "abc-S1", "node3": "abd-S2", "xyz-S7": "xyz-S7",
	} {
		if got, err := pick(list, text); err != nil || got.id != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"shared": "names 2 agents", "1": "abc-S11", "nobody": "no agent is named", "": "names 4 agents",
	} {
		if _, err := pick(list, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestMachinesAreNamedByHostAndIP(t *testing.T) {
	for text, want := range map[string]string{"h": "h", "h/10.0.0.1": "h/10.0.0.1", "/10.0.0.1": "/10.0.0.1"} {
		if id, err := machineOf(text); err != nil || machineName(id) != want {
			t.Errorf("%q: %v, %v", text, id, err)
		}
	}
	if _, err := machineOf("/"); err == nil {
		t.Error("/ names a machine")
	}
}

func TestWhatIsScheduledIsAMachineOfAnAgent(t *testing.T) {
	list := []target{{"abc-S1", "h1", "node1"}, {"abc-S2", "h2", "node2"}}
	for text, want := range map[string]string{
		"H1": "", "h2/10.0.0.2": "", "/10.0.0.9": "", "node2": "its machine is h2", "h3": "no agent is registered from host",
	} {
		ids, err := machinesOf([]string{"h1", text})
		if err != nil {
			t.Fatal(err)
		}
		if err := known(list, ids); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]bool{"": true, "0s": true, "2h": true, "2026-11-24T10:00:00Z": true, "-2h": false, "noon": false} {
		if _, err := unavailability(text, 0); (err == nil) != want {
			t.Errorf("--at %q: %v", text, err)
		}
	}
}

func TestADownMachineIsKnownByItsAddress(t *testing.T) {
	down := []*mesos.MachineID{{Ip: proto.String("10.0.0.1")}}
	if !downAt(down, "10.0.0.1:5051") || downAt(down, "10.0.0.2:5051") || downAt(down, "") {
		t.Error("down is another machine")
	}
}

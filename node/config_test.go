package node

import (
	"errors"
	"net/netip"
	"testing"
)

func TestDefaultsRefuseWhatCannotWork(t *testing.T) {
	for name, c := range map[string]Config{
		"an API for all without credentials": {API: "0.0.0.0:5050"},
		"an API without port":                {API: "127.0.0.1"},
		"an even number of voters":           {Voters: 4},
		"a mesh port that is none":           {MeshPort: 65536},
		"a name to listen on":                {Listen: "localhost"},
		"a negative heartbeat":               {Heartbeat: -1},
		"a negative offer timeout":           {OfferTimeout: -1},
		"a minimum that is no quantity":      {MinAllocatable: "cpus:0.01|ports:[1-2]"},
		"a minimum of nothing":               {MinAllocatable: "cpus:0.01|"},
		"patterns of negative size":          {ConstraintSize: -1},
	} {
		if _, err := c.Defaults(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Config{API: "0.0.0.0:5050", AgentAPI: "[::]:5051", Secrets: "file"}).Defaults(); err != nil {
		t.Error(err)
	}
}

func TestOthersAreToldAnAddressTheyCanDial(t *testing.T) {
	if got := told("127.0.0.2:5050"); got != "127.0.0.2:5050" {
		t.Errorf("an address of its own became %s", got)
	}
	for _, listen := range []string{"0.0.0.0:5050", "[::]:5050"} {
		got, err := netip.ParseAddrPort(told(listen))
		if err != nil || got.Addr().IsUnspecified() || got.Port() != 5050 {
			t.Errorf("%s became %s (%v)", listen, told(listen), err)
		}
	}
}

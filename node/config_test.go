package node

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestDefaultsRefuseWhatCannotWork(t *testing.T) {
	for name, c := range map[string]Config{
		"an API for all without credentials":  {API: "0.0.0.0:5050"},
		"an API without port":                 {API: "127.0.0.1"},
		"an even number of voters":            {Voters: 4},
		"a mesh port that is none":            {MeshPort: 65536},
		"a name to listen on":                 {Listen: "localhost"},
		"a negative heartbeat":                {Heartbeat: -1},
		"a negative offer timeout":            {OfferTimeout: -1},
		"a negative interval":                 {AllocationInterval: -1},
		"a negative wait for agents":          {RecoveryTimeout: -1},
		"more agents than there were":         {RecoveryFactor: 1.1},
		"a minimum that is no quantity":       {MinAllocatable: "cpus:0.01|ports:[1-2]"},
		"a weight that is none":               {Weights: "web=2,db=0"},
		"a weight without a role":             {Weights: "=2"},
		"a minimum of nothing":                {MinAllocatable: "cpus:0.01|"},
		"a part that is no quantity":          {SplitOffers: "half"},
		"patterns of negative size":           {ConstraintSize: -1},
		"a negative count of silences":        {PingTimeouts: -1},
		"a negative time to come back":        {ReregisterTimeout: -1},
		"a role that is none":                 {Roles: "web,/db"},
		"more history than can be kept":       {MaxCompletedTasks: 1 << 40},
		"a limit of removals without a time":  {RemovalRateLimit: "1"},
		"a share of the CPUs as their number": {SystemCPUs: "10%"},
		"fewer CPUs than none":                {SystemCPUs: "-1"},
		"a limit of no removals":              {RemovalRateLimit: "0/10m"},
	} {
		if _, err := c.Defaults(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Config{API: "0.0.0.0:5050", AgentAPI: "[::]:5051", Secrets: "file"}).Defaults(); err != nil {
		t.Error(err)
	}
}

func TestWeightsAreRead(t *testing.T) {
	p, err := (Config{Weights: "web=2, db/x=0.5"}).policy()
	if err != nil || len(p.Weights) != 2 || p.Weights["web"] != 2 || p.Weights["db/x"] != 0.5 {
		t.Errorf("got %v, %v", p.Weights, err)
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

func TestRemovalRateLimits(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "1/10m": 10 * time.Minute, "2/10mins": 5 * time.Minute, "1/90secs": 90 * time.Second} {
		c, err := (Config{RemovalRateLimit: text}).policy()
		if err != nil || c.AgentRemovalInterval != want {
			t.Errorf("%q: %s, %v", text, c.AgentRemovalInterval, err)
		}
	}
}

func TestSilenceIsCountedInPings(t *testing.T) {
	c, err := (Config{PingTimeouts: 2}).policy()
	if err != nil || c.AgentTimeout != 30*time.Second {
		t.Errorf("%s, %v", c.AgentTimeout, err)
	}
}

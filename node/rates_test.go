package node

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"muster/offers"
)

func TestRatesOfCalls(t *testing.T) {
	c, err := (Config{FrameworkQPS: 50, RateLimits: `{
		"limits": [{"principal": "p", "qps": 2.5, "capacity": 7}, {"principal": "q", "qps": 0.5}, {"principal": "free"}],
		"aggregate_default_qps": 100, "aggregate_default_capacity": 1000}`}).policy()
	want := map[string]offers.Rate{"p": {QPS: 2.5, Capacity: 7}, "q": {QPS: 0.5, Capacity: 1}, "free": {}}
	if err != nil || !reflect.DeepEqual(c.PrincipalRates, want) || c.OthersRate != (offers.Rate{QPS: 100, Capacity: 1000}) ||
		c.FrameworkRate != (offers.Rate{QPS: 50, Capacity: 200}) {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := (Config{FrameworkCapacity: 9}).policy(); err != nil || c.FrameworkRate != (offers.Rate{QPS: offers.DefaultRate.QPS, Capacity: 9}) {
		t.Errorf("%+v, %v", c.FrameworkRate, err)
	}
	if c, err := (Config{FrameworkQPS: -1}).policy(); err != nil || c.FrameworkRate.QPS != -1 {
		t.Errorf("%+v, %v", c.FrameworkRate, err)
	}
}

func TestWrongRatesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		`p=5`:                         "expecting JSON",
		`{"limits":[]} x`:             "there is more",
		`{"limit":[]}`:                "limit",
		`{"limits":[{"qps":5}]}`:      "one has no principal",
		`{"aggregate_default_qps":0}`: "aggregate_default: qps: 0 is not positive",
		`{"limits":[{"principal":"p","capacity":5}]}`:                    "'p': a capacity needs a qps",
		`{"limits":[{"principal":"p","qps":1,"capacity":0}]}`:            "'p': capacity: 0 is not positive",
		`{"limits":[{"principal":"p","qps":0.00001,"capacity":100000}]}`: "more than those of a year",
		`{"limits":[{"principal":"p"},{"principal":"p"}]}`:               "'p' is named twice",
	} {
		_, err := (Config{RateLimits: text}).policy()
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "rate_limits: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := (Config{FrameworkCapacity: -1}).policy(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "framework_capacity") {
		t.Error(err)
	}
}
